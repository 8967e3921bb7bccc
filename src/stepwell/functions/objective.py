"""The function to minimize, as the minimizer sees it: value, gradient and Hessian in float64, each call counted."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from stepwell.functions.given import reals, returned
from stepwell.functions.gradients import (
    SECOND,
    attempt,
    central_gradient,
    central_jacobian,
    denied,
    torch_derivative,
    trusted,
)
from stepwell.functions.surfaces import Surface

Function = Callable[[Any], Any]


class Objective:
    """f, ∇f and ∇²f at arrays of x0's shape.

    Attributes:
        gradient_from: "jac", "surface", "torch.func" or "central differences": where the last gradient came from. Each
            gradient by `torch.func` is checked along a direction; differences take its place from where it is wrong.
        dimension: n, the length of one point: the surface's, or the size of x0. A surface at an array of shape (m, n)
            is m particles, and f is the sum over them.
        nfev, njev, nhev: how often the function, its gradient and its Hessian were called.
    """

    def __init__(
        self, fun: Function, x0: Any, jac: Function | None = None, hess: Function | None = None, name: str = "fun"
    ):
        for what, value in {name: fun, "jac": jac, "hess": hess}.items():
            if not callable(value) and (value is not None or what == name):
                raise TypeError(f"{what} must be a function of x; got {value!r}")
        self.fun, self.name, self.surface = fun, name, fun if isinstance(fun, Surface) else None
        self.dimension = self.surface.dimension if self.surface else np.size(x0)
        self.x0, self.nfev, self.njev, self.nhev = x0, 0, 0, 0
        self.gradient_from = "jac" if jac else "surface" if self.surface else ""
        self._gradient = jac or (self.surface.gradient if self.surface else None)
        self._hessian = self._given_hessian = hess or (self.surface.hessian if self.surface else None)

    def value(self, x: Any) -> float:
        """f(x); NaN where Python's own arithmetic overflows or has no real number for it."""
        self.nfev += 1
        value = _undefined_as(math.nan, self.fun, x)
        return float(np.sum(value)) if self.surface is not None else returned(self.name, value)

    def gradient(self, x: Any) -> Any:
        """∇f(x), an array of x's shape that is the caller's own; NaN where it cannot be computed, as in `value`."""
        self.njev += 1
        self._gradient = self._gradient or self._found_gradient()
        value = _undefined_as(np.full_like(x, math.nan), self._gradient, x)
        found = reals("jac must return real numbers", value)
        if found.shape != x.shape:
            raise ValueError(f"jac must return an array of shape {x.shape}, as x is; got shape {found.shape}")
        return found[()]

    def hessian(self, x: Any) -> np.ndarray:
        """∇²f at each particle of x, shape (particles, n, n); a plain function has one particle, all of x."""
        self.nhev += 1
        self._hessian = self._hessian or self._found_hessian()
        n = self.dimension
        value = _undefined_as(np.full(x.size * n, math.nan), self._hessian, x)
        H = reals("hess must return real numbers", value)
        if H.size != x.size * n:
            raise ValueError(f"hess must return an array of shape {(n, n)}; got shape {H.shape}")
        return H.reshape(-1, n, n)

    def _found_gradient(self) -> Function:
        automatic = torch_derivative(1, self._counted)
        if automatic is not None and trusted(automatic, self._differences, self.x0, self.value(self.x0)):
            self.gradient_from = "torch.func"
            return partial(self._while_right, automatic)
        self.gradient_from = "central differences"
        return self._differences

    def _while_right(self, automatic: Function, x: Any) -> Any:
        """torch.func's gradient, up to where it is found wrong: a branch that x0 does not take may lose it."""
        found = attempt(automatic, x)
        if found is not None and not denied(found, self.value, x):
            return found
        self._gradient, self._hessian, self.gradient_from = (
            self._differences,
            self._given_hessian,
            "central differences",
        )
        return self._differences(x)

    def _found_hessian(self) -> Function:
        self._gradient = self._gradient or self._found_gradient()
        automatic = torch_derivative(2, self._counted) if self.gradient_from == "torch.func" else None
        if automatic is None or not trusted(automatic, self._twice, self.x0, self.value(self.x0)):
            return self._twice

        def while_it_works(x: Any) -> Any:
            found = attempt(automatic, x)
            return self._twice(x) if found is None else found

        return while_it_works

    def _counted(self, x: Any) -> Any:
        self.nfev += 1
        return self.fun(x)

    def _differences(self, x: Any, *step: float) -> Any:
        return central_gradient(self.value, x, *step)

    def _twice(self, x: Any) -> np.ndarray:
        """The Hessian by differences of the gradient, which may itself be differences."""
        if self._gradient == self._differences:
            H = central_jacobian(lambda y: self._differences(y, SECOND), x, SECOND)
        else:
            H = central_jacobian(self.gradient, x)
        return (H + H.T) / 2


def _undefined_as(nothing: Any, function: Function, x: Any) -> Any:
    """function(x), or `nothing` where Python's own arithmetic overflows or has no real number for it."""
    try:
        return function(x.copy())
    except ArithmeticError:
        return nothing
    except ValueError as error:
        if not str(error).startswith(("math domain error", "expected a ")):  # the latter since Python 3.14
            raise
        return nothing
