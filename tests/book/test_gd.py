"""Gradient descent's section: the book's numbers, by the library and longhand, and what would make them fail."""

import math
from typing import Any

import pytest

from stepwell.book import gd
from stepwell.functions import minimize
from tests.book.harness import detects


@pytest.mark.parametrize(("lr", "expected"), [(0.2, 0.060466), (0.05, 3.486784), (1.1, 61.917364)])
def test_one_dimension_longhand(lr: float, expected: float) -> None:
    x = 10.0
    for _ in range(10):
        x -= lr * 2 * x
    assert x == pytest.approx(expected, abs=5e-7)
    assert float(minimize(lambda x: x**2, 10.0, lr=lr, steps=10).x) == pytest.approx(x, rel=1e-12)


def test_newton_longhand() -> None:
    c = 0.15 * math.pi
    for eta, expected in ((1.0, 26.834133), (0.5, 7.269860)):
        x = 10.0
        for _ in range(10):
            slope = math.cos(c * x) - c * x * math.sin(c * x)
            x -= eta * slope / (-2 * c * math.sin(c * x) - x * c**2 * math.cos(c * x))
        assert x == pytest.approx(expected, abs=5e-7)


def hasty(*args: Any, lr: Any = None, **kwargs: Any) -> Any:
    """minimize at a rate 1 % too large."""
    return minimize(*args, lr=1.01 if lr is None else 1.01 * lr, **kwargs)


def late(*args: Any, steps: int = 100, **kwargs: Any) -> Any:
    """minimize with a step left out."""
    return minimize(*args, steps=steps - 1, **kwargs)


@pytest.mark.parametrize("wrong", [hasty, late])
@pytest.mark.parametrize("name", ["one_dimension", "local_minimum", "two_dimensions", "newton"])
def test_a_wrong_descent_is_seen(name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    detects(monkeypatch, gd, "gd", name, minimize=wrong)


def test_a_wrong_line_search_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any, line_search: Any = None, steps: int = 50, **kwargs: Any) -> Any:
        return minimize(*args, steps=10, **kwargs)

    detects(monkeypatch, gd, "gd", "line_search", minimize=none)
