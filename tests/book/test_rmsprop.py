"""The section on RMSProp: its numbers by other ways, and what would make its claims fail."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from stepwell.book import rmsprop
from tests.book import harness

wrong_lines = partial(harness.wrong_lines, "rmsprop")


def test_the_ravine_longhand() -> None:
    x, s = np.array([-5.0, -2.0]), np.zeros(2)
    for _ in range(20):
        g = np.array((0.2, 4.0)) * x
        s = 0.9 * s + 0.1 * g**2
        x = x - 0.4 * g / np.sqrt(s + 1e-6)
    assert x == pytest.approx((-0.010599, 0.0), abs=5e-7)


@pytest.mark.parametrize("change", [{"gamma": 0.99}, {"eps": 1e-3}, {"method": "rmsprop_centered"}])
def test_another_rule_is_seen(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    right = rmsprop.minimize

    def wrong(fun: Any, x0: Any, method: str, **hyper: Any) -> Any:
        return right(fun, x0, **{"method": method, **hyper, **(change if method == rmsprop.RULE else {})})

    monkeypatch.setattr(rmsprop, "minimize", wrong)
    assert wrong_lines("ravine")


def test_another_rate_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmsprop, "SETTINGS", [replace(rmsprop.SETTINGS[0], hyper={"lr": 0.0003, "gamma": 0.9})])
    assert sum("loss after 2 epochs" in what for what in wrong_lines("training")) == 2


def test_a_mean_of_gradients_in_training_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    harness.trains_with(monkeypatch, rules.rmsprop_centered)
    assert any("one training, twice" in what for what in wrong_lines("training"))


def test_a_wrong_half_life_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = rmsprop.theory
    wrong = SimpleNamespace(average_weights=right.average_weights, half_life=lambda gamma: 1 / (1 - gamma))
    monkeypatch.setattr(rmsprop, "theory", wrong)
    assert wrong_lines("weights") == ["half-life at γ = .9, in steps"]


def test_the_adapting_rule_is_a_plain_mean_at_power_1() -> None:
    g, s = np.random.default_rng(0).normal(size=30), 0.0
    for t, value in enumerate(g, 1):
        s = rmsprop.rmsprop_adapting(value, s, t, power=1.0)[1]
    assert s == pytest.approx(np.mean(g**2), rel=1e-13)
