"""What a rule may say: the functions agree with NumPy, and whatever is outside the language is refused when defined."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stepwell.rule import Rate, RuleError, exp, log, maximum, minimum, row_mean, rule, sign, sqrt, tanh, where
from stepwell.symbolic import Expr, symbol

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 3e-320, 1e300, -1e300, math.inf, -math.inf, math.nan]
ONE = {sqrt: np.sqrt, exp: np.exp, log: np.log, tanh: np.tanh, sign: np.sign}
TWO = {maximum: np.maximum, minimum: np.minimum}

BRANCH, IN_PLACE, EQUALITY = "branches on data", "works in place", "tests for equality"
UNKNOWN, INSIDE, OUTSIDE = "unknown function", "looks inside an array", "outside the language"
NUMBER, CONDITION, NEITHER = "uses a comparison as a number", "chooses by a comparison", "neither a number nor made of"


def if_branch(g):
    if g > 0:
        return g
    return -g


def while_branch(g):
    while g < 1:
        g = g + 1
    return g


def chained(g):
    return where(0 < g < 1, g, 1)


def in_place_sum(g, m):
    m += g
    return m, m


def in_place_items(g, m):
    m[:] = g
    return m, m


def in_place_power(g):
    g **= 2
    return g


REFUSED = [
    (if_branch, BRANCH), (while_branch, BRANCH), (chained, BRANCH),
    (lambda g: g and 1, BRANCH), (lambda g: g or 1, BRANCH), (lambda g: not g, BRANCH),
    (lambda g: max(g, 0), BRANCH), (lambda g: min(g, 0), BRANCH), (lambda g: g if g > 0 else 0, BRANCH),
    (lambda g, t: g if t > 1 else 0, BRANCH),
    (in_place_sum, IN_PLACE), (in_place_items, IN_PLACE), (in_place_power, IN_PLACE),
    (lambda g: where(g == 0, 1.0, g), EQUALITY), (lambda g: where(g != 0, 1.0, g), EQUALITY),
    (lambda g, t: g if t == 1 else -g, EQUALITY), (lambda g: 0 in g, EQUALITY),
    (lambda g: math.sqrt(g), UNKNOWN), (lambda g: float(g), UNKNOWN), (lambda g: int(g), UNKNOWN),
    (lambda g: np.asarray(g), UNKNOWN), (lambda g: np.where(g > 0, g, 0), UNKNOWN), (lambda g: np.sum(g), UNKNOWN),
    (lambda g: np.sqrt(g), OUTSIDE), (lambda g: np.maximum(g, 0), OUTSIDE), (lambda g: torch.sqrt(g), OUTSIDE),
    (lambda g: g.sum(), OUTSIDE), (lambda g: g % 2, OUTSIDE), (lambda g: g // 2, OUTSIDE), (lambda g: g @ g, OUTSIDE),
    (lambda g: round(g), OUTSIDE), (lambda g: (g > 0) & (g < 1), OUTSIDE), (lambda g: 1 / 0 * g, OUTSIDE),
    (lambda g: g[0], INSIDE), (lambda g: len(g), INSIDE), (lambda g: sum(g), INSIDE), (lambda g: [*g], INSIDE),
    (lambda g: (g > 0) * g, NUMBER), (lambda g: (g > 0) - (g < 0), NUMBER), (lambda g: -(g > 0), NUMBER),
    (lambda g: abs(g > 0), NUMBER), (lambda g: +(g > 0), NUMBER), (lambda g: sqrt(g > 0), NUMBER),
    (lambda g: row_mean(g > 0), NUMBER), (lambda g: g.mean(), OUTSIDE),
    (lambda g: g > 0, NUMBER), (lambda g: where(g > 0, g > 1, 0), NUMBER), (lambda g: (g > 0) > 0, NUMBER),
    (lambda g: where(g, 1, 0), CONDITION), (lambda g: where(1, g, 0), CONDITION),
    (lambda g: [g], NEITHER), (lambda g: None, NEITHER), (lambda g: "g", NEITHER), (lambda g: True, NEITHER),
    (lambda g: {"step": g}, NEITHER), (lambda g: g + "1", NEITHER), (lambda g: g * np.ones(2), NEITHER),
    (lambda g: g * True, NEITHER), (lambda g: g * 1j, NEITHER), (lambda g: maximum(g, None), NEITHER),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "words"), REFUSED, ids=lambda x: x if isinstance(x, str) else "")
def test_what_is_outside_the_language_is_refused_at_definition(formula, words):
    with pytest.raises(RuleError) as error:
        rule(formula)
    assert str(error.value).startswith(f"rule {formula.__name__}: ")
    assert words in str(error.value)


def test_a_rule_called_by_a_rule_is_named_too():
    with pytest.raises(RuleError, match=r"rule outer: .*branches on data"):

        @rule
        def outer(g, *, lr: Rate = 1):
            return lr * if_branch(g)


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.uint8(2)], ids=lambda x: type(x).__name__
)
def test_numbers_of_numpy_are_numbers_on_either_side(value):
    traced = rule(lambda g: (value * g + value) / (g - value) ** value * (value - g) ** (value / g)).trace
    plain = rule(lambda g: (2.0 * g + 2.0) / (g - 2.0) ** 2.0 * (2.0 - g) ** (2.0 / g)).trace
    assert repr(traced) == repr(plain)


def test_an_expression_keeps_the_order_of_the_author():
    g, m = symbol("g"), symbol("m")
    assert repr(1 - g * m + 0.5) == "+(-(1.0, *(g, m)), 0.5)"
    assert repr(1 / g**2) == "/(1.0, **(g, 2.0))"
    assert repr(2**g) == "**(2.0, g)"
    assert repr(where(g > 1, -abs(m), sqrt(m))) == "where(>(g, 1.0), neg(abs(m,),), sqrt(m,))"
    assert repr(maximum(1, g)) == "maximum(1.0, g)"
    assert repr(1 + row_mean(g**2)) == "+(1.0, row_mean(**(g, 2.0),))"


def test_two_equal_expressions_are_two_keys():
    a, b = symbol("g"), symbol("g")
    assert {a: 1, b: 2}[a] == 1
    with pytest.raises(RuleError, match=EQUALITY):
        _ = a == b


def test_expressions_and_plain_booleans():
    g = symbol("g")
    assert where(True, g, 1.0) is g
    assert where(np.False_, g, 1.0) == 1.0
    with pytest.raises(RuleError, match=NEITHER):
        Expr.of(np.True_)


@pytest.mark.parametrize("function", ONE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, at log(-1) and its like
def test_functions_of_one_argument_agree_with_numpy(function, dtype):
    values = np.array(SPECIAL).astype(dtype)
    expected = ONE[function](values)
    close = {"float32": 1e-6, "float64": 1e-15}[dtype]
    for found in (function(values), function(torch.from_numpy(values)).numpy()):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=close)
    numbers = [function(x) for x in values.tolist()]
    assert all(type(x) is float for x in numbers)
    np.testing.assert_allclose(np.array(numbers).astype(dtype), expected, rtol=close)


def jax_array(x: np.ndarray) -> Any:
    return pytest.importorskip("jax").numpy.asarray(x)


LIBRARIES = {"numpy": np.asarray, "torch": torch.from_numpy, "jax": jax_array}
SHAPES = [(3,), (1,), (2, 3), (2, 1), (2, 3, 4), (0, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_mean_of_rows_is_along_the_last_axis(library, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = row_mean(LIBRARIES[library](x))
    assert type(found) is type(LIBRARIES[library](x))
    assert found.shape == (*shape[:-1], 1)
    assert np.asarray(found).dtype == np.float32
    np.testing.assert_allclose(np.asarray(found)[..., 0], x.astype(np.float64).mean(-1), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_has_no_axes_is_its_own_mean_and_an_empty_row_has_0(library):
    """Without a warning, which would be an error here."""
    number = row_mean(LIBRARIES[library](np.array(2.5)))
    assert number.shape == ()
    assert float(number) == 2.5
    for shape in ((0,), (2, 0)):
        found = np.asarray(row_mean(LIBRARIES[library](np.zeros(shape, np.float32))))
        np.testing.assert_array_equal(found, np.zeros((*shape[:-1], 1)))


@pytest.mark.parametrize("value", [2, 2.5, math.nan, np.float64(2.5), np.float16(2.5)], ids=repr)
def test_a_number_is_its_own_mean(value):
    assert row_mean(value) is value


pairs = st.tuples(*[st.sampled_from(SPECIAL) | st.floats()] * 2)


@pytest.mark.parametrize("function", TWO, ids=lambda f: f.__name__)
@given(pair=pairs)
def test_functions_of_two_arguments_agree_with_numpy(function, pair):
    x, y = pair
    expected = TWO[function](x, y)
    assert_same(function(x, y), expected)
    for array in (np.array([x]), torch.tensor([x], dtype=torch.float64)):
        assert_same(function(array, y).item(), expected)  # an array and a number
        assert_same(function(y, array).item(), TWO[function](y, x))
        other = np.array([y]) if isinstance(array, np.ndarray) else torch.tensor([y], dtype=torch.float64)
        assert_same(function(array, other).item(), expected)


@given(pair=pairs)
def test_where_agrees_with_numpy(pair):
    x, y = pair
    expected = x if x > 0 else y
    assert_same(where(x > 0, x, y), expected)
    assert_same(where(np.float64(x) > 0, x, y), expected)
    for array in (np.array([x]), torch.tensor([x], dtype=torch.float64)):
        assert_same(where(array > 0, array, y).item(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_of_two_numbers_keeps_their_digits(dtype):
    """0.1 in single precision would be wrong in the ninth digit."""
    g = torch.tensor([2.0, -2.0], dtype=dtype)
    assert (g * where(g > 0, 0.1, 0.3)).tolist() == [2.0 * 0.1, -2.0 * 0.3]
    g = g.numpy()
    assert (g * where(g > 0, 0.1, 0.3)).tolist() == [2.0 * 0.1, -2.0 * 0.3]


def assert_same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.float64(found), np.float64(expected))
