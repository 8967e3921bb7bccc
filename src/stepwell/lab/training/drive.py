"""The loop of a training, whoever takes its steps: one model, or many that are stacked."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from stepwell.lab.batches import TaskError, explained
from stepwell.lab.randomness import preserved, sow
from stepwell.lab.task import Task
from stepwell.lab.trial import Curve, Run, Trial

if TYPE_CHECKING:
    from torch import Tensor


class Learner(Protocol):
    """What takes the steps of some trials, all of one seed and one length; a value for each that still runs."""

    def step(self, batch: Any) -> "Tensor":
        """A step of each; their losses before it."""
        ...

    def measure(self) -> Sequence[tuple[float, float | None]]:
        """Loss and metric of each on what is held out."""
        ...

    def keep(self, places: list[int]) -> None:
        """Go on with those at these places alone."""
        ...


Tell = Callable[[int], object]


def drive(task: Task, learner: Learner, trials: Sequence[Trial], began: float, tell: Tell | None = None) -> list[Run]:
    """Train the trials of a group: the same batches, and the same draws of the generators, for all.

    Nothing of the generators is left behind. A trial whose loss is not finite is taken out when that is measured.

    Args:
        began: `time.perf_counter()` at which the group's cost began to count; measuring does not count.
        tell: called with the number of steps taken, after each measurement.

    Errors: `TaskError` if there is no batch.
    """
    steps, seed = trials[0].steps, trials[0].seed
    log = _Log(task, learner, trials, began, tell)
    with preserved():
        sow(seed, 1)
        batches = task.source.passes(seed)
        for k in range(steps if log.alive else 0):
            with explained("the data cannot be read"):
                batch = next(batches, None)
            if batch is None:
                raise TaskError(f"data gave no batch for step {k + 1} of {steps}: a loader must not be empty")
            if not log.took(learner.step(batch)):
                break
    return log.runs()


class _Log:
    """The measurements of a group, on a clock that stands still while they are made."""

    def __init__(self, task: Task, learner: Learner, trials: Sequence[Trial], began: float, tell: Tell | None):
        self.task, self.learner, self.trials, self.tell = task, learner, trials, tell
        self.pace, self.steps = task.pace(trials[0].steps), 0
        self.curves = [Curve(task.goal) for _ in trials]
        self.alive = list(range(len(trials)))
        self.sums = [0.0] * len(trials)
        self.since_measured = 0
        self.seconds, self.running = 0.0, began
        self.cost = [0.0] * len(trials)
        if task.held_out is not None:
            self._measure()

    def took(self, losses: "Tensor") -> bool:
        """Count a step; says whether any trial goes on."""
        self.steps += 1
        if self.task.held_out is None:
            numbers = losses.tolist()
            self._sum(numbers)
            if self.steps == 1:
                self._add([(loss, None) for loss in numbers], step=0)
        if self.steps % self.pace == 0 or self.steps == self.trials[0].steps:
            self._measure()
        return bool(self.alive)

    def _sum(self, losses: Sequence[float]) -> None:
        self.since_measured += 1
        for place, loss in zip(self.alive, losses, strict=True):
            self.sums[place] += loss

    def _measure(self) -> None:
        self._stop_clock()
        if self.task.held_out is None:
            found = [(self.sums[place] / self.since_measured, None) for place in self.alive]
            self.sums, self.since_measured = [0.0] * len(self.trials), 0
        else:
            with preserved():
                found = self.learner.measure()
        self._add(found, self.steps)
        if self.tell is not None:
            self.tell(self.steps)
        self.running = time.perf_counter()

    def _stop_clock(self) -> None:
        spent = time.perf_counter() - self.running
        for place in self.alive:
            self.cost[place] += spent / len(self.alive)

    def _add(self, found: Sequence[tuple[float, float | None]], step: int) -> None:
        pairs = list(zip(self.alive, found, strict=True))
        kept = [k for k, (place, point) in enumerate(pairs) if self.curves[place].add(step, *point)]
        if len(kept) < len(self.alive):
            self.alive = [self.alive[k] for k in kept]
            if self.alive:
                self.learner.keep(kept)

    def runs(self) -> list[Run]:
        """What came of each trial."""
        return [c.run(t, s) for c, t, s in zip(self.curves, self.trials, self.cost, strict=True)]
