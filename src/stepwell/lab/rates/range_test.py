"""The range test: one run whose learning rate grows, and a look at where its loss falls. Quick, and often wrong.

Smith (2017), "Cyclical learning rates for training neural networks", section 3.3, <https://arxiv.org/abs/1506.01186>.
A loss far into the run is of weights that all smaller rates have trained, and the falling edge is not the bottom of the
curve that full runs have; `benchmarks/find_lr.py` measures how far off that is.
"""

import itertools
import math
import time
from dataclasses import dataclass, replace

import numpy as np

from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import Candidate
from stepwell.lab.randomness import preserved, sow
from stepwell.lab.rates.asked import Asked
from stepwell.lab.rates.found_rate import Cost, FoundRate, Round, too_short
from stepwell.lab.task import Task
from stepwell.lab.training.plain import Plain, one_thread
from stepwell.lab.trial import Trial

DECADES = 8.0  # that the rates are over
SHORTEST, LONGEST = 100, 1000  # steps, about one pass
SMOOTHING = 0.95  # of the exponential average
RISEN = 3.0  # times the first loss: how far above it a run has diverged
CERTAIN = 2.0  # standard errors by which the loss has to fall
LEAST = 2  # rates of a run
ROUNDING = 1e-6  # of a loss in single precision
SETTLED = 20  # steps until a smoothed loss is a mean of enough losses to be compared with the next


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw.

    Attributes:
        rates: of each step that was taken. losses: after it, smoothed. raw: after it, as they were.
        initial: the loss before the first step.
        edge: the rate at which it diverged, or None. steps: that were taken.
    """

    rates: list[float]
    losses: list[float]
    raw: list[float]
    initial: float
    edge: float | None
    steps: int

    @property
    def steepest(self) -> float | None:
        """The rate at whose step the loss falls most, before it is lowest; None if it never falls."""
        if not self.falls:
            return None
        lowest = int(np.argmin(self.losses))
        first = min(SETTLED, lowest)
        return self.rates[first + int(np.argmin(np.gradient(self.losses)[first : lowest + 1]))]

    @property
    def tenth(self) -> float | None:
        """A tenth of the rate at which the loss is lowest; None if it never falls."""
        return self.rates[int(np.argmin(self.losses))] / 10 if self.falls else None

    @property
    def falls(self) -> bool:
        """Whether the loss ever falls farther below its beginning than chance makes batches differ."""
        begin = max(3, len(self.raw) // 4)
        if len(self.raw) <= begin:
            return False
        smooth = (1 - SMOOTHING) / (1 + SMOOTHING)  # the share of a batch's variance that an exponential average has
        noise = float(np.std(self.raw[:begin], ddof=1)) * math.sqrt(smooth + 1 / begin)
        before = float(np.mean(self.raw[:begin]))
        return min(self.losses[begin:]) < before - CERTAIN * noise - ROUNDING * abs(before)


def ranged(task: Task, candidate: Candidate, asked: Asked) -> FoundRate:
    """The rate that a range test suggests: the steepest."""
    began = time.perf_counter()
    seed = (asked.seeds or [0])[0]
    most = math.floor(asked.budget * asked.full * (1 + 1e-9)) - 1  # one more shows the loss after the last
    if most < LEAST:
        return too_short(task.name, candidate.name, "range", asked, (LEAST + 1) / asked.full)
    seen = range_test(task, candidate, seed, asked.hyper, asked.middle, most)
    seconds = time.perf_counter() - began
    rate = seen.steepest
    return FoundRate(
        optimizer=candidate.name,
        task=task.name,
        method="range",
        rate=rate,
        reason=None if rate else "the loss never falls below its beginning by more than batches differ by chance",
        interval=None,
        interval_reason="a range test is one run",
        basin=None,
        edge=seen.edge,
        short_rate=None,
        drift=0.0,
        seeds=(seed,),
        rounds=(Round(len(seen.rates), tuple(seen.rates), tuple((loss,) for loss in seen.losses), seen.initial),),
        cost=Cost(seen.steps, asked.full, seconds, seconds / seen.steps * asked.full, stacked=False),
        way="one run whose rate grows at each step",
    )


def range_test(
    task: Task, candidate: Candidate, seed: int, hyper: tuple[tuple[str, float], ...], middle: float, most: int
) -> RangeTest:
    """A run through eight decades of rates about `middle`, of at most so many steps; it ends when it diverges.

    It is about one pass over the data, but from 100 to 1000 steps.

    Errors: `TaskError` if there is no batch.
    """
    steps = min(max(_pass(task), SHORTEST), LONGEST, most)
    low, growth = middle * 10 ** (-DECADES / 2), 10 ** (DECADES / max(1, steps - 1))
    growing = replace(task, schedule=lambda _: lambda k: growth**k)
    losses, smooth = _losses(growing, candidate, Trial(candidate.name, low, seed, steps, hyper))
    rates = [low * growth**k for k in range(len(losses) - 1)]
    kept = len(rates) if math.isfinite(losses[-1]) else len(rates) - 1
    edge = rates[-1] if len(rates) < steps or kept < len(rates) else None
    return RangeTest(rates[:kept], smooth[1 : kept + 1], losses[1 : kept + 1], losses[0], edge, len(losses))


def _losses(task: Task, candidate: Candidate, trial: Trial) -> tuple[list[float], list[float]]:
    """The loss before the first step and after each, with what ended the run if it diverged; and the same smoothed.

    Smoothed is an exponential average that is divided by the sum of its weights, so that the first loss has no more.
    """
    losses: list[float] = []
    smooth: list[float] = []
    average = 0.0
    with one_thread(), preserved():
        learner = Plain(task, candidate, trial)
        sow(trial.seed, 1)
        for k, batch in enumerate(itertools.islice(task.source.passes(trial.seed), trial.steps + 1), 1):
            losses.append(float(learner.step(batch)))
            average = SMOOTHING * average + (1 - SMOOTHING) * losses[-1]
            smooth.append(average / (1 - SMOOTHING**k))
            if not math.isfinite(losses[-1]) or smooth[-1] > losses[0] + RISEN * abs(losses[0]):
                break
    if len(losses) < 2:
        raise TaskError(f"a range test needs two batches or more; data gave {len(losses)}")
    return losses, smooth


def _pass(task: Task) -> int:
    try:
        return len(task.source)
    except TypeError:
        return SHORTEST
