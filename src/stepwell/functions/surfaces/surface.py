"""A function of n numbers written once as a formula, with value, gradient and Hessian derived from it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np


class _SymPy:
    """SymPy, imported when a formula is first read."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("sympy"), name)


sp: Any = _SymPy()


@dataclass(frozen=True, repr=False)
class Surface:
    """A smooth function of n numbers, from a formula in SymPy's vocabulary.

    Attributes:
        name, about: what a page calls it and says of it.
        formula: takes n SymPy symbols, gives an expression.
        domain: (low, high) for each coordinate: where it is drawn and sampled.
        minima: the global minima inside the domain; none for a saddle.
        start: where a descent begins unless told otherwise.

    Points are arrays of shape (..., n), evaluated all at once in float64; a surface of one variable also takes a plain
    number, and then gives floats. Overflow gives inf or nan, silently: a diverging descent ends far from the domain.

    Errors: a ValueError for a last axis that is not n, a TypeError for what is not made of real numbers.
    """

    name: str
    about: str
    formula: Callable[..., Any]
    domain: tuple[tuple[float, float], ...]
    minima: tuple[tuple[float, ...], ...] = ()
    start: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.domain or not all(len(side) == 2 and side[0] < side[1] for side in self.domain):
            raise ValueError(f"domain must be pairs (low, high) with low < high; got {self.domain!r}")
        if not self.start:
            object.__setattr__(self, "start", tuple((low + high) / 2 for low, high in self.domain))
        for point in (*self.minima, self.start):
            if len(point) != self.dimension:
                raise ValueError(f"minima and start must be points of {self.dimension} numbers; got {point!r}")

    def __repr__(self) -> str:
        return f"<surface {self.name}, {self.dimension}-D: {self.about}>"

    def __call__(self, x: Any) -> Any:
        """f(x): shape (..., n) to (...), a float for one point."""
        return self._evaluate(x, 0)

    def gradient(self, x: Any) -> Any:
        """∇f(x): shape (..., n) to (..., n)."""
        return self._evaluate(x, 1)

    def hessian(self, x: Any) -> Any:
        """∇²f(x): shape (..., n) to (..., n, n)."""
        return self._evaluate(x, 2)

    @property
    def dimension(self) -> int:
        """n, the number of variables."""
        return len(self.domain)

    @property
    def minimum(self) -> float | None:
        """The value at the first global minimum, None where there is none."""
        return float(self(self.minima[0])) if self.minima else None

    def latex(self) -> str:
        """The formula in LaTeX, floats to six digits."""
        floats = {f: sp.Float(f"{float(f):.6g}") for f in self.expression.atoms(sp.Float)}
        return str(sp.latex(self.expression.xreplace(floats), full_prec=False))

    @cached_property
    def symbols(self) -> tuple[Any, ...]:
        """The SymPy symbols of the variables: x, or x1 … xn."""
        names = ["x"] if self.dimension == 1 else [f"x{i + 1}" for i in range(self.dimension)]
        return tuple(sp.Symbol(name, real=True) for name in names)

    @cached_property
    def expression(self) -> Any:
        """The formula as a SymPy expression in `symbols`."""
        return sp.sympify(self.formula(*self.symbols))

    @cached_property
    def constant_hessian(self) -> bool:
        """Whether the second derivatives are numbers: true of quadratics, affine functions and constants."""
        return not any(sp.expand(e).free_symbols for e in self._derivatives(2))

    @cached_property
    def _compiled(self) -> dict[int, Callable[..., list[Any]]]:
        return {}

    def _derivatives(self, order: int) -> list[Any]:
        if order == 0:
            return [self.expression]
        return [sp.diff(e, s) for e in self._derivatives(order - 1) for s in self.symbols]

    def _evaluate(self, x: Any, order: int) -> Any:
        points = self._points(x)
        if order not in self._compiled:
            self._compiled[order] = sp.lambdify(self.symbols, self._derivatives(order), "numpy", cse=True)
        n, shape = self.dimension, points.shape[:-1]
        values = np.empty((*shape, n**order))
        with np.errstate(all="ignore"):
            for i, value in enumerate(self._compiled[order](*(points[..., i] for i in range(n)))):
                values[..., i] = value
        if n == 1 and np.ndim(x) == 0:
            return float(values[0])
        return values.reshape(shape + (n,) * order) if order or shape else float(values[0])

    def _points(self, x: Any) -> np.ndarray:
        points = np.asarray(x)
        if points.dtype.kind not in "fiu":
            raise TypeError(f"x must be real numbers; got {x!r}")
        if points.ndim == 0 and self.dimension == 1:
            points = points[None]
        if points.ndim == 0 or points.shape[-1] != self.dimension:
            number = ", or a number" if self.dimension == 1 else ""
            shape = f"an array of shape (..., {self.dimension}){number}"
            raise ValueError(f"x must be {shape} for {self.name}; got shape {points.shape}")
        return points.astype(np.float64, copy=False)
