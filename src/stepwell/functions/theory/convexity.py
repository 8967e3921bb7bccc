"""Is it convex? Hessian signs and chords at random points, and a counter-example where the answer is no."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.domain import check
from stepwell.functions.given import reals, returned
from stepwell.functions.theory.sampling import Box, Curvature
from stepwell.schedules.domains import Steps

ROUNDING = 1e-12
POINTS_A_CHORD = 5
SHRINKING = 0.25 ** np.arange(10)
"""The lengths of the chords along a direction of negative curvature, in units of the longest."""
CHORD = "f(wx + (1-w)y) ≤ w·f(x) + (1-w)·f(y)"
HESSIAN = "0 ≤ λmin(∇²f(x))"
MEMBER = "wx + (1-w)y is in the set"


@dataclass(frozen=True)
class CounterExample:
    """A violated `inequality` at `points`, (x, y) or (x,): its `left` side is above its `right` one.

    `weight` is w, None where there is none; `left` and `right` are None for sets.
    """

    inequality: str
    points: tuple[Any, ...]
    weight: float | None = None
    left: float | None = None
    right: float | None = None

    def __str__(self) -> str:
        """The points that break the inequality, with its sides, to four digits.

        >>> str(CounterExample("f(x) ≤ 0", (np.array([0.5]),), left=1.0, right=0.0))
        'f(x) ≤ 0 fails at x = 0.5: 1 against 0'
        """
        values = dict(zip("xy", self.points, strict=False)) | ({} if self.weight is None else {"w": self.weight})
        places = ", ".join(f"{name} = {_short(value)}" for name, value in values.items())
        sides = "" if self.left is None else f": {self.left:.4g} against {self.right:.4g}"
        return f"{self.inequality} fails at {places}{sides}"


@dataclass(frozen=True)
class Convexity:
    """True or false as an `if` sees it. False has a counter-example, which proves it; true has only `evidence`."""

    evidence: str
    counter_example: CounterExample | None = None

    def __bool__(self) -> bool:
        return self.counter_example is None


def is_convex(
    fun: Callable[[Any], Any],
    box: Any = None,
    *,
    hess: Callable[[Any], Any] | None = None,
    points: int = 200,
    chords: int = 2000,
    seed: int = 0,
) -> Convexity:
    """Whether f is convex on a box: ∇²f ⪰ 0 at random points, f(wx+(1-w)y) ≤ wf(x)+(1-w)f(y) on random chords.

    Args:
        fun: a function of a point (n,) that returns a number, or a `Surface`.
        box: (low, high) for each coordinate; one pair for a function of a number; None for a surface's own domain.
        hess: its Hessian, (n, n) or a number; without it a surface's own, else central differences, whose negative
            curvature counts only where f lies above a chord along it: across a kink they may have any sign.
        points, chords: how many of each are tried; seed: of the random numbers.

    >>> from stepwell.functions import surfaces
    >>> bool(is_convex(surfaces.half_square)), bool(is_convex(surfaces.cosine))
    (True, False)
    >>> bool(is_convex(abs, (-1.0, 1.0), points=0))  # chords alone, for there is no Hessian at 0
    True

    Errors: a ValueError for a box that is none, and where fun or its Hessian is not finite on it; a TypeError where fun
    returns no single number.
    """
    region, random = Box.of(fun, box), np.random.default_rng(seed)
    curvature = Curvature(fun, hess, region)
    points, chords = _counts(points=points, chords=chords)
    if points and (found := _negative_curvature(curvature, region, region.sample(random, points, curvature.margin))):
        above = ", and f lies above a chord along it" if curvature.differences else ""
        return Convexity(f"∇²f has an eigenvalue below 0, by {curvature.source}{above}", found)
    if chords and (found := _chord_below(fun, region, *_random_chords(region, random, chords))):
        return Convexity("f lies above one of its chords", found)
    return Convexity(f"∇²f ⪰ 0 at {points} random points, by {curvature.source}; f below {chords} random chords")


def _counts(**counts: int) -> list[int]:
    found = [check(Steps, name, count) for name, count in counts.items()]
    if not any(found):
        raise ValueError(f"{' or '.join(counts)} must be above 0; got {counts}")
    return found


def _negative_curvature(curvature: Curvature, box: Box, x: np.ndarray) -> CounterExample | None:
    """Where an eigenvalue is below 0; of differences, which a kink misleads, it takes a chord along its vector too."""
    eigenvalues, vectors = np.linalg.eigh(curvature.at(x))
    scale = np.abs(eigenvalues).max(axis=-1)
    if curvature.differences:
        scale = np.maximum(scale, np.abs(box.values(curvature.fun, x)))
    excess = -eigenvalues[:, 0] - curvature.noise * scale
    if curvature.differences:
        below = np.flatnonzero(excess > 0)
        ends = _chords_through(box, x[below], vectors[below, :, 0])
        return _chord_below(curvature.fun, box, *ends) if below.size else None
    worst = int(np.argmax(excess))
    if excess[worst] <= 0:
        return None
    return CounterExample(HESSIAN, (box.point(x[worst]),), left=0.0, right=float(eigenvalues[worst, 0]))


def _chords_through(box: Box, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chords with their middles at the rows of x, along those of v, from as long as the box allows to a short one."""
    with np.errstate(divide="ignore"):
        room = (np.minimum(x - box.low, box.high - x) / np.abs(v)).min(axis=1)
    half = (room * SHRINKING[:, None])[..., None] * v
    return (*(np.clip(x + side, box.low, box.high).reshape(-1, x.shape[1]) for side in (half, -half)), np.array(0.5))


