"""Boxes to sample functions on, and the Hessian of a function at the samples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.functions.given import reals, returned
from stepwell.functions.gradients import SECOND, central_gradient, central_jacobian
from stepwell.functions.surfaces import Surface


@dataclass(frozen=True)
class Box:
    """Sides [low, high], arrays of shape (n,); `plain` where its points are numbers and not arrays of one."""

    low: np.ndarray
    high: np.ndarray
    plain: bool

    @classmethod
    def of(cls, fun: Any, box: Any) -> "Box":
        """A pair (low, high) for functions of a number, one pair a coordinate otherwise; None for a surface's domain.

        Errors: a ValueError unless every low is finite and below its high; a TypeError for what is not real.
        """
        if box is None and isinstance(fun, Surface):
            box = fun.domain
        words = "box must be finite pairs (low, high) with low < high"
        sides = reals(words, box if box is not None else ())
        wrong = sides.ndim not in (1, 2) or sides.shape[-1] != 2 or not np.isfinite(sides).all()
        if wrong or not (sides[..., 0] < sides[..., 1]).all():
            raise ValueError(f"{words}; got {box!r}")
        low, high = np.atleast_2d(sides).T
        if isinstance(fun, Surface) and fun.dimension != len(low):
            raise ValueError(f"box must have {fun.dimension} sides for {fun.name}; got {box!r}")
        return cls(low, high, sides.ndim == 1)

    def sample(self, random: np.random.Generator, count: int, margin: float = 0.0) -> np.ndarray:
        """Points of shape (count, n); `margin`, in units of max(1, |x|), keeps them off the sides."""
        room = np.minimum(margin * np.maximum(1, np.maximum(abs(self.low), abs(self.high))), (self.high - self.low) / 4)
        return random.uniform(self.low + room, self.high - room, (count, len(self.low)))

    def point(self, x: np.ndarray) -> Any:
        """A row as a function takes it, its own to write in."""
        return float(x[0]) if self.plain else x.copy()

    def values(self, fun: Callable[[Any], Any], points: np.ndarray) -> np.ndarray:
        """fun at each row, shape (count,); a ValueError where one is not a finite number."""
        if isinstance(fun, Surface):
            values = fun(points)
        else:
            values = np.array([returned("fun", fun(self.point(x))) for x in points])
        if not np.isfinite(values).all():
            first = int(np.argmin(np.isfinite(values)))
            raise ValueError(f"fun must be finite on the box; got {values[first]} at {self.point(points[first])!r}")
        return values


class Curvature:
    """∇²fun at points of a box: a given `hess`, a surface's own, else central differences.

    Attributes:
        noise: what an eigenvalue may be wrong by, in units of the largest of |∇²f| and |f|.
    """

    def __init__(self, fun: Callable[[Any], Any], hess: Callable[[Any], Any] | None, box: Box):
        self.fun, self.hess, self.box = fun, hess, box
        self.surface = fun if isinstance(fun, Surface) and hess is None else None
        self.differences = hess is None and self.surface is None
        self.noise = 1e-6 if self.differences else 1e-10
        self.margin = 3 * SECOND if self.differences else 0.0
        self.source = "central differences" if self.differences else "the Hessian"

    def at(self, points: np.ndarray) -> np.ndarray:
        """Hessians of shape (count, n, n); a ValueError where one is not finite or of another shape."""
        n = points.shape[-1]
        if self.surface is not None:
            found = self.surface.hessian(points)
        else:
            found = np.array([np.reshape(self._one(x), (n, n)) for x in points])
        if not np.isfinite(found).all():
            raise ValueError(f"the Hessian of fun must be finite on the box; got {found[~np.isfinite(found)][0]}")
        return (found + np.swapaxes(found, -1, -2)) / 2

    def _one(self, x: np.ndarray) -> Any:
        if self.hess is not None:
            return reals("hess must return real numbers", self.hess(self.box.point(x)))

        def value(y: np.ndarray) -> float:
            return returned("fun", self.fun(self.box.point(np.atleast_1d(y))))

        return central_jacobian(lambda y: central_gradient(value, y, SECOND), x, SECOND)
