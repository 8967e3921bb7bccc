"""Expressions: what a rule becomes when it is called with symbols, and the functions it may call.

An expression keeps the operations in the order the author wrote them, so a kernel printed from it rounds like the
rule itself; nothing is rearranged. The functions work on expressions, on Python numbers and on the arrays of any
library (found through the array-API protocol or the array's own top module), so one rule serves them all.
"""

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np


class RuleError(TypeError):
    """A rule that breaks the language of rules."""


def _operator(op: str, reflected: bool = False) -> Callable[["Expr", Any], "Expr"]:
    def method(self: "Expr", other: Any) -> "Expr":
        pair = Expr.of(self), Expr.of(other)
        return Expr(op, pair[::-1] if reflected else pair)

    return method


def _refuse(reason: str) -> Callable[..., NoReturn]:
    def method(self: "Expr", *args: Any, **kwargs: Any) -> NoReturn:
        raise RuleError(reason)

    return method


_IN_PLACE = "it works in place (+=, [...] = …); write x = x + y, a rule mutates nothing"
_BRANCH = "it branches on data (if, while, and, or, max …); write where(condition, a, b) or maximum(a, b)"
_EQUALITY = "it tests for equality (==, !=, in); compare with <, <=, > or >="
COMPARISONS = ("<", "<=", ">", ">=")
_OUTSIDE = "it calls an unknown function; use those of stepwell.rule (sqrt, exp, sign, where, maximum …)"


class Expr:
    """A node: `op` and its arguments. Leaves are symbols (`args` is the name) and constants (`args` is the number)."""

    __slots__ = ("args", "op")

    def __init__(self, op: str, args: tuple[Any, ...]):
        self.op, self.args = op, args

    @staticmethod
    def of(value: Any) -> "Expr":
        """`value` as an expression of a number; numbers become constants."""
        if isinstance(value, Expr):
            if value.op in COMPARISONS:
                raise RuleError("it uses a comparison as a number; write where(condition, 1.0, 0.0)")
            return value
        if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
            return Expr("constant", (float(value),))
        raise RuleError(f"{value!r} ({type(value).__name__}) is neither a number nor made of the rule's arguments")

    @staticmethod
    def condition(value: Any) -> "Expr":
        """`value`, which must be a comparison."""
        if isinstance(value, Expr) and value.op in COMPARISONS:
            return value
        raise RuleError(f"where() chooses by a comparison (a < b); got {value!r}")

    def __repr__(self) -> str:
        return str(self.args[0]) if self.op in ("symbol", "constant") else f"{self.op}{self.args}"

    __add__, __radd__ = _operator("+"), _operator("+", True)
    __sub__, __rsub__ = _operator("-"), _operator("-", True)
    __mul__, __rmul__ = _operator("*"), _operator("*", True)
    __truediv__, __rtruediv__ = _operator("/"), _operator("/", True)
    __pow__, __rpow__ = _operator("**"), _operator("**", True)
    __lt__, __le__, __gt__, __ge__ = _operator("<"), _operator("<="), _operator(">"), _operator(">=")

    def __neg__(self) -> "Expr":
        return Expr("neg", (Expr.of(self),))

    def __pos__(self) -> "Expr":
        return Expr.of(self)

    def __abs__(self) -> "Expr":
        return Expr("abs", (Expr.of(self),))

    __hash__ = object.__hash__  # a node is itself, however it was made
    __eq__ = __ne__ = __contains__ = _refuse(_EQUALITY)
    __bool__ = _refuse(_BRANCH)
    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = __setitem__ = _refuse(_IN_PLACE)
    __float__ = __int__ = __index__ = __array__ = __array_function__ = _refuse(_OUTSIDE)
    __array_ufunc__ = None  # NumPy's numbers leave the arithmetic to us; its functions refuse
    __iter__ = __len__ = __getitem__ = _refuse("it looks inside an array; a rule treats every element alike")


def symbol(name: str) -> Expr:
    """A leaf that stands for an argument."""
    return Expr("symbol", (name,))


LIBRARIES: dict[str, Any] = {}
"""By a library's top module: what has its functions under NumPy's names, where the top module itself does not."""


def _library(array: Any) -> Any:
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    tops = [cls.__module__.partition(".")[0] for cls in type(array).__mro__]
    modules = (LIBRARIES.get(top, sys.modules[top]) for top in tops)
    return next(module for module in modules if hasattr(module, "full_like"))  # a user's subclass has the base's


def _is_number(x: Any) -> bool:
    return isinstance(x, (bool, int, float))


def _apply(name: str, *args: Any) -> Any:
    if any(isinstance(a, Expr) for a in args):
        return Expr(name, tuple(Expr.of(a) for a in args))
    array = next((a for a in args if not _is_number(a)), None)
    if array is None:
        with np.errstate(all="ignore"):
            return getattr(np, name)(*args).item()
    library = _library(array)
    return getattr(library, name)(*(library.full_like(array, a) if _is_number(a) else a for a in args))


def full_like(array: Any, number: float) -> Any:
    """An array of that number, of the shape, dtype and library of another."""
    return _library(array).full_like(array, number)


def sqrt(x: Any) -> Any:
    """√x, elementwise; NaN below 0."""
    return _apply("sqrt", x)


def exp(x: Any) -> Any:
    """eˣ, elementwise."""
    return _apply("exp", x)


def log(x: Any) -> Any:
    """The natural logarithm, elementwise."""
    return _apply("log", x)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent, elementwise."""
    return _apply("tanh", x)


def maximum(x: Any, y: Any) -> Any:
    """The larger of the two, elementwise; NaN if either is."""
    return _apply("maximum", x, y)


def minimum(x: Any, y: Any) -> Any:
    """The smaller of the two, elementwise; NaN if either is."""
    return _apply("minimum", x, y)


def where(condition: Any, x: Any, y: Any) -> Any:
    """x where the condition holds, else y, elementwise; both are computed."""
    if isinstance(condition, (bool, np.bool_)):
        return x if condition else y
    if any(isinstance(a, Expr) for a in (condition, x, y)):
        return Expr("where", (Expr.condition(condition), Expr.of(x), Expr.of(y)))
    library = _library(condition)
    if _is_number(x) and _is_number(y) and library.__name__ == "torch":
        x = library.tensor(x, dtype=library.float64)  # torch rounds two bare numbers to its default, single precision
    return library.where(condition, x, y)


def row_mean(x: Any) -> Any:
    """The mean over each row, that is along the last axis, which stays with length 1: (…, n) becomes (…, 1).

    A number, and an array without axes, is its own mean; the mean of a row without elements is 0.
    """
    if isinstance(x, Expr):
        return _apply("row_mean", x)
    if _is_number(x) or not x.ndim:
        return x
    library = _library(x)
    return (library.mean if x.shape[-1] else library.sum)(x, axis=-1, keepdims=True)  # NumPy warns of empty means


def sign(x: Any) -> Any:
    """-1, 0 or 1, elementwise; NaN stays NaN (some libraries' own sign turns it into 0)."""
    return _apply("sign", x) if isinstance(x, Expr) else where(x > 0, 1.0, where(x < 0, -1.0, x))
