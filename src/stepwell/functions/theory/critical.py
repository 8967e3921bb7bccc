"""What a stationary point is: minimum, maximum, saddle or none of them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from stepwell.functions.given import reals
from stepwell.functions.gradients import central_gradient
from stepwell.functions.surfaces import Surface
from stepwell.functions.theory.sampling import Box, Curvature


def critical_point(
    fun: Callable[[Any], Any],
    x: Any,
    *,
    jac: Callable[[Any], Any] | None = None,
    hess: Callable[[Any], Any] | None = None,
) -> str:
    """What a stationary point is by the signs of the Hessian: "minimum", "maximum", "saddle" or "degenerate".

    Degenerate is a point at which an eigenvalue is 0 and the others do not settle it, as x³ and x⁴ at 0. Derivatives
    are the given ones, a surface's own, else central differences; 0 is what lies within their accuracy.

    >>> from stepwell.functions import surfaces
    >>> critical_point(surfaces.saddle, [0.0, 0.0]), critical_point(surfaces.cosine, 0.0)
    ('saddle', 'maximum')
    >>> critical_point(surfaces.cubic, 0.0)
    'degenerate'

    Errors: a ValueError where the gradient at x is not 0 within 1e-6 of the size of the Hessian, or of f by
    differences.
    """
    at = np.atleast_1d(reals("x must be real numbers", x))
    box = Box(at, at, plain=np.ndim(x) == 0)
    curvature = Curvature(fun, hess, box)
    around = np.concatenate([at[None], at + 0.1 * np.diag(np.maximum(1, np.abs(at)))])
    eigenvalues, *beside = np.linalg.eigvalsh(curvature.at(around) if curvature.differences else curvature.at(at[None]))
    scale = np.abs([eigenvalues, *beside]).max()
    if curvature.differences:
        scale = max(scale, float(np.abs(box.values(fun, around)).max()))
    derivative = jac or (fun.gradient if isinstance(fun, Surface) else lambda y: central_gradient(fun, y))
    gradient = np.abs(np.asarray(derivative(box.point(at)))).max()
    if not gradient <= 1e-6 * scale * max(1.0, float(np.abs(at).max())):
        raise ValueError(f"x must be a stationary point; got {x!r}, where the largest derivative is {gradient:g}")
    zero = (10 * curvature.noise if curvature.differences else 1e-8) * scale
    if eigenvalues[0] < -zero and eigenvalues[-1] > zero:
        return "saddle"
    if np.abs(eigenvalues).min() <= zero:
        return "degenerate"
    return "minimum" if eigenvalues[0] > 0 else "maximum"
