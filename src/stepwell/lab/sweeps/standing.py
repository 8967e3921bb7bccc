"""An optimizer's place in a ranking: which of its settings is best, and how far it is behind the first."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from stepwell.lab.statistics import interval
from stepwell.lab.statistics import verdict as told_apart
from stepwell.lab.trial import Run


@dataclass(frozen=True)
class Spread:
    """A number over seeds. Infinity stands for a run that diverged."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Self:
        """The spread of some numbers, None being infinite."""
        numbers = [math.inf if x is None else x for x in values]
        return cls(statistics.median(numbers), min(numbers), max(numbers))


@dataclass(frozen=True)
class Gap:
    """How much more one's loss is than another's, paired by seed: the mean, and an interval on it."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """An optimizer's place: its results at its best setting (see `stepwell.lab.sweeps.results` for the names)."""

    optimizer: str
    lr: float
    hyper: dict[str, float]
    edge: bool
    tied: bool
    seeds: int
    loss: Spread
    metric: Spread | None
    gap: Gap | None
    goal_step: float | None
    goal_reached: int


def median_loss(runs: Sequence[Run]) -> float:
    """The median of the last losses, a run that diverged being infinite."""
    return Spread.of(run.loss for run in runs).median


def best_of(groups: Sequence[list[Run]]) -> list[Run]:
    """The lowest median loss among the groups with most seeds: an interrupted search has fewer of some."""
    most = max(map(len, groups))
    return min((runs for runs in groups if len(runs) == most), key=median_loss)


def standing(runs: list[Run], rates: list[float], first: list[Run]) -> Standing:
    """The place of an optimizer whose best runs are these, of all its rates, beside the best runs of the first."""
    leading = {run.seed: run.cost for run in first}
    pairs = [(run.cost, leading[run.seed]) for run in runs if run.seed in leading]
    own, others = ([pair[k] for pair in pairs] for k in (0, 1))
    behind = runs is not first and bool(pairs)
    gap = interval(_gaps(own, others)) if behind and all(map(math.isfinite, (*own, *others))) else None
    goal_step = Spread.of(run.goal_step for run in runs).median
    scores = [run.metric for run in runs if run.metric is not None]
    return Standing(
        optimizer=runs[0].optimizer,
        lr=runs[0].lr,
        hyper=dict(runs[0].hyper),
        edge=len(rates) > 1 and not runs[0].hyper and runs[0].lr in (rates[0], rates[-1]),
        tied=behind and math.isfinite(min(own)) and told_apart(own, others) == "tie",
        seeds=len(runs),
        loss=Spread.of(run.loss for run in runs),
        metric=Spread.of(scores) if scores else None,
        gap=Gap(gap.estimate, gap.low, gap.high) if gap else None,
        goal_step=goal_step if math.isfinite(goal_step) else None,
        goal_reached=sum(run.goal_step is not None for run in runs),
    )


def _gaps(own: Sequence[float], others: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(own, others, strict=True)]
