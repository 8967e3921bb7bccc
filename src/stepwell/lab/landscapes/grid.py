"""A grid of losses over a plane through weight space, and the smooth surface through it."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scipy.interpolate import RectBivariateSpline

DEGREE = 3
SMALLEST = DEGREE + 1
"""Points of an axis that a cubic spline needs."""


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """The losses at centre + aᵢ·d₁ + bⱼ·d₂ for every pair of an axis's points.

    Attributes:
        about: what was measured, in a sentence.
        a, b: the points of the two axes, rising, shapes (m,) and (n,), at least 4 each.
        losses: shape (m, n); NaN or ±inf where the loss is not finite.
        path: where the training went, from the first weights on, as points (k, 2) of the plane; or empty.
        share: of the squares of the path's offsets from its end, what lies in the plane; None without a path.

    It is a function of a point, to be descended: `minimize(found, found.start, "adam", jac=found.gradient)`. Its value
    is that of a bicubic spline through the grid, NaN outside it; where the loss is not finite, the highest that is
    stands for it.

    Errors: ValueError for shapes that do not fit, axes that do not rise, and where no loss is finite.

    >>> a = np.linspace(-1.0, 1.0, 5)
    >>> bowl = Landscape(about="a bowl", a=a, b=a, losses=a[:, None]**2 + 2 * a**2)
    >>> round(bowl([0.5, 0.25]), 12), bowl.gradient([0.5, 0.25]).round(12), bowl([3.0, 0.0])
    (0.375, array([1., 1.]), nan)
    """

    about: str
    a: np.ndarray
    b: np.ndarray
    losses: np.ndarray
    path: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    share: float | None = None

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            axis = getattr(self, name)
            if np.ndim(axis) != 1 or len(axis) < SMALLEST or not (np.diff(axis) > 0).all():
                raise ValueError(f"{name} must be at least {SMALLEST} rising numbers; got {axis!r}")
        if np.shape(self.losses) != (len(self.a), len(self.b)):
            raise ValueError(f"losses must have shape {(len(self.a), len(self.b))}; got {np.shape(self.losses)}")
        if not np.isfinite(self.losses).any():
            raise ValueError("there is nothing to look at: the loss is finite at no point of the plane")

    def __call__(self, x: Any) -> float:
        """The loss at a point of the plane, by the spline; NaN outside the grid."""
        x1, x2 = map(float, x)
        return float(self.spline.ev(x1, x2)) if self.holds(x) else math.nan

    def gradient(self, x: Any) -> np.ndarray:
        """Its gradient, shape (2,); NaN outside the grid."""
        x1, x2 = map(float, x)
        if not self.holds(x):
            return np.full(2, math.nan)
        return np.array([float(self.spline.ev(x1, x2, dx=1)), float(self.spline.ev(x1, x2, dy=1))])

    def holds(self, x: Sequence[float]) -> bool:
        """Whether a point lies on the grid, its edge included."""
        return bool(self.a[0] <= x[0] <= self.a[-1] and self.b[0] <= x[1] <= self.b[-1])

    @property
    def missing(self) -> int:
        """How many points have no finite loss."""
        return int((~np.isfinite(self.losses)).sum())

    @property
    def start(self) -> tuple[float, float]:
        """Where a descent may begin: where the training did, else the highest of the grid's corners."""
        if len(self.path):
            return float(self.path[0, 0]), float(self.path[0, 1])
        corners = [(i, j) for i in (1, -2) for j in (1, -2)]  # one point inside, so that the first step has room
        i, j = max(corners, key=lambda corner: self.heights[corner])
        return float(self.a[i]), float(self.b[j])

    @property
    def lowest(self) -> tuple[float, float]:
        """The point of the grid with the least loss."""
        i, j = np.unravel_index(int(np.argmin(self.heights)), self.heights.shape)
        return float(self.a[i]), float(self.b[j])

    @functools.cached_property
    def heights(self) -> np.ndarray:
        """The losses, those that are not finite replaced by the highest that is."""
        finite = np.isfinite(self.losses)
        return np.where(finite, self.losses, self.losses[finite].max())

    @functools.cached_property
    def spline(self) -> "RectBivariateSpline":
        """SciPy's bicubic spline through all points."""
        from scipy.interpolate import RectBivariateSpline

        return RectBivariateSpline(self.a, self.b, self.heights, kx=DEGREE, ky=DEGREE, s=0)

    def pieces(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The spline as polynomials: the m+1 and n+1 breaks of the axes, and coefficients of shape (m, n, 4, 4).

        In the piece that begins at (aᵢ, bⱼ) the value is Σ C[i, j, k, l] (x - aᵢ)ᵏ (y - bⱼ)ˡ.
        """
        tx, ty = self.spline.get_knots()
        B = self.spline.get_coeffs().reshape(len(tx) - DEGREE - 1, len(ty) - DEGREE - 1)
        C = _polynomials(ty, _polynomials(tx, B, 0), 2)  # (power of x, piece of x, power of y, piece of y)
        inner = slice(DEGREE, -DEGREE)  # the breaks; the first and last knots are there four times
        return tx[inner], ty[inner], np.ascontiguousarray(C.transpose(1, 3, 0, 2))


def _polynomials(knots: np.ndarray, coefficients: np.ndarray, axis: int) -> np.ndarray:
    """Along an axis, a spline's coefficients as those of its pieces: that axis becomes (powers from 0, pieces)."""
    from scipy.interpolate import PPoly

    moved = np.moveaxis(coefficients, axis, -1)
    rows = [
        PPoly.from_spline((knots, row, DEGREE)).c[::-1, DEGREE:-DEGREE] for row in moved.reshape(-1, moved.shape[-1])
    ]
    found = np.reshape(rows, (*moved.shape[:-1], *rows[0].shape))
    return np.moveaxis(found, (-2, -1), (axis, axis + 1))
