"""The functions of the language inside a kernel, on special values: as in NumPy, NaN and infinity included."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from stepwell.kernels import Stages, cpu
from stepwell.kernels.source import ADDRESSES
from stepwell.numpy import Adam
from stepwell.rule import Rule, exp, log, maximum, minimum, rule, sign, sqrt, tanh, where
from tests.kernels.harness import address

SPECIAL = [0.0, 1.0, 0.5, 2.0, 3.0, 10.0, 1e-30, 1e30, 1e38, 1e-44, 88.0, 700.0, math.inf]
ONE = {
    "sqrt": (sqrt, np.sqrt), "exp": (exp, np.exp), "log": (log, np.log), "tanh": (tanh, np.tanh),
    "sign": (sign, np.sign), "abs": (abs, np.abs), "neg": (lambda x: -x, np.negative),
    "square": (lambda x: x**2, np.square), "cube": (lambda x: x**3, lambda x: x * x * x),
    "fourth": (lambda x: x**4, lambda x: x * x * x * x), "itself": (lambda x: x**1, lambda x: x),
    "fifth": (lambda x: x**5, lambda x: x**5), "root": (lambda x: x**0.5, np.sqrt),
    "inverse": (lambda x: x**-1, lambda x: 1 / x), "inverse square": (lambda x: x**-2, lambda x: x**-2.0),
    "real power": (lambda x: x**1.7, lambda x: x**1.7), "one": (lambda x: x**0, lambda x: x**0),
    "exponential": (lambda x: 2**x, lambda x: 2**x), "of a negative": (lambda x: (-2) ** x, lambda x: (-2.0) ** x),
    "bounded": (lambda x: maximum(minimum(x, 1.5), -math.inf), lambda x: np.minimum(x, 1.5)),
    "nan": (lambda x: where(x > 1, math.nan, x), lambda x: np.where(x > 1, np.nan, x).astype(x.dtype)),
    "below": (lambda x: where(x < 1, x, 7), lambda x: np.where(x < 1, x, 7)),
    "at most": (lambda x: where(x <= 1, x, 7), lambda x: np.where(x <= 1, x, 7)),
    "at least": (lambda x: where(x >= 1, x, 7), lambda x: np.where(x >= 1, x, 7)),
}  # fmt: skip
TWO = {
    "sum": (lambda x, y: x + y, np.add), "difference": (lambda x, y: x - y, np.subtract),
    "product": (lambda x, y: x * y, np.multiply), "quotient": (lambda x, y: x / y, np.divide),
    "power": (lambda x, y: x**y, np.power),
    "maximum": (maximum, np.maximum), "minimum": (minimum, np.minimum),
    "above": (lambda x, y: where(x > y, x, y), lambda x, y: np.where(x > y, x, y)),
}  # fmt: skip
ROUNDED = {"exp", "log", "tanh", "power", "exponential", "of a negative", "real power", "fifth", "inverse square"}
DIGITS = {"float32": 4e-7, "float64": 1e-15}  # of those that are not exact: a few units in the last place


def values(dtype: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        positive = np.array(SPECIAL).astype(dtype)
    random = np.random.default_rng(0).standard_normal(200).astype(dtype)
    return np.concatenate([positive, -positive, [math.nan], random]).astype(dtype)


def all_at_once(functions: dict[str, Callable[..., Any]], arguments: tuple[str, ...]) -> Rule:
    """A rule with a state for each function, so that one compilation serves them all."""
    names = [name.replace(" ", "_") for name in functions]

    def formula(*arrays: Any) -> tuple[Any, ...]:
        return (arrays[0], *(f(*arrays[: len(arguments)]) for f in functions.values()))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in (*arguments, *names)])
    formula.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return rule(formula)


def compute(given: Rule, t: int = 1, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """What a kernel of `given` writes to its states."""
    dtype, size = arrays["g"].dtype, arrays["g"].size
    kernel = cpu.kernel(given, Stages(), (dtype.name,) * len(cpu.program(given, Stages()).arrays))
    named = {name: np.zeros(size, dtype) for name in kernel.program.arrays}
    named |= {name: x.copy() for name, x in arrays.items()}
    table = kernel.table([size], [0])
    table[0, ADDRESSES:] = [address(named[name]) for name in kernel.program.arrays]
    kernel.run(table, np.full_like(kernel.clock(1), t), np.zeros((1, 0)), 1)
    return {name.replace("_", " "): x for name, x in named.items()}


@functools.cache
def of_one(dtype: str) -> dict[str, np.ndarray]:
    return compute(all_at_once({name: ours for name, (ours, _) in ONE.items()}, ("g",)), g=values(dtype))


@functools.cache
def of_two(dtype: str) -> dict[str, np.ndarray]:
    x, y = pairs(dtype)
    return compute(all_at_once({name: ours for name, (ours, _) in TWO.items()}, ("g", "p")), g=x, p=y)


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(values(dtype), values(dtype))
    return x.ravel(), y.ravel()


def assert_like_numpy(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    close = DIGITS[found.dtype.name] if name in ROUNDED else 0.0
    tiny = np.finfo(found.dtype).smallest_normal if name in ROUNDED else 0.0
    np.testing.assert_allclose(found, expected, rtol=close, atol=tiny)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's own, at the special values
@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_argument(name, dtype):
    assert_like_numpy(name, of_one(dtype)[name], ONE[name][1](values(dtype)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_arguments(name, dtype):
    assert_like_numpy(name, of_two(dtype)[name], TWO[name][1](*pairs(dtype)))


@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("t", [1, 2, 3, 7, 40])
def test_functions_of_numbers_are_computed_in_double_precision(dtype, t):
    """What depends on t alone, on a single element: everything but the last product is in float64."""

    def scalar_of_numbers(g, out, t):
        finite = where(t <= 2, 0.5, 0.25 * t)
        powers = (-2.0) ** -t + t**0.5 + t**-3 + 0.9**t
        functions = exp(-t) + log(t) + tanh(t / 9) + sqrt(t) - abs(3 - t) + sign(3 - t)
        return g, (powers + functions + where(t > 3, maximum(t, 5), minimum(t, 2)) + finite) * g

    one = np.ones(1, dtype)
    (_, expected) = scalar_of_numbers(1.0, 0.0, t)
    found = compute(rule(scalar_of_numbers), t=t, g=one)["out"]
    np.testing.assert_allclose(found, [expected], rtol={"float32": 6e-8, "float64": 1e-15}[dtype])


def test_a_value_that_is_not_finite_stays_where_it_is():
    """One NaN and one infinity in the gradient of Adam spoil two elements and no other."""
    g = np.ones(40)
    g[3], g[17] = np.nan, np.inf
    params = [np.zeros(40)]
    Adam(params, lr=0.1).step([g])
    with np.errstate(invalid="ignore"):
        step, *_ = rules.adam(g, 0 * g, 0 * g, 1, **rules.adam.complete({"lr": 0.1}))
    np.testing.assert_allclose(params[0], -step, rtol=1e-15)
    assert sorted(np.flatnonzero(~np.isfinite(params[0]))) == [3, 17]
