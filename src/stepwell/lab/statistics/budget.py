"""What a budget buys: the best of k trials, the time to a target, the share of tasks done nearly as fast as can be."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.domain import REAL, check
from stepwell.lab.statistics.intervals import order
from stepwell.lab.statistics.reading import BETWEEN, Array, losses, numbers


@dataclass(frozen=True)
class Best:
    """The best loss of k trials, for k = 1 … n; all arrays have length n.

    Attributes:
        trials: k.
        mean: the expected best loss; ∞ for as many k as trials diverged.
        quantile: the best loss that a share of searches with k trials reaches; the median unless asked otherwise.
        low, high: the interval on `quantile`; −∞ or ∞ where n trials cannot bound it.
    """

    trials: Array
    mean: Array
    quantile: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Reached:
    """When runs reached a target.

    Attributes:
        steps: for each run the step at which it did, or None.
        reached, runs: how many did, of how many.
        median: the step by which half of them have, or None if fewer than half did while they were watched.
    """

    steps: tuple[float | None, ...]
    reached: int
    runs: int
    median: float | None


@dataclass(frozen=True)
class Profile:
    """The share of tasks that each optimizer solves within a factor of the best one's cost.

    Attributes:
        factors: the factors at which a share rises, from 1 up; the shares hold from one to the next.
        shares: of shape (optimizers, factors).
        unsolved: how many tasks no optimizer solved; they count in the shares, for nobody.
    """

    factors: Array
    shares: Array
    unsolved: int

    def at(self, factor: float) -> Array:
        """Each optimizer's share of tasks within that factor of the best; 0 below a factor of 1."""
        index = int(np.searchsorted(self.factors, factor, side="right"))
        return self.shares[:, index - 1] if index else np.zeros(len(self.shares))


def expected_best(values: Any, quantile: float = 0.5, level: float = 0.95) -> Best:
    """The best validation loss after k of n random trials, for each k up to n.

    Expected: Σᵢ x₍ᵢ₎·[C(n−i+1, k) − C(n−i, k)]/C(n, k) over the ordered losses x₍₁₎ ≤ … ≤ x₍ₙ₎, the mean over all
    subsets of k of the n. Dodge et al. (2019), Show Your Work, <https://arxiv.org/abs/1909.03004>, draw the k with
    replacement, which is biased: too high a loss, most where k is near n. Tang et al. (2020),
    <https://arxiv.org/abs/2004.13705>, so draw without, which is unbiased for any law, and has the greater variance:
    Dodge et al. (2021), <https://arxiv.org/abs/2110.00613>. At k = n it is the best loss seen.

    Diverged trials: the expectation is ∞ until k exceeds their number; that is right, and says little. So the
    `quantile` is given as well, the loss that this share of searches with k trials ends at or below: the lowest x₍ᵢ₎
    with 1 − C(n−i, k)/C(n, k) ≥ quantile. It stays finite.

    Its interval: the best of k is at or below x with chance 1 − (1 − F(x))ᵏ, so its quantile is that of one trial at
    1 − (1 − quantile)^(1/k), between two of the ordered losses with the `level` (binomial, for any law, at each k by
    itself); no n trials say how low the best of n may be, so the lower end is −∞ once k is near n.
    Lourie, Cho & He (2023), <https://arxiv.org/abs/2311.09480>, give bands for all k together.

    Args:
        values: the validation loss of each trial, of independent draws from one search space (a grid's points are not);
            ∞ or NaN: it diverged.
        quantile, level: shares in (0, 1).

    >>> import math
    >>> from stepwell.lab.statistics import expected_best
    >>> best = expected_best([4.0, 1.0, 2.0, math.inf])
    >>> best.mean.round(3).tolist(), best.quantile.tolist()
    ([inf, 1.833, 1.25, 1.0], [2.0, 1.0, 1.0, 1.0])
    """
    ordered = np.sort(losses("values", values))
    quantile, level = check(BETWEEN, "quantile", quantile), check(BETWEEN, "level", level)
    n = len(ordered)
    k, i = np.arange(1, n + 1)[:, None], np.arange(1, n + 1)
    above = np.cumprod(np.maximum(n - i - k + 1, 0) / (n - k + 1), axis=0)  # C(n−i, k)/C(n, k): all k are above x₍ᵢ₎
    chance = np.concatenate([np.ones((n, 1)), above[:, :-1]], axis=1) - above
    mean = np.where(chance > 0, ordered, 0) * chance
    reached = np.argmax(1 - above >= quantile * (1 - 1e-12), axis=1)
    outer = np.concatenate([[-math.inf], ordered, [math.inf]])
    ends = np.array([order(n, 1 - (1 - quantile) ** (1 / m), level) for m in range(1, n + 1)])
    return Best(k[:, 0], mean.sum(axis=1), ordered[reached], outer[ends[:, 0]], outer[ends[:, 1]])


