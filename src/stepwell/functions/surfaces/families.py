"""Surfaces made from numbers or from other surfaces: quadratics of any dimension, rotations."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from stepwell.domain import Real, check
from stepwell.functions.given import reals, square
from stepwell.functions.surfaces.surface import Surface, sp
from stepwell.schedules.domains import Period


def rotated(surface: Surface, angle: Real = math.pi / 4) -> Surface:
    """The surface with its graph turned by `angle` (radians, counterclockwise): g(x) = f(R⁻¹x), for two variables.

    Gradient norms and the eigenvalues of the Hessian are those of f. The domain is the box around the turned one.

    >>> from stepwell.functions.surfaces import ravine
    >>> rotated(ravine).hessian([0.0, 0.0]).round(12)
    array([[ 2.1, -1.9],
           [-1.9,  2.1]])

    Errors: a ValueError where the surface has not two variables or the angle is not finite.
    """
    if surface.dimension != 2:
        raise ValueError(f"surface must be of two variables; got {surface!r}")
    angle = check(Real, "angle", angle)
    c, s = math.cos(angle), math.sin(angle)

    def turn(point: Sequence[float]) -> tuple[float, ...]:
        return c * point[0] - s * point[1], s * point[0] + c * point[1]

    (a, b), second = surface.domain
    corners = np.array([turn((x, y)) for x in (a, b) for y in second])
    return Surface(
        name=f"{surface.name}_rotated",
        about=f"{surface.name} turned by {math.degrees(angle):g}°",
        formula=lambda x, y: surface.formula(c * x + s * y, c * y - s * x),
        domain=tuple((float(low), float(high)) for low, high in zip(corners.min(0), corners.max(0), strict=True)),
        minima=tuple(turn(point) for point in surface.minima),
        start=turn(surface.start),
    )


def quadratic(Q: Any, c: Any = 0.0, b: Real = 0.0, *, name: str = "quadratic") -> Surface:
    """f(x) = ½xᵀQx + cᵀx + b, of any dimension.

    Q has shape (n, n) and may be asymmetric, c is a number or has shape (n,). Its minimum, -Q⁻¹c, is known where Q is
    positive definite. The domain reaches 5 to each side of the minimum, and the start is 1 off in each coordinate.
    Deriving the first gradient of a full Q takes about .5 s at n = 10 and 7 s at n = 60.

    >>> f = quadratic([[2.0, 0.0], [0.0, 4.0]], c=[-2.0, 4.0], b=1.0)
    >>> f.minima, f.minimum
    (((1.0, -1.0),), -2.0)

    Errors: a ValueError where Q is not square, a shape does not fit, or a number is not finite; a TypeError where
    one is not real.
    """
    Q = square(Q)
    n = len(Q)
    words = f"c must be a number or {n} finite numbers"
    linear = reals(words, c)
    if linear.shape not in ((), (n,)) or not np.isfinite(linear).all():
        raise ValueError(f"{words}; got {c!r}")
    b, linear = check(Real, "b", b), np.broadcast_to(linear, n)
    bowl = Q + Q.T
    definite = bool(np.linalg.eigvalsh(bowl)[0] > 0)
    centre = -2 * np.linalg.solve(bowl, linear) if definite else np.zeros(n)
    middle = [float(m) + 0.0 for m in centre]

    def formula(*x: Any) -> Any:
        squares = [float(Q[i, j]) / 2 * x[i] * x[j] for i, j in np.argwhere(Q)]
        return sp.Add(*squares, *(float(v) * s for v, s in zip(linear, x, strict=True) if v), *([b] if b else []))

    return Surface(
        name=name,
        about=f"½xᵀQx + cᵀx + b in {n} variables",
        formula=formula,
        domain=tuple((m - 5, m + 5) for m in middle),
        minima=(tuple(middle),) if definite else (),
        start=tuple(m + 1 for m in middle),
    )


def powers_of_two(n: Period) -> Surface:
    """f(x) = ½Σλᵢxᵢ² with λᵢ = 2⁻ⁱ, i = 1 … n: every scale of curvature at once, condition number 2ⁿ⁻¹.

    >>> powers_of_two(3).hessian([0.0, 0.0, 0.0]).diagonal()
    array([0.5  , 0.25 , 0.125])

    Errors: a ValueError where n is not an integer ≥ 1.
    """
    n = check(Period, "n", n)
    return quadratic(np.diag(0.5 ** np.arange(1, n + 1)), name=f"powers_of_two_{n}")
