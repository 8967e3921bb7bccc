"""The two constants of a function that convergence rates are written in: smoothness L and strong convexity μ."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from stepwell.domain import check
from stepwell.functions.surfaces import Surface
from stepwell.functions.theory.sampling import Box, Curvature
from stepwell.schedules.domains import Period

CORNERS = 10
"""The corners of a box, 2ⁿ, are among the samples up to this n: the extremes are often there."""


@dataclass(frozen=True)
class Constant:
    """A number with its standing: `exact`, or the extreme of the samples; `point` is where it was met."""

    value: float
    exact: bool
    point: Any
    evidence: str

    def __float__(self) -> float:
        return self.value


def lipschitz(
    fun: Callable[[Any], Any],
    box: Any = None,
    *,
    hess: Callable[[Any], Any] | None = None,
    points: Period = 2000,
    seed: int = 0,
) -> Constant:
    """L = max ‖∇²f(x)‖₂ on a box: ‖∇f(x)-∇f(y)‖ ≤ L‖x-y‖. Gradient descent with η < 2/L descends.

    Exact for a surface whose Hessian is constant; otherwise the largest of `points` random samples, and the corners
    up to n = 10 where there is a Hessian: a lower bound. By differences it is only as good as they are: their noise of
    about 1e-8|f| counts as curvature, so that a large constant in f hides L.
    fun, box, hess and the errors are those of `is_convex`.
    Nesterov (2004), section 1.2.2. <https://doi.org/10.1007/978-1-4419-8853-9>

    >>> from stepwell.functions import surfaces
    >>> found = lipschitz(surfaces.ravine)
    >>> float(found), found.exact
    (4.0, True)
    """
    return _extreme(fun, box, hess, points, seed, lambda eigenvalues: np.abs(eigenvalues).max(-1), np.argmax)


def strong_convexity(
    fun: Callable[[Any], Any],
    box: Any = None,
    *,
    hess: Callable[[Any], Any] | None = None,
    points: Period = 2000,
    seed: int = 0,
) -> Constant:
    """μ = min λmin(∇²f(x)) on a box: f(y) ≥ f(x) + ∇f(x)ᵀ(y-x) + ½μ‖y-x‖². Not above 0 where f has no such bound.

    Exact for a surface whose Hessian is constant; otherwise the least of `points` random samples, and the corners up
    to n = 10 where there is a Hessian: an upper bound, by differences as good as those (see `lipschitz`).
    fun, box, hess and the errors are those of `is_convex`.
    Nesterov (2004), section 2.1.3. <https://doi.org/10.1007/978-1-4419-8853-9>

    >>> from stepwell.functions import surfaces
    >>> float(strong_convexity(surfaces.ravine)), float(strong_convexity(surfaces.saddle))
    (0.2, -2.0)
    """
    return _extreme(fun, box, hess, points, seed, lambda eigenvalues: eigenvalues[..., 0], np.argmin)


def _extreme(fun: Any, box: Any, hess: Any, points: int, seed: int, measure: Any, pick: Any) -> Constant:
    region = Box.of(fun, box)
    curvature = Curvature(fun, hess, region)
    points = check(Period, "points", points)
    exact = isinstance(fun, Surface) and hess is None and fun.constant_hessian
    x = (region.low + region.high)[None] / 2 if exact else _samples(region, curvature, points, seed)
    measured = measure(np.linalg.eigvalsh(curvature.at(x)))
    extreme = int(pick(measured))
    evidence = "a constant Hessian" if exact else f"the extreme of {len(x)} samples, by {curvature.source}"
    return Constant(float(measured[extreme]), exact, region.point(x[extreme]), evidence)


def _samples(box: Box, curvature: Curvature, points: int, seed: int) -> np.ndarray:
    x = box.sample(np.random.default_rng(seed), points, curvature.margin)
    if curvature.differences or len(box.low) > CORNERS:
        return x
    return np.concatenate([x, list(product(*zip(box.low, box.high, strict=True)))])
