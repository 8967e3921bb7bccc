"""Convex sets with the closest point of each: what projected descent, and clipping of gradients, are made of.

>>> from stepwell.functions import sets
>>> sets.Box(0.0, 1.0).project([-2.0, 0.5, 7.0])
array([0. , 0.5, 1. ])
>>> sets.clip([3.0, 4.0], 1.0)
array([0.6, 0.8])
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from stepwell.domain import NonNegative, Positive, Real, check
from stepwell.functions.given import reals


@dataclass(frozen=True, eq=False)
class ConvexSet(ABC):
    """A closed convex set of vectors; an array of any shape is taken as one vector, and keeps its shape.

    One of your own is a frozen dataclass with a `closest`. Errors: those of the fields' domains, when it is made;
    a ValueError or TypeError from its methods for an x that is not made of finite real numbers or does not fit.
    """

    @abstractmethod
    def closest(self, x: np.ndarray) -> np.ndarray:
        """The point of the set closest to the vector x, shape (n,), in the Euclidean norm."""

    def project(self, x: Any) -> Any:
        """argmin over y in the set of ‖x - y‖₂, float64, of x's shape; a number for a number."""
        x = _reals("x", x)
        return self.closest(x.ravel()).reshape(x.shape)[()]

    def contains(self, x: Any, tolerance: float = 1e-9) -> bool:
        """Whether no coordinate of x is further than tolerance·max(1, max|xᵢ|) from the closest point."""
        x = _reals("x", x).ravel()
        return bool(np.max(abs(self.closest(x) - x)) <= check(NonNegative, "tolerance", tolerance) * _largest(x, 1.0))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class Ball(ConvexSet):
    """{x : ‖x - centre‖₂ ≤ radius}; the closest point is c + (x-c)·min(1, r/‖x-c‖). centre: a number or a vector."""

    radius: NonNegative
    centre: Any = 0.0

    def __post_init__(self) -> None:
        self._set(radius=check(NonNegative, "radius", self.radius), centre=_reals("centre", self.centre).ravel())

    def closest(self, x: np.ndarray) -> np.ndarray:
        away = x - _fitting("centre", self.centre, x)
        size = _largest(away, 0.0)
        distance = size * float(np.linalg.norm(away / size)) if size else 0.0  # whose squares do not overflow
        return x.copy() if distance <= self.radius else self.centre + away * (self.radius / distance)


@dataclass(frozen=True, eq=False)
class Box(ConvexSet):
    """{x : low ≤ x ≤ high}, each a number or a vector, infinite where there is no bound: min(max(x, low), high)."""

    low: Any
    high: Any

    def __post_init__(self) -> None:
        low, high = (np.asarray(_floats(f.name, getattr(self, f.name))).ravel() for f in fields(self))
        if len({len(low), len(high), 1}) > 2:
            raise ValueError(f"high must have the shape of low; got {self.high!r} for {self.low!r}")
        if not (low <= high).all() or (low == np.inf).any() or (high == -np.inf).any():
            raise ValueError(f"high must be ≥ low, neither of them NaN; got low={self.low!r}, high={self.high!r}")
        self._set(low=low, high=high)

    def closest(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, _fitting("low", self.low, x), _fitting("high", self.high, x))


@dataclass(frozen=True, eq=False)
class Simplex(ConvexSet):
    """{x ≥ 0 : Σxᵢ = total}, the probabilities where total is 1. Closest: max(x - θ, 0), θ found by sorting.

    Held, Wolfe & Crowder (1974). <https://doi.org/10.1007/BF01580223>
    """

    total: NonNegative = 1.0

    def __post_init__(self) -> None:
        self._set(total=check(NonNegative, "total", self.total))

    def closest(self, x: np.ndarray) -> np.ndarray:
        x = x - x.max()  # the same closest point, and no digits of total lost in large x
        falling = np.sort(x)[::-1]
        shares = (np.cumsum(falling) - self.total) / np.arange(1, len(x) + 1)
        return np.maximum(x - shares[np.flatnonzero(falling >= shares)[-1]], 0.0)


