"""Choices that a sampler makes: the learning rate, and with trials enough what else matters of an optimizer."""

import math
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepwell.domain import at_least
from stepwell.lab.candidates import Candidate
from stepwell.lab.sweeps.strategy import Strategy, missing
from stepwell.lab.trial import Run, Trial

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "qmc")
WAVE = 8  # choices that are made before their outcomes are known, so that they can be one training
REACH = 100.0  # rates from the middle divided by this to the middle times this
FEW, MORE = 10, 20  # trials from which on momentum is searched, too, and from which on ε
MOMENTUM = ("beta", "beta1", "rho")
SLOW = (1e-3, 0.5)  # of 1 - β: a memory of 1000 steps to one of 2
EPS = (1e-10, 1e-1)


@dataclass(frozen=True)
class Sampled(Strategy):
    """`trials` choices of each optimizer, drawn by one of Optuna's samplers; each is run with every seed.

    Below 10 trials the learning rate alone is searched, over four decades; from 10 on also the momentum (β, β₁ or ρ),
    by the logarithm of 1 - β; from 20 on also ε. "tpe" learns from the median losses of the waves before; "qmc" fills
    the space evenly, with a scrambled Sobol sequence.

    Errors: ValueError for another sampler, or less than one trial.
    """

    candidates: Mapping[str, Candidate]
    trials: int
    sampler: str
    seeds: Sequence[int]
    steps: int  # pyright: ignore[reportIncompatibleVariableOverride]

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {self.sampler!r}")
        at_least(1).check("trials", self.trials)

    def propose(self, done: Sequence[Run]) -> list[Trial]:
        return [trial for name in self.candidates for trial in self._next(name, done)]

    def expected(self, done: Sequence[Run]) -> int:
        return len(self.candidates) * self.trials * len(self.seeds)

    def _next(self, name: str, done: Sequence[Run]) -> list[Trial]:
        """The first wave of an optimizer that is not done; the waves before it are told to the sampler again."""
        losses: dict[Any, list[float]] = {}
        for run in done:
            losses.setdefault(run.trial.point, []).append(run.cost)
        for wave in self._waves(name, losses):
            wanted = [Trial.of(name, point, seed, self.steps) for point in wave for seed in self.seeds]
            if trials := missing(wanted, done):
                return trials
        return []

    def _waves(self, name: str, losses: Mapping[Any, list[float]]) -> Iterator[list[dict[str, float]]]:
        """The sampler's choices; before the next wave is asked for, `losses` must have those of the last."""
        import optuna

        space = self.space(name)
        with _quiet(optuna):
            study = optuna.create_study(sampler=self._sampler(optuna))
        for low in range(0, self.trials, WAVE):
            with _quiet(optuna):
                asked = [study.ask(space) for _ in range(low, min(low + WAVE, self.trials))]
            wave = [_settings(trial.params) for trial in asked]
            yield wave
            with _quiet(optuna):
                for trial, point in zip(asked, wave, strict=True):
                    found = losses.get(Trial.of(name, point, 0, 0).point, [math.inf])
                    loss = statistics.median(found)
                    study.tell(trial, loss if math.isfinite(loss) else 1e300)

    def space(self, name: str) -> "dict[str, optuna.distributions.BaseDistribution]":
        """What is drawn from: by name the logarithms' ranges; a momentum's is of 1 - β."""
        from optuna.distributions import FloatDistribution

        candidate = self.candidates[name]
        known = candidate.rule.hyperparameters if candidate.rule else {}
        ranges = {"lr": (candidate.rate / REACH, candidate.rate * REACH)}
        if self.trials >= FEW:
            ranges |= {f"1-{name}": SLOW for name in MOMENTUM if name in known}
        if self.trials >= MORE and "eps" in known:
            ranges["eps"] = EPS
        return {name: FloatDistribution(low, high, log=True) for name, (low, high) in ranges.items()}

    def _sampler(self, optuna: Any) -> Any:
        seed = min(self.seeds)
        if self.sampler == "qmc":
            return optuna.samplers.QMCSampler(seed=seed, scramble=True)
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True, multivariate=True)


def _settings(params: Mapping[str, float]) -> dict[str, float]:
    """Hyperparameters of what was drawn, to six digits: so machines whose logarithms differ in the last bit agree.

    >>> _settings({"lr": 0.00123456789, "1-beta1": 0.0987654321})
    {'lr': 0.00123457, 'beta1': 0.901235}
    """
    drawn = {name.removeprefix("1-"): 1 - x if name.startswith("1-") else x for name, x in params.items()}
    return {name: float(f"{value:.6g}") for name, value in drawn.items()}


class _quiet:
    """Optuna says nothing inside."""

    def __init__(self, optuna: Any):
        self.logging = optuna.logging
        self.warnings = warnings.catch_warnings()

    def __enter__(self) -> None:
        self.before = self.logging.get_verbosity()
        self.logging.set_verbosity(self.logging.ERROR)
        self.warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *error: object) -> None:
        self.warnings.__exit__(*error)  # pyright: ignore[reportArgumentType]
        self.logging.set_verbosity(self.before)
