"""The section on minibatches: its numbers by other ways, and what would make its claims fail."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from stepwell.book import minibatch
from stepwell.lab import tasks
from tests.book import harness
from tests.lab.conftest import data_folder

page = partial(harness.page, "minibatch")
wrong_lines = partial(harness.wrong_lines, "minibatch")


def test_the_four_products_are_one() -> None:
    """Which of them is fast is for the page to say; a test does not depend on the machine's load."""
    (same,) = [line for line in page("product").lines if line.what == "all four are B·C"]
    assert same.holds


def test_the_quadratic_is_the_training_loss() -> None:
    task = tasks.airfoil(data_folder())
    loss, w = minibatch.quadratic(task), np.random.default_rng(0).normal(size=6)
    x, y = task.data.inputs.astype(float), task.data.targets[:, 0].astype(float)
    assert loss(w) == pytest.approx(np.mean((x @ w[:5] + w[5] - y) ** 2) / 2, rel=1e-12)
    assert loss.minimum == pytest.approx(0.241688, abs=5e-7)
    curvatures = np.linalg.eigvalsh(loss.hessian(w))
    assert curvatures[[0, -1]] == pytest.approx([0.1737, 2.0985], abs=5e-5)
    assert curvatures[-1] / curvatures[0] == pytest.approx(12.08, abs=0.005)
    assert 2 / curvatures[-1] == pytest.approx(0.953, abs=5e-4)


def test_a_loss_without_its_half_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = minibatch.quadratic
    doubled = lambda task: right(replace(task, data=replace(task.data, targets=task.data.targets * 2**0.5)))  # noqa: E731
    monkeypatch.setattr(minibatch, "quadratic", doubled)
    assert {"least-squares loss", "loss at zero weights"} <= set(wrong_lines("problem"))


def test_twice_the_gradient_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_scratch(*args: Any, lr: float, **kwargs: Any) -> Any:
        return right(*args, lr=2 * lr, **kwargs)

    right = minibatch.airfoil.from_scratch
    monkeypatch.setattr(minibatch.airfoil, "from_scratch", from_scratch)
    found = wrong_lines("training")
    assert sum("one training, twice" in what for what in found) == 4
    assert any("gradient descent, η = 1, from scratch" in what for what in found)


def test_another_rule_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    harness.trains_with(monkeypatch, rules.momentum)
    assert sum("one training, twice" in what for what in wrong_lines("training")) == 4


def test_the_gradients_noise_longhand() -> None:
    x, y = minibatch._arrays(tasks.airfoil(data_folder()))
    each = -y[:, None] * x
    rng = np.random.default_rng(3)
    sd = {b: np.sqrt(each[rng.integers(1500, size=(3000, b))].mean(axis=1).var(axis=0).sum()) for b in (4, 64)}
    assert sd[4] / sd[64] == pytest.approx(4, rel=0.05)
