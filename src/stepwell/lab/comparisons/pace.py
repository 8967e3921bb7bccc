"""How long a training step takes, of each optimizer alone."""

import itertools
import math
import statistics
import time
from collections.abc import Iterator, Mapping

from stepwell.lab.candidates import Candidate
from stepwell.lab.randomness import preserved, sow
from stepwell.lab.task import Task
from stepwell.lab.training.plain import Plain, one_thread
from stepwell.lab.trial import Trial

ROUNDS, BLOCK = 5, 0.02  # blocks of steps that are timed of each optimizer, and seconds of a block, at least
FIRST = 2  # steps that are not timed: kernels are compiled and tables made


def step_seconds(task: Task, candidates: Mapping[str, Candidate], trials: Mapping[str, Trial]) -> dict[str, float]:
    """Seconds of a training step, its batch included, on one thread: the median of blocks that take turns.

    Args:
        trials: by optimizer, at what setting. What the generators were at is left so.
    """
    times: dict[str, list[float]] = {name: [] for name in trials}
    with preserved(), one_thread():
        loops = {name: _steps(task, candidates[name], trial) for name, trial in trials.items()}
        for loop in loops.values():
            for _ in range(FIRST):
                next(loop)
        for _, (name, loop) in itertools.product(range(ROUNDS), loops.items()):
            spent, began = [], time.perf_counter()
            while time.perf_counter() - began < BLOCK or not spent:
                spent.append(next(loop))
            times[name].append(statistics.fmean(spent))
    return {name: statistics.median(each) for name, each in times.items()}


def _steps(task: Task, candidate: Candidate, trial: Trial) -> Iterator[float]:
    """The seconds of each step of the trial's run, without end: after its last, or a diverged one, it begins anew."""
    while True:
        learner = Plain(task, candidate, trial)
        sow(trial.seed, 1)
        batches = task.source.passes(trial.seed)
        for _ in range(trial.steps):
            began = time.perf_counter()
            loss = learner.step(next(batches))
            yield time.perf_counter() - began
            if not math.isfinite(float(loss)):
                break
