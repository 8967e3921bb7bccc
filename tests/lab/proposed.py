"""What strategies propose when runs are not trained but get losses: for tests of what is tried."""

import math
import random
from collections.abc import Callable, Iterable, Sequence

from stepwell.lab.candidates import choose
from stepwell.lab.sweeps.sampled import Sampled
from stepwell.lab.sweeps.strategy import Grid, Strategy
from stepwell.lab.trial import Run, Trial
from tests.lab.synthetic import of

Loss = Callable[[Trial], float | None]
STEPS = 900
ENOUGH = 150  # runs: what proposes as many goes on for ever
NAMES = ("adam", "momentum", "gradient_descent")


def grid(rates: int = 5, seeds: Sequence[int] = (0,), names: Sequence[str] = ("adam",), steps: int = STEPS) -> Grid:
    return Grid(choose(names), rates, seeds, steps)


def sampled(
    trials: int, sampler: str = "tpe", seeds: Sequence[int] = (0,), names: Sequence[str] = ("adam",)
) -> Sampled:
    return Sampled(choose(names), trials, sampler, seeds, STEPS)


def completed(strategy: Strategy, loss: Loss, done: Iterable[Run] = ()) -> list[Run]:
    """The runs that there are, and those that are proposed until nothing is; no trial is proposed twice."""
    runs = list(done)
    while proposed := strategy.propose(runs):
        assert not {run.trial for run in runs} & set(proposed)
        assert len(set(proposed)) == len(proposed)
        runs += [of(trial, loss(trial)) for trial in proposed]
        assert len(runs) < ENOUGH
    return runs


def trials(runs: Iterable[Run]) -> set[Trial]:
    return {run.trial for run in runs}


def rates(runs: Iterable[Run], name: str = "adam") -> list[float]:
    """The rates of an optimizer, in the order in which they were tried."""
    return list(dict.fromkeys(run.lr for run in runs if run.optimizer == name))


def near(optimum: float) -> Loss:
    """A loss that is the less the nearer the rate is to this one."""
    return lambda trial: abs(math.log10(trial.lr / optimum)) + 0.01 * trial.seed


def rough(word: int) -> Loss:
    """Any losses at all, equal for equal trials; every fifth or so diverges."""

    def loss(trial: Trial) -> float | None:
        draw = random.Random(f"{word} {trial}")
        return None if draw.random() < 0.2 else draw.random()

    return loss
