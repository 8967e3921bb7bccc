"""Stochastic gradient descent's section: statistics over many runs, and what would make them fail."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stepwell.book import sgd
from stepwell.functions import minimize
from tests.book.harness import detects


def test_the_constant_rate_longhand() -> None:
    rng = np.random.default_rng(5)
    x = np.tile((-5.0, -2.0), (2000, 1))
    for _ in range(50):
        x = x - 0.1 * ((2.0, 4.0) * x + rng.normal(size=x.shape))
    assert abs(x.mean(axis=0)).max() < 3 * 0.167 / np.sqrt(2000)
    assert x.std(axis=0) == pytest.approx([0.167, 0.125], rel=0.05)


def louder(*args: Any, noise: Any = None, **kwargs: Any) -> Any:
    return minimize(*args, noise=None if noise is None else 1.1 * noise, **kwargs)


def silent(*args: Any, noise: Any = None, **kwargs: Any) -> Any:
    return minimize(*args, **kwargs)


def biased(*args: Any, noise: Any = None, **kwargs: Any) -> Any:
    return minimize(*args, noise=lambda rng, x, g: g + 0.1 + rng.normal(size=g.shape), **kwargs)


@pytest.mark.parametrize("wrong", [louder, silent, biased])
def test_wrong_noise_is_seen(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    detects(monkeypatch, sgd, "sgd", "rates", minimize=wrong)


@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_schedule_that_starts_early_or_late_is_seen(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    detects(monkeypatch, sgd, "sgd", "rates", FIRST=first)


def test_too_small_a_bound_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = sgd.theory.sgd_bound
    wrong = SimpleNamespace(sgd_best_rate=sgd.theory.sgd_best_rate, sgd_bound=lambda *args: right(*args) / 2)
    detects(monkeypatch, sgd, "sgd", "bound", theory=wrong)
