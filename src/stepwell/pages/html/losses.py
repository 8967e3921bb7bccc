"""Losses of runs for charts: above the least there can be, their spread over seeds, and where the scale ends."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.standing import Spread
from stepwell.lab.trial import Run

Points = list[tuple[float, Spread]]


def above(results: Results, loss: float | None) -> float:
    """A loss above the least that there can be; infinite where there is none."""
    return math.inf if loss is None else loss - results.task["lowest"]


def name(results: Results, long: bool = True) -> str:
    """What the loss is called."""
    measured, lowest = results.task["measured"], results.task["lowest"]
    return f"{measured if long else measured.partition(' [')[0]}{f' above {lowest:g}' if lowest else ''}"


def ceiling(results: Results, runs: Iterable[Run]) -> float:
    """The loss from which on a run is off the scale: about three times that before training."""
    starts = [x for run in runs if math.isfinite(x := above(results, next(iter(run.curve["loss"]), None)))]
    ends = [x for run in runs if math.isfinite(x := above(results, run.loss))]
    if not ends:
        return math.inf
    start = max(starts, default=max(ends))
    top = start + 2 * max(start - min(ends), 0.0)
    return top if top > min(ends) else max(ends)


def spread(results: Results, runs: Iterable[Run]) -> Spread:
    """The last losses of some runs."""
    return Spread.of(above(results, run.loss) for run in runs)


def over_steps(results: Results, runs: Sequence[Run]) -> Points:
    """The losses of some runs at each step at which the longest was measured; infinite after one diverged."""
    steps = max((run.curve["step"] for run in runs), key=len)
    curves = [run.curve["loss"] for run in runs]
    return [
        (step, Spread.of(above(results, curve[i]) if i < len(curve) else math.inf for curve in curves))
        for i, step in enumerate(steps)
    ]


def seen(x: float) -> float | None:
    """A number that can be drawn."""
    return x if math.isfinite(x) else None


def text(x: float) -> str:
    """A loss in words."""
    return f"{x:.4g}" if math.isfinite(x) else "diverged"


def hyper_of(run: Run) -> dict[str, float]:
    """All hyperparameters of a run, the learning rate first."""
    return {"lr": run.lr, **dict(run.hyper)}


def words_of(settings: dict[str, Any] | dict[str, float]) -> str:
    """Hyperparameters in words.

    >>> words_of({"lr": 0.01, "beta": 0.9})
    'lr 0.01, beta 0.9'
    """
    return ", ".join(f"{key} {value:.4g}" for key, value in settings.items())
