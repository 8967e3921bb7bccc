"""The section on Adagrad: its numbers by other ways, and what would make its claims fail."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from stepwell.book import adagrad
from stepwell.functions import minimize
from tests.book import harness

wrong_lines = partial(harness.wrong_lines, "adagrad")


@pytest.mark.parametrize(("lr", "end"), [(0.4, (-2.382563, -0.158591)), (2.0, (-0.002295, 0.0))])
def test_the_ravine_longhand(lr: float, end: tuple[float, float]) -> None:
    x, s = np.array([-5.0, -2.0]), np.full(2, 1e-6)
    for _ in range(20):
        g = np.array((0.2, 4.0)) * x
        s = s + g**2
        x = x - lr * g / np.sqrt(s)
    assert x == pytest.approx(end, abs=5e-7)


@pytest.mark.parametrize("rule", ["rmsprop_eps_inside", "gradient_descent", "adam"])
def test_another_rule_is_seen(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adagrad, "RULE", rule)
    assert len(wrong_lines("ravine")) == 2


def test_a_rule_that_a_rotation_does_not_touch_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adagrad, "RULE", "momentum")
    assert wrong_lines("rotation") == ["Adagrad is not invariant to a rotation"]


def test_a_mean_of_squares_in_training_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    harness.trains_with(monkeypatch, adagrad.adagrad_gentle)
    assert any("one training, twice" in what for what in wrong_lines("training"))


def test_scaling_by_the_root_of_the_diagonal_alone_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = adagrad.theory
    wrong = SimpleNamespace(
        precondition=lambda Q: Q / np.sqrt(np.diag(Q)).mean(),
        gershgorin=right.gershgorin, condition_number=right.condition_number,
    )  # fmt: skip
    monkeypatch.setattr(adagrad, "theory", wrong)
    assert len(wrong_lines("preconditioning")) >= 4


@pytest.mark.parametrize("ease", [0.0, 0.5, 1.0])
def test_the_gentler_rule_decays_as_it_says(ease: float) -> None:
    step, s = 0.0, 0.0
    for t in range(1, 101):
        step, s = adagrad.adagrad_gentle(3.0, s, t, lr=1.0, ease=ease, eps=0.0)
    assert step == pytest.approx(100 ** -((1 - ease) / 2), rel=1e-12)


def test_a_turned_ravine_is_another_problem_for_adagrad() -> None:
    plain = minimize(adagrad.surfaces.ravine, (-5.0, -2.0), "adagrad", lr=0.4, steps=20)
    turned = adagrad.surfaces.rotated(adagrad.surfaces.ravine)
    assert minimize(turned, turned.start, "adagrad", lr=0.4, steps=20).fun > 2 * plain.fun
