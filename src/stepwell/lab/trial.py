"""A trial, which sets one run apart from the others of a sweep, and the run that came of it."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

from stepwell.domain import at_least
from stepwell.lab.documents import plain

DIVERGED = "diverged"
DONE = "done"


def seeds_of(name: str, wanted: SupportsIndex | Sequence[int], taken: Collection[int] = ()) -> list[int]:
    """The seeds of an argument of that name: so many after those that are taken, or these, if none of them is.

    These may be an array, too.

    Errors: ValueError for none, for one twice, for one below 0 or taken; TypeError for what is no integer.

    >>> seeds_of("seeds", 3), seeds_of("seeds", 2, taken=[0, 1, 2]), seeds_of("seeds", [7, 5])
    ([0, 1, 2], [3, 4], [7, 5])
    """
    given: Any = wanted
    wanted = given.tolist() if hasattr(given, "tolist") else given  # an array's plain numbers
    if not isinstance(wanted, Sequence):
        first = max(taken, default=-1) + 1
        return list(range(first, first + at_least(1).check(name, wanted)))
    found = [at_least(0).check(f"each of {name}", seed) for seed in wanted]
    if not found or len(set(found)) < len(found) or set(taken) & set(found):
        others = f", none of them {', '.join(map(str, sorted(taken)))}" if taken else ""
        raise ValueError(f"{name} must be one or more different integers{others}; got {wanted!r}")
    return found


@dataclass(frozen=True)
class Trial:
    """An optimizer with its settings, a seed, and how many steps are to be trained.

    Attributes:
        optimizer: the rule's name. lr: its learning rate, before the task's schedule.
        seed: of the initial weights, of the order of data and of what the model draws.
        steps: of the run. hyper: other hyperparameters by name; those that are not there have the rule's defaults.
    """

    optimizer: str
    lr: float
    seed: int
    steps: int
    hyper: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, optimizer: str, hyper: Mapping[str, float], seed: int, steps: int) -> "Trial":
        """A trial by all its hyperparameters, the rate among them."""
        rest = sorted((name, value) for name, value in hyper.items() if name != "lr")
        return cls(optimizer, hyper["lr"], seed, steps, tuple(rest))

    @property
    def settings(self) -> dict[str, float]:
        """All hyperparameters that the trial gives."""
        return {"lr": self.lr, **dict(self.hyper)}

    @property
    def point(self) -> tuple[str, float, tuple[tuple[str, float], ...]]:
        """What the seeds of one choice have in common."""
        return self.optimizer, self.lr, self.hyper


@dataclass(frozen=True)
class Run:
    """What a trial came to. A loss that is not finite is None: then the run is "diverged" and was stopped there.

    Attributes:
        optimizer, lr, hyper, seed, steps: the trial's.
        status: "done" or "diverged".
        taken: steps that it took. goal_step: the first measured step at which the task's goal was reached, or None.
        loss, metric: the last measurement. best: the least loss of all measurements.
        seconds: what it cost, its share of its group's where many runs were one; without the measurements.
        curve: by name ("step", "loss", "metric"), one number for each measurement.
    """

    optimizer: str
    lr: float
    seed: int
    steps: int
    hyper: tuple[tuple[str, float], ...]
    status: str
    taken: int
    goal_step: int | None
    loss: float | None
    metric: float | None
    best: float | None
    seconds: float
    curve: dict[str, list[Any]] = field(repr=False)

    @property
    def trial(self) -> Trial:
        """What the run is of."""
        return Trial(self.optimizer, self.lr, self.seed, self.steps, self.hyper)

    @property
    def cost(self) -> float:
        """The loss, infinite where it diverged: what runs are ranked by."""
        return math.inf if self.loss is None else self.loss


class Curve:
    """The measurements of a run as they are made."""

    def __init__(self, goal: Any):
        self.goal = goal
        self.points: dict[str, list[Any]] = {"step": [], "loss": [], "metric": []}
        self.goal_step: int | None = None
        self.diverged = False

    def add(self, step: int, loss: float, metric: float | None) -> bool:
        """Add a measurement; says whether the training is still finite."""
        self.points["step"].append(step)
        self.points["loss"].append(plain(loss))
        if metric is not None:
            self.points["metric"].append(plain(metric))
        if self.goal_step is None and self.goal is not None and self.goal.reached(loss, metric):
            self.goal_step = step
        self.diverged = not math.isfinite(loss)
        return not self.diverged

    def run(self, trial: Trial, seconds: float) -> Run:
        """The run that these measurements are of."""
        losses: Sequence[float | None] = self.points["loss"]
        return Run(
            **vars(trial),
            status=DIVERGED if self.diverged else DONE,
            taken=self.points["step"][-1],
            goal_step=None if self.diverged else self.goal_step,
            loss=losses[-1],
            metric=None if self.diverged else (self.points["metric"] or [None])[-1],
            best=min((x for x in losses if x is not None), default=None),
            seconds=round(seconds, 6),
            curve=self.points,
        )