@dataclass(frozen=True, eq=False)
class L1Ball(ConvexSet):
    """{x : Σ|xᵢ| ≤ radius}; outside it |x| is projected on the simplex of that total, and x's signs are given back.

    Duchi, Shalev-Shwartz, Singer & Chandra (2008). <https://doi.org/10.1145/1390156.1390191>
    """

    radius: NonNegative

    def __post_init__(self) -> None:
        self._set(radius=check(NonNegative, "radius", self.radius))

    def closest(self, x: np.ndarray) -> np.ndarray:
        inside = np.sum(abs(x)) <= self.radius
        return x.copy() if inside else np.copysign(Simplex(self.radius).closest(abs(x)), x)


@dataclass(frozen=True, eq=False)
class HalfSpace(ConvexSet):
    """{x : a·x ≤ b}, a the normal and b the offset; the closest point is x - a·max(0, a·x - b)/‖a‖²."""

    normal: Any
    offset: Real = 0.0

    def __post_init__(self) -> None:
        normal, offset = _reals("normal", self.normal).ravel(), check(Real, "offset", self.offset)
        if not normal.any():
            raise ValueError(f"normal must not be zero; got {self.normal!r}")
        size = _largest(normal, 0.0)
        self._set(normal=normal / size, offset=offset / size)

    def closest(self, x: np.ndarray) -> np.ndarray:
        a = _fitting("normal", self.normal, x, exactly=True)
        return x - a * (max(0.0, float(a @ x) - self.offset) / float(a @ a))


@dataclass(frozen=True, eq=False)
class Affine(ConvexSet):
    """{x : Ax = b}, A of shape (m, n), b (m,); the closest point is x - A⁺(Ax - b), A⁺ the pseudo-inverse.

    Errors: a ValueError where no x solves Ax = b. Rows of A that repeat others are allowed.
    """

    A: Any
    b: Any

    def __post_init__(self) -> None:
        A, b = np.atleast_2d(_reals("A", self.A)), _reals("b", self.b).ravel()
        if A.ndim != 2 or len(A) != len(b):
            raise ValueError(f"b must have one number for each row of A; got {self.b!r} for A of shape {A.shape}")
        if np.max(abs(A @ _least_squares(A, b) - b)) > 1e-9 * _largest(b, 0.0):
            raise ValueError(f"Ax = b must have a solution; got none for A={self.A!r}, b={self.b!r}")
        self._set(A=A, b=b)

    def closest(self, x: np.ndarray) -> np.ndarray:
        if len(x) != self.A.shape[1]:
            raise ValueError(f"x must have {self.A.shape[1]} numbers, a column of A each; got {len(x)}")
        return x - _least_squares(self.A, self.A @ x - self.b)


def clip(g: Any, threshold: float) -> Any:
    """Gradient clipping: g·min(1, θ/‖g‖₂), which is the projection of g on the ball of radius θ > 0.

    g is one vector whatever its shape. Pascanu, Mikolov & Bengio (2013). <https://arxiv.org/abs/1211.5063>
    """
    return Ball(check(Positive, "threshold", threshold)).project(_reals("g", g))


def _floats(name: str, value: Any) -> np.ndarray:
    words = f"{name} must be real numbers"
    found = reals(words, value)
    if not found.size:
        raise ValueError(f"{words}; got {value!r}")
    return found


def _reals(name: str, value: Any) -> np.ndarray:
    found = _floats(name, value)
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite; got {value!r}")
    return found


def _least_squares(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A⁺b: more exact than with the pseudo-inverse as a matrix."""
    return np.linalg.lstsq(A, b, rcond=None)[0]


def _largest(x: np.ndarray, floor: float) -> float:
    return max(floor, float(np.max(abs(x))))


def _fitting(name: str, vector: np.ndarray, x: np.ndarray, exactly: bool = False) -> np.ndarray:
    if len(vector) != len(x) and (exactly or len(vector) != 1):
        raise ValueError(f"x must have {len(vector)} numbers, as {name} has; got {len(x)}")
    return vector
