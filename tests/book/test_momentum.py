"""The section on momentum: its numbers by other ways, and what would make its claims fail."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from stepwell.book import momentum
from stepwell.functions import minimize
from tests.book import harness

wrong_lines = partial(harness.wrong_lines, "momentum")


@pytest.mark.parametrize(
    ("lr", "beta", "end"),
    [
        (0.4, 0.0, (-0.943467, -0.000073)), (0.6, 0.0, (-0.387814, -1673.365)),
        (0.6, 0.5, (0.007188, 0.002553)), (0.6, 0.25, (-0.126340, -0.186632)),
    ],
)  # fmt: skip
def test_the_ravine_longhand(lr: float, beta: float, end: tuple[float, float]) -> None:
    x, v = np.array([-5.0, -2.0]), np.zeros(2)
    for _ in range(20):
        v = beta * v + np.array((0.2, 4.0)) * x
        x = x - lr * v
    assert x == pytest.approx(end, abs=5e-4 if abs(end[1]) > 1 else 5e-7)


def test_the_radius_longhand() -> None:
    for curvature in (0.2, 4.0):
        matrix = np.array([[0.5, curvature], [-0.6 * 0.5, 1 - 0.6 * curvature]])
        assert abs(np.linalg.eigvals(matrix)).max() == pytest.approx(0.7071, abs=5e-5)


def dampened(fun: Any, x0: Any, method: str = "gradient_descent", **hyper: Any) -> Any:
    if method == "momentum":
        return minimize(fun, x0, "momentum_dampened", dampening=hyper["beta"], **hyper)
    return minimize(fun, x0, method, **hyper)


def look_ahead(fun: Any, x0: Any, method: str = "gradient_descent", **hyper: Any) -> Any:
    return minimize(fun, x0, "nesterov" if method == "momentum" else method, **hyper)


@pytest.mark.parametrize("wrong", [dampened, look_ahead])
def test_another_momentum_is_seen(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(momentum, "minimize", wrong)
    assert {"momentum, η = .6, β = 0.5", "momentum, η = .6, β = 0.25"} <= set(wrong_lines("ravine"))


def test_another_rule_in_training_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    harness.trains_with(monkeypatch, rules.nesterov)
    assert sum("one training, twice" in what for what in wrong_lines("training")) == 3


def test_a_stability_without_momentum_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = momentum.theory
    plain = SimpleNamespace(
        stability=lambda rule, lr, curvature, beta: right.stability("gradient_descent", lr, curvature),
        stability_limit=lambda rule, beta: right.stability_limit("gradient_descent"),
    )
    monkeypatch.setattr(momentum, "theory", plain)
    assert len(wrong_lines("convergence")) == 4


def test_wrong_weights_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = momentum.theory

    def averaged(rule: str, steps: int, beta: float) -> np.ndarray:
        return (1 - beta) * right.average_weights(rule, steps, beta=beta)

    monkeypatch.setattr(momentum, "theory", SimpleNamespace(average_weights=averaged, half_life=right.half_life))
    assert len(wrong_lines("weights")) == 6  # at β = 0 there is no difference
