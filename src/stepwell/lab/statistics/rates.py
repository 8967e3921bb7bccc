"""What a curve of loss against learning rate says: the best rate, how wide its basin is, where training diverges."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.domain import REAL, NonNegative, check
from stepwell.lab.statistics.reading import FLOOR, Array, losses, numbers


@dataclass(frozen=True)
class BestRate:
    """The best learning rate, or why there is no clear answer.

    Attributes:
        rate: the smoothed minimiser, or None.
        reason: why there is none, or None.
        lowest: the measured rate with the lowest loss, or None where none was finite.
        loss: its loss.
    """

    rate: float | None
    reason: str | None
    lowest: float | None
    loss: float


@dataclass(frozen=True)
class Basin:
    """The rates about the best one whose loss is nearly as low.

    Attributes:
        low, high: its ends.
        low_open, high_open: whether it reaches to the grid's end, and so perhaps beyond.
        threshold: the loss that it is below.
    """

    low: float
    high: float
    low_open: bool
    high_open: bool
    threshold: float


def best_rate(rates: Any, values: Any, noise: float = 0.0, initial: float | None = None) -> BestRate:
    """The learning rate with the lowest loss: where a parabola in log rate, through the lowest and its neighbours, is.

    A lowest point among three puts the vertex no further than halfway to a neighbour. A loss above `initial` counts as
    `initial`, so that how badly a neighbour fails does not move it; next to a diverged rate, without `initial`, the
    answer is the measured rate.

    No clear answer (`rate` is None) where
    - every rate diverged;
    - no loss is more than `noise` below `initial`: nothing was learnt;
    - all that did not diverge are within `noise` of each other, if they are more than one;
    - another rate is within `noise` of the lowest, and between the two is one that is more than `noise` above both;
    - the lowest is the first or the last rate of the grid.

    Args:
        rates: finite, > 0, distinct, in any order.
        values: the loss at each; ∞ or NaN: it diverged.
        noise: the difference of two losses that chance alone gives, from `seed_noise` or `noise_floor`.
        initial: the loss before training.

    Errors: ValueError for rates and losses that are not as said.

    >>> from stepwell.lab.statistics import best_rate
    >>> round(best_rate([0.01, 0.1, 1.0], [0.5, 0.1, 0.3]).rate, 3)
    0.147
    >>> best_rate([0.01, 0.1, 1.0], [0.5, 0.3, 0.1]).reason
    'the lowest loss is at the highest rate of the grid, 1'
    """
    x, y = _read(rates, values)
    noise, initial = check(FLOOR, "noise", noise), _initial(initial)
    if not np.isfinite(y).any():
        return BestRate(None, "training diverged at every rate", None, math.inf)
    i = int(np.argmin(y))
    reason = _unclear(x, y, i, noise, initial)
    rate = None if reason else math.exp(_vertex(np.log(x), np.minimum(y, math.inf if initial is None else initial), i))
    return BestRate(rate, reason, float(x[i]), float(y[i]))


def basin(rates: Any, values: Any, within: float = 0.1, initial: float | None = None) -> Basin | None:
    """The interval of rates about the lowest loss in which the loss is at most a threshold.

    With `initial`, the loss before training, the threshold is lowest + within·(initial − lowest): 90 % of what the best
    rate learns is learnt. This does not change if a constant is added to the losses or they are scaled, so use
    it wherever the initial loss is known. Without: lowest + within·|lowest|, as "within 10 %" is mostly meant; near a
    lowest loss of 0 that is nearly no interval.

    Its ends lie between grid points, where the line through both, loss against log rate, meets the threshold; a
    diverged neighbour's loss is infinite, so there the end is the last rate that was good. Only the stretch that
    holds the lowest loss counts.

    Args:
        rates, values, initial: as for `best_rate`. within: a finite number ≥ 0.

    Returns:
        None if every rate diverged or the lowest loss is not below `initial`.

    >>> from stepwell.lab.statistics import basin
    >>> found = basin([0.01, 0.1, 1.0], [1.1, 0.1, 0.6], initial=2.1)
    >>> round(found.low, 4), round(found.high, 3), found.threshold
    (0.0631, 0.251, 0.30000000000000004)
    """
    x, y = _read(rates, values)
    within, initial = check(NonNegative, "within", within), _initial(initial)
    lowest = float(y.min())
    if not lowest < (math.inf if initial is None else initial):
        return None
    threshold = lowest + within * (abs(lowest) if initial is None else initial - lowest)
    i = int(np.argmin(y))
    high, high_open = _end(np.log(x[i:]), y[i:], threshold)
    low, low_open = _end(np.log(x[i::-1]), y[i::-1], threshold)
    return Basin(math.exp(low), math.exp(high), low_open, high_open, threshold)


def divergence_edge(rates: Any, values: Any) -> float | None:
    """The geometric middle of the largest rate that did not diverge and the smallest above it, which did.

    Args:
        rates, values: as for `best_rate`; ∞ or NaN: it diverged.

    Returns:
        None if no rate diverged above the largest that did not, or if all diverged.

    >>> import math
    >>> from stepwell.lab.statistics import divergence_edge
    >>> divergence_edge([0.01, 0.1, 1.0, 10.0], [1.0, 0.5, math.inf, math.inf])
    0.31622776601683794
    """
    x, y = _read(rates, values)
    good = np.flatnonzero(np.isfinite(y))
    if not len(good) or good[-1] == len(x) - 1:
        return None
    return math.sqrt(x[good[-1]]) * math.sqrt(x[good[-1] + 1])


def seed_noise(values: Any) -> float:
    """The difference of two rates' mean losses that chance alone gives at about 95 %, from several seeds.

    t·s·√(2/seeds), t Student's 97.5 % point with (seeds−1)(rates−1) degrees of freedom. s² is the median over the rates
    of the variance over seeds, divided by its bias for normal losses. What a seed adds at every rate (the median
    over rates of its loss minus the rates' means) moves no minimum, and is taken off before. Measured on 11 rates
    and 3, 5 and 10 seeds of normal losses: 94 to 95 % of differences are less.

    Args:
        values: losses of shape (seeds, rates), at least two seeds; ∞ or NaN: it diverged. Rates at which a
            seed diverged are left out.

    Returns:
        ∞ if at every rate some seed diverged: nothing is known.

    >>> from stepwell.lab.statistics import seed_noise
    >>> seed_noise([[1.0, 0.5, 0.7], [2.0, 1.5, 1.7]])  # the second seed is 1 higher at every rate
    0.0
    """
    from scipy.stats import chi2, t

    table = losses("values", values, 2)
    if len(table) < 2:
        raise ValueError(f"values must have two seeds or more, each a row; got {len(table)}")
    table = table[:, np.isfinite(table).all(axis=0)]
    if not table.size:
        return math.inf
    seeds, rates = table.shape
    rest = table - table.mean(axis=0)
    if rates > 1:
        rest = (rest - np.median(rest, axis=1, keepdims=True)) * math.sqrt(rates / (rates - 1))
    bias = float(chi2.median(seeds - 1)) / (seeds - 1)
    variance = float(np.median(rest.var(axis=0, ddof=1))) / bias
    return float(t.isf(0.025, (seeds - 1) * max(1, rates - 1))) * math.sqrt(2 / seeds * variance)


def _read(rates: Any, values: Any) -> tuple[Array, Array]:
    """Rates from the smallest, and their losses."""
    x, y = numbers("rates", rates), losses("values", values)
    if x.shape != y.shape:
        raise ValueError(f"rates and values must be as many; got {len(x)} and {len(y)}")
    if not ((x > 0) & (x < math.inf)).all() or len(np.unique(x)) < len(x):
        raise ValueError(f"rates must be finite, > 0 and distinct; got {x.tolist()}")
    order = np.argsort(x)
    return x[order], y[order]


def _initial(initial: float | None) -> float | None:
    return None if initial is None else REAL.check("initial", initial)


def _unclear(x: Array, y: Array, i: int, noise: float, initial: float | None) -> str | None:
    """Why the lowest loss, the i-th, is no clear answer, or None."""
    finite = y[np.isfinite(y)]
    if initial is not None and not y[i] < initial - noise:
        return f"no rate brings the loss more than {noise:.3g} below the {initial:.3g} before training"
    if len(finite) > 1 and np.ptp(finite) <= noise:
        return f"the losses differ by {np.ptp(finite):.3g}, within the noise of {noise:.3g}"
    for j in np.flatnonzero(y <= y[i] + noise):
        between = y[min(i, j) + 1 : max(i, j)]
        if len(between) and between.max() > y[j] + noise:
            return f"the loss is as low at {x[j]:.3g} as at {x[i]:.3g}, and higher between"
    if i in (0, len(x) - 1):
        return f"the lowest loss is at the {'highest' if i else 'lowest'} rate of the grid, {x[i]:.3g}"
    return None


def _vertex(x: Array, y: Array, i: int) -> float:
    """Where the parabola through the i-th point and its neighbours is lowest; the point itself if they have none."""
    left, right = x[i] - x[i - 1], x[i + 1] - x[i]
    rise_left, rise_right = y[i - 1] - y[i], y[i + 1] - y[i]
    scale = max(rise_left, rise_right)
    if not 0 < scale < math.inf:
        return float(x[i])
    fall, climb = rise_left / scale / left, rise_right / scale / right
    return float(x[i] + (fall * right - climb * left) / (fall + climb) / 2)


def _end(x: Array, y: Array, threshold: float) -> tuple[float, bool]:
    """Where a curve that begins below a threshold rises above it, and whether it never does."""
    above = np.flatnonzero(y > threshold)
    if not len(above):
        return float(x[-1]), True
    j = int(above[0])
    return float(x[j - 1] + (threshold - y[j - 1]) / (y[j] - y[j - 1]) * (x[j] - x[j - 1])), False