def time_to_target(curves: Iterable[tuple[Any, Any]], target: float) -> Reached:
    """The first measured step at which each run is at or below a target, and the median over the runs.

    The median is the first step by which the estimate of the share that has not reached it is at most half: Kaplan &
    Meier (1958), JASA 53: Π (1 − dᵢ/nᵢ) over the steps, dᵢ runs of nᵢ that were still watched reaching it there. A run
    that ended above the target may have reached it later, and counts for as long as it was watched; one that
    diverged never does. Where all runs are as long, the median is the ⌈n/2⌉-th of the n runs.

    Args:
        curves: for each run its steps (or seconds), ascending, and the losses measured there, ∞ or NaN: it diverged.
        target: the loss to reach.

    Errors: ValueError if there are no curves, or if a run's steps do not ascend or are not as many as its losses.

    >>> import math
    >>> from stepwell.lab.statistics import time_to_target
    >>> steps = [0, 10, 20]
    >>> time_to_target([(steps, [3, 2, 1]), (steps, [3, 1, 1]), (steps, [3, math.inf, math.inf])], target=1)
    Reached(steps=(20.0, 10.0, None), reached=2, runs=3, median=20.0)
    """
    target = REAL.check("target", target)
    times: list[float] = []
    watched: list[float] = []
    for index, curve in enumerate(curves):
        step, loss = _curve(f"curves[{index}]", curve)
        hit = np.flatnonzero(loss <= target)
        times.append(float(step[hit[0]]) if len(hit) else math.inf)
        watched.append(math.inf if len(hit) or not math.isfinite(loss[-1]) else float(step[-1]))
    if not times:
        raise ValueError("curves must have a run")
    steps = tuple(None if math.isinf(time) else time for time in times)
    return Reached(steps, len(times) - steps.count(None), len(times), _median(np.array(times), np.array(watched)))


def performance_profile(costs: Any) -> Profile:
    """For each optimizer the share of tasks that it solves within a factor τ of the best one's cost, for every τ.

    ρₛ(τ) = |{tasks p: cost(s, p) ≤ τ·minₛ cost(s, p)}| / |tasks|. ρₛ(1) is how often s is the best (ties: all of them
    are), ρₛ(∞) how often it gets there at all. Dolan & Moré (2002), Benchmarking optimization software with performance
    profiles, Mathematical Programming 91. Which of two is better may turn on who else is in the profile: Gould &
    Scott (2016), ACM TOMS 43; so with more than two, compare only with the best.

    Args:
        costs: of shape (optimizers, tasks), such as steps to a target, ≥ 0; ∞ where it never got there. Where the
            best cost is 0, only 0 is within any factor of it.

    Errors: ValueError for another shape, a negative cost or NaN.

    >>> import math
    >>> from stepwell.lab.statistics import performance_profile
    >>> profile = performance_profile([[10, 30, math.inf], [20, 30, 50]])
    >>> profile.factors, profile.shares.round(2).tolist()
    (array([1., 2.]), [[0.67, 0.67], [0.67, 1.0]])
    """
    table = numbers("costs", costs, 2)
    if not (table >= 0).all():
        raise ValueError(f"costs must be ≥ 0, ∞ where the target was not reached; got {table[~(table >= 0)][0]}")
    best = table.min(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(table == best, 1.0, table / best)
    ratios[np.isinf(table)] = math.inf
    factors = np.unique(np.append(ratios[np.isfinite(ratios)], 1.0))
    shares = (ratios[:, :, None] <= factors).mean(axis=1)
    return Profile(factors, shares, int(np.isinf(best).sum()))


def _curve(name: str, curve: tuple[Any, Any]) -> tuple[Array, Array]:
    step, loss = numbers(f"{name}[0]", curve[0]), losses(f"{name}[1]", curve[1])
    if len(step) != len(loss) or not (np.diff(step) > 0).all():
        raise ValueError(
            f"{name} must be ascending steps and a loss for each; got {len(step)} steps, {len(loss)} losses"
        )
    return step, loss


def _median(times: Array, watched: Array) -> float | None:
    """When half have reached it; `times` is ∞ for who did not, `watched` how long that is known."""
    share = 1.0
    for time in np.unique(times[np.isfinite(times)]):
        share *= 1 - (times == time).sum() / ((times >= time) & (watched >= time)).sum()
        if share <= 0.5 + 1e-12:
            return float(time)
    return None
