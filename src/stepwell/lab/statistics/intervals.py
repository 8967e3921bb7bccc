"""The interval on a mean or a median of a few paired differences, such that noise alone is rarely called a difference.

Mean: the least interval that holds two others, since each is too short where the other is not.

1. The exact sign-flip test, inverted. If differences are symmetric about θ, then θ lies in each of the 2ⁿ gaps between
   the ordered means of the 2ⁿ−1 nonempty subsets with chance 2⁻ⁿ; so the interval from the k-th lowest to the k-th
   highest of these means, k = ⌊2ⁿ(1−level)/2⌋, holds θ with chance 1 − 2k/2ⁿ ≥ level, however heavy the tails.
   Hartigan (1969), Using subsample values as typical values, JASA 64. Of two equal optimizers, differences are
   symmetric whatever the losses' law: their runs may be exchanged.
2. The bootstrap-t: mean − t*·s/√n at the quantiles t* of the studentized mean over resamples with replacement. Efron &
   Tibshirani (1993), An Introduction to the Bootstrap, section 12.5. It follows a skew, as differences of unequal
   optimizers have; alone, at 95 %, it misses up to 9 % where tails are heavy and n = 8.

Where 2ⁿ(1−level)/2 < 1, below 6 differences at 95 %, no interval that assumes only symmetry has an end, and a bootstrap
has too few values to draw from. There, and below 6 at any level, it is the least interval that holds Student's and all
differences: right for normal ones, longer than it needs be for heavy tails. Differences that are all equal then have
no known spread, so the interval is the whole line, unless they are 0. One or two differences give the whole line.

Measured at 95 %: the share of 20000 samples of two equal optimizers whose interval does not hold 0, the highest for
normal, uniform, exponential, lognormal, t(2), Cauchy, bathtub and two- and three-basin losses, and where 5 and 20 %
of runs diverge; and the share in which a difference of 1.5 standard deviations is found (normal differences):

    n                          3      5      6      8      10     20
    false claims           5.2 %  4.5 %  3.1 %  4.8 %   4.8 %
      percentile bootstrap  34 %   20 %   18 %   17 %    14 %
    found                   32 %   66 %   62 %   88 %    97 %  100 %

Median: from the a-th lowest to the a-th highest difference, a the largest for which fewer than a of n fair coins fall
heads with chance ≤ (1−level)/2: the inverted sign test, for any law. It has no ends below 6 differences at 95 %.

Infinite differences, where one of a pair diverged: only their sign counts in 1, and 2 is left out. A subset with
both +∞ and −∞ may have any mean. Where 1 cannot be, the interval is the whole line, unless all are infinite with one
sign, and n ≥ 3 at 95 %: of equal optimizers that has a chance of 2/4ⁿ at most.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.domain import check
from stepwell.lab.statistics.reading import BETWEEN, STATISTIC, Array, numbers

FEWEST = 6  # differences that can show one at 95 % without more assumed of them than symmetry
ENUMERATED = 16  # differences of which all subsets are taken; of more, DRAWN of them
DRAWN = 8192
ROUNDING = 1e-12  # a standard deviation below this share of the numbers is only their rounding


@dataclass(frozen=True)
class Interval:
    """An interval on the mean or median of the differences over seeds.

    Attributes:
        low, high: its ends, −∞ or ∞ where the data say nothing on that side.
        estimate: the mean or median itself; NaN for a mean of both +∞ and −∞.
        level: the share of such intervals that hold the true value.
        seeds: how many differences there are.
    """

    low: float
    high: float
    estimate: float
    level: float
    seeds: int

    @property
    def sign(self) -> int:
        """1 if all of the interval is above 0, −1 if all is below, 0 if it holds 0: no difference is shown."""
        return int(self.low > 0) - int(self.high < 0)


def interval(differences: Any, level: float = 0.95, statistic: str = "mean") -> Interval:
    """An interval on the mean (or median) of paired differences, one a seed.

    How it is made, and how often it is wrong, is in the text of `stepwell.lab.statistics.intervals`.

    Args:
        differences: one number a seed; ±∞ where just one of a pair diverged.
        level: the share of intervals that hold the true value, in (0, 1).
        statistic: "mean" or "median".

    Errors: ValueError for no differences or NaN among them, and for a level or statistic that is none.

    >>> from stepwell.lab.statistics import interval
    >>> found = interval([-0.20, -0.31, -0.18, -0.25, -0.22, -0.27, -0.24, -0.29])
    >>> round(found.low, 2), round(found.high, 2), found.sign
    (-0.28, -0.21, -1)
    >>> interval([-0.20, -0.31]).sign  # two seeds are too few for any claim
    0
    """
    values = numbers("differences", differences)
    level, statistic = check(BETWEEN, "level", level), check(STATISTIC, "statistic", statistic)
    if np.isnan(values).any():
        raise ValueError("differences must not have NaN; where both of a pair diverged, the difference is 0")
    low, high = bounds(values, level, statistic)
    with np.errstate(invalid="ignore", over="ignore"):
        estimate = float(np.mean(values) if statistic == "mean" else np.median(values))
    return Interval(float(low), float(high), estimate, level, len(values))


def bounds(samples: Array, level: float, statistic: str = "mean") -> tuple[Array, Array]:
    """The lower and upper ends for each row of `samples`, of shape (…, n): see this module's text.

    Of up to 16 differences all subsets are taken, of more 8192 drawn at random, as are the resamples; always the
    same ones, so that equal differences in any order give equal intervals.
    """
    samples = np.sort(samples, axis=-1)
    n, alpha = samples.shape[-1], 1 - level
    if statistic == "median":
        below, above = order(n, 0.5, level)
        return _kth(samples, below), _kth(samples, above)
    largest = np.max(np.abs(samples), axis=-1, where=np.isfinite(samples), initial=0)
    scale = np.where(largest > 0, largest, 1.0)  # since the squares of what nearly diverged overflow
    low, high = _mean_bounds(samples / scale[..., None], alpha)
    return low * scale, high * scale


def _mean_bounds(samples: Array, alpha: float) -> tuple[Array, Array]:
    """The same for the mean of ordered samples of size 1 or less."""
    n = samples.shape[-1]
    finite = np.asarray(np.isfinite(samples).all(axis=-1, keepdims=True))
    exact = n >= FEWEST and _rank(alpha, 2**n - 1 if n <= ENUMERATED else DRAWN) >= 1
    held = _typical(samples, alpha) if exact else (samples[..., 0], samples[..., -1])
    spread = (_bootstrap if exact else _student)(np.where(finite, samples, 0), alpha)
    otherwise = held if exact else _whole(samples, alpha)
    low = np.where(finite[..., 0], np.minimum(held[0], spread[0]), otherwise[0])
    return low, np.where(finite[..., 0], np.maximum(held[1], spread[1]), otherwise[1])


def order(n: int, quantile: float, level: float) -> tuple[int, int]:
    """Which of n ordered values, counted from 1, bound a quantile of their law with that level; 0 and n+1: none does.

    Of n values the number at or below the quantile is binomial(n, quantile), for any continuous law; for others the
    level is higher. Conover (1999), Practical Nonparametric Statistics, section 3.2.
    """
    from scipy.stats import binom

    low, high = (int(binom.ppf(share, n, quantile)) for share in ((1 - level) / 2, (1 + level) / 2))
    return low, high + 1


def _kth(ordered: Array, k: int) -> Array:
    """The k-th along the last axis, from 1; infinite beyond the ends."""
    if 1 <= k <= ordered.shape[-1]:
        return ordered[..., k - 1]
    return np.full(ordered.shape[:-1], -math.inf if k < 1 else math.inf)


def _rank(alpha: float, drawn: int) -> int:
    """The place, from 1, in as many ordered numbers, that cuts off half of alpha; 0 if they are too few."""
    return math.floor(alpha / 2 * (drawn + 1) * (1 + ROUNDING))


def _whole(samples: Array, alpha: float) -> tuple[Array, Array]:
    """The whole line, or the point at infinity where all are, if equal optimizers rarely give that."""
    enough = 2 / 4.0 ** samples.shape[-1] <= alpha
    low = np.where(enough & (samples[..., 0] == math.inf), math.inf, -math.inf)
    return low, np.where(enough & (samples[..., -1] == -math.inf), -math.inf, math.inf)


def _typical(samples: Array, alpha: float) -> tuple[Array, Array]:
    """The k-th lowest and the k-th highest mean of the subsets."""
    n = samples.shape[-1]
    if n <= ENUMERATED:
        chosen = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    else:
        drawn = np.random.default_rng(0).integers(0, 2, (DRAWN // 2, n))
        chosen = np.concatenate([drawn, drawn[:, ::-1]])  # so that differences of the other sign give the mirror image
        chosen = chosen[chosen.any(axis=1)]
    k = max(1, _rank(alpha, len(chosen)))
    finite = np.isfinite(samples)
    means = np.where(finite, samples, 0) @ chosen.T / chosen.sum(axis=1)
    if finite.all():
        ordered = np.partition(means, [k - 1, -k], axis=-1)
        return ordered[..., k - 1], ordered[..., -k]
    up, down = ((samples == sign).astype(float) @ chosen.T > 0 for sign in (math.inf, -math.inf))
    low = np.where(down, -math.inf, np.where(up, math.inf, means))
    high = np.where(up, math.inf, np.where(down, -math.inf, means))
    return np.partition(low, k - 1, axis=-1)[..., k - 1], np.partition(high, -k, axis=-1)[..., -k]


@functools.cache
def _resamples(n: int) -> Array:
    """How often each of n ordered values is in each resample; with a resample comes its mirror image."""
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), DRAWN // 2)
    return np.concatenate([counts, counts[:, ::-1]]).T.astype(float)


def _bootstrap(samples: Array, alpha: float) -> tuple[Array, Array]:
    n = samples.shape[-1]
    mean, error = _moments(samples)
    centred = samples - mean[..., None]
    counts = _resamples(n)
    means = centred @ counts / n
    variances = (centred**2 @ counts / n - means**2) / (n - 1)
    variances[variances < np.max(centred**2, axis=-1, keepdims=True) * ROUNDING] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        studentized = np.divide(means, np.sqrt(variances, out=variances), out=means)
    studentized[np.isnan(studentized)] = 0
    k = max(1, _rank(alpha, counts.shape[1]))
    studentized.partition([k - 1, counts.shape[1] - k], axis=-1)
    flat = error == 0
    with np.errstate(invalid="ignore"):
        low, high = mean - studentized[..., -k] * error, mean - studentized[..., k - 1] * error
    return np.where(flat, mean, low), np.where(flat, mean, high)


def _student(samples: Array, alpha: float) -> tuple[Array, Array]:
    from scipy.stats import t

    n = samples.shape[-1]
    if n < 3:
        return np.full(samples.shape[:-1], -math.inf), np.full(samples.shape[:-1], math.inf)
    mean, error = _moments(samples)
    half = np.where(error > 0, t.isf(alpha / 2, n - 1) * error, np.where(mean == 0, 0, math.inf))
    return mean - half, mean + half


def _moments(samples: Array) -> tuple[Array, Array]:
    """The mean and its standard error, 0 if that is only rounding."""
    error = samples.std(axis=-1, ddof=1) / math.sqrt(samples.shape[-1])
    return samples.mean(axis=-1), np.where(error > ROUNDING * np.abs(samples).max(axis=-1), error, 0)