def _random_chords(box: Box, random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, w = box.sample(random, count), box.sample(random, count), random.uniform(0.05, 0.95, count)
    near = x + (y - x) * 10.0 ** random.uniform(-3, 0, (count, 1))  # chords of every length: a dent may be small
    return x, np.clip(near, box.low, box.high), w


def _chord_below(fun: Callable[[Any], Any], box: Box, x: np.ndarray, y: np.ndarray, w: Any) -> CounterExample | None:
    w = np.broadcast_to(w, len(x))
    left = box.values(fun, w[:, None] * x + (1 - w)[:, None] * y)
    ends = box.values(fun, x), box.values(fun, y)
    right = w * ends[0] + (1 - w) * ends[1]
    excess = left - right - ROUNDING * (np.abs(left) + np.abs(ends[0]) + np.abs(ends[1]))
    worst = int(np.argmax(excess))
    if excess[worst] <= 0:
        return None
    pair = box.point(x[worst]), box.point(y[worst])
    return CounterExample(CHORD, pair, float(w[worst]), float(left[worst]), float(right[worst]))


def is_convex_set(contains: Callable[[Any], Any], box: Any, *, chords: int = 2000, seed: int = 0) -> Convexity:
    """Whether a set is convex, as far as a box shows it: points between random members are members.

    `contains(x)` says whether a point (n,), or a number where `box` is one pair, is in the set. Members are found by
    sampling the box: a set without volume has none, and a dent may be too small to be met.

    >>> ring = is_convex_set(lambda x: 1 <= x @ x <= 4, [(-2, 2), (-2, 2)])
    >>> bool(ring), ring.counter_example.inequality
    (False, 'wx + (1-w)y is in the set')

    Errors: a ValueError for a box that is none, and where no two of its samples are members.
    """
    (chords,) = _counts(chords=chords)
    region, random = Box.of(None, box), np.random.default_rng(seed)
    drawn = region.sample(random, 2 * chords + 100)
    members = drawn[[bool(contains(region.point(x))) for x in drawn]]
    if len(members) < 2:
        raise ValueError(f"box must hold members of the set; got {len(members)} in {len(drawn)} samples of {box!r}")
    ends = members[random.integers(len(members), size=(chords, 2))]
    for x, y in ends:
        for w in random.uniform(size=POINTS_A_CHORD):
            if not contains(region.point(w * x + (1 - w) * y)):
                found = CounterExample(MEMBER, (region.point(x), region.point(y)), float(w))
                return Convexity("a point between two members is none", found)
    return Convexity(f"every point tried between {chords} pairs of {len(members)} members is a member")


def jensen_gap(fun: Callable[[Any], Any], points: Any, weights: Any = None) -> float:
    """E[f(X)] - f(E[X]) = Σwᵢf(xᵢ) - f(Σwᵢxᵢ): never below 0, rounding aside, where f is convex.

    `points` has shape (k,) for a function of a number, (k, n) otherwise; `weights` (k,), each ≥ 0, are divided by
    their sum, and are equal by default. Jensen (1906). <https://doi.org/10.1007/BF02418571>

    >>> jensen_gap(lambda x: x**2, [1.0, 3.0])  # the variance
    1.0

    Errors: a ValueError for no points, and for weights of another length, below 0, or all 0; a TypeError for what is
    not real.
    """
    words = "points must have shape (k,) or (k, n) with k ≥ 1"
    x = reals(words, points)
    if x.ndim not in (1, 2) or not x.size:
        raise ValueError(f"{words}; got shape {x.shape}")
    words = f"weights must be {len(x)} finite numbers ≥ 0, not all 0"
    w = np.ones(len(x)) if weights is None else reals(words, weights)
    if w.shape != (len(x),) or not (w >= 0).all() or not 0 < w.sum() < np.inf:
        raise ValueError(f"{words}; got {weights!r}")
    w = w / w.sum()
    values = [returned("fun", fun(row.copy())) for row in x]
    return float(w @ values) - returned("fun", fun((w @ x)[()]))


def _short(value: Any) -> str:
    numbers = [f"{x:.4g}" for x in np.ravel(value)]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"
