"""The range test on losses whose course is known."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stepwell.lab import find_lr
from stepwell.lab.candidates import choose
from stepwell.lab.rates.range_test import DECADES, SMOOTHING, RangeTest, range_test
from stepwell.lab.task import Task

pytestmark = pytest.mark.usefixtures("one_thread")

CURVATURE = 4.0


class Point(nn.Module):
    """A model that is one number."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.at + 0 * x.sum()


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.ones(1), torch.ones(1))] * count


def bowl(**more: Any) -> Task:
    """½·4·(p² + 1): gradient descent diverges above a rate of ½."""
    loss = lambda p, _: CURVATURE * (p**2 + 1) / 2  # noqa: E731
    return Task(**{"model": Point, "data": batches(50), "loss": loss, "epochs": 20, "name": "bowl", **more})


def seen(task: Task, most: int = 10_000, name: str = "gradient_descent") -> RangeTest:
    return range_test(task, choose([name])[name], 0, (), 1e-2, most)


def test_each_loss_is_that_after_the_step_of_its_rate() -> None:
    found = seen(bowl())
    p, weight, average = 1.0, 1 - SMOOTHING, (1 - SMOOTHING) * found.initial
    assert found.initial == CURVATURE
    for k, (rate, loss, smooth) in enumerate(zip(found.rates, found.raw, found.losses, strict=True)):
        assert rate == pytest.approx(1e-2 * 10 ** (DECADES * (k / 99 - 0.5)))
        p -= rate * CURVATURE * p
        assert loss == pytest.approx(CURVATURE * (p**2 + 1) / 2, rel=1e-4)
        weight, average = 1 - SMOOTHING ** (k + 2), SMOOTHING * average + (1 - SMOOTHING) * loss
        assert smooth == pytest.approx(average / weight, rel=1e-4)


def test_it_ends_where_training_diverges() -> None:
    found = seen(bowl())
    assert found.edge is not None
    assert 0.5 < found.edge < 5
    assert found.steps == len(found.raw) + 1 < 100
    found = seen(bowl(), name="adam")  # whose steps are no larger than the rate
    assert found.edge is not None
    assert found.edge > 1


def test_a_loss_that_is_not_finite_is_no_part_of_the_curve() -> None:
    def loss(p: torch.Tensor, _: Any) -> torch.Tensor:
        return CURVATURE * (p**2 + 1) / 2 if p.abs() < 1.5 else p * math.inf

    found = seen(bowl(loss=loss))
    assert all(map(math.isfinite, [*found.losses, *found.raw]))
    assert len(found.rates) == len(found.losses) == len(found.raw)
    assert found.edge is not None
    assert found.edge > found.rates[-1]
    assert found.steps == len(found.raw) + 2


def test_the_rate_is_where_it_falls_most_and_a_tenth_is_a_tenth() -> None:
    found = seen(bowl())
    lowest = int(np.argmin(found.losses))
    assert found.steepest is not None
    assert found.steepest < found.rates[lowest]
    falls = np.gradient(found.losses)
    assert falls[found.rates.index(found.steepest)] == falls[20 : lowest + 1].min()
    assert found.tenth == found.rates[lowest] / 10


def test_a_fall_after_the_lowest_loss_does_not_count() -> None:
    losses = [5.0] * 30 + [4.9, 4.0, 3.0, 4.5, 4.6, 3.1, 4.0, 5.0]
    rates = [1e-3 * 1.2**k for k in range(len(losses))]
    assert RangeTest(rates, losses, losses, 5.0, None, len(losses)).steepest in (rates[31], rates[32])


def test_a_loss_that_never_falls_has_no_rate() -> None:
    flat = bowl(loss=lambda p, _: 1.0 + 0 * p)
    backwards = bowl(loss=lambda p, _: 5.0 - (p - p.detach()) + (p.detach() - 1) ** 2)
    for task in (flat, backwards):
        found = find_lr(task, "adam", method="range")
        assert found.rate is None
        assert "never falls" in (found.reason or "")
        assert str(found).startswith("no clear answer")


def test_a_fall_within_the_differences_of_batches_is_none() -> None:
    draw = np.random.default_rng(0)
    data = [(torch.ones(1), torch.tensor([float(x)])) for x in draw.standard_normal(50)]
    noisy = Task(model=Point, data=data, loss=lambda p, x: 0 * p + 5 + x.mean(), epochs=20)
    assert seen(noisy).steepest is None
    falling = Task(model=Point, data=data, loss=lambda p, x: 5 * p**2 + 5 + x.mean(), epochs=20)
    assert seen(falling).steepest is not None


def test_it_is_about_a_pass_and_within_the_budget() -> None:
    assert seen(bowl(loss=lambda p, _: 1.0 + 0 * p)).steps == 101
    assert seen(bowl(loss=lambda p, _: 1.0 + 0 * p, data=batches(300))).steps == 301
    assert seen(bowl(loss=lambda p, _: 1.0 + 0 * p, data=batches(3000))).steps == 1001
    found = find_lr(bowl(loss=lambda p, _: 1.0 + 0 * p), "adam", method="range", steps=60)
    assert found.cost.steps <= 1.1 * 60 + 1
    endless = bowl(data=lambda seed: iter(batches(7)), length=500)
    assert seen(endless).steps <= 101


def test_the_answer_says_what_it_is() -> None:
    found = find_lr(bowl(), "gradient_descent", method="range", seeds=[3])
    assert found.method == "range"
    assert found.seeds == (3,)
    assert (
        found.rate == range_test(bowl(), choose(["gradient_descent"])["gradient_descent"], 3, (), 1e-2, 1100).steepest
    )
    assert found.interval is None
    assert found.interval_reason == "a range test is one run"
    assert (found.basin, found.short_rate) == (None, None)
    assert found.cost.runs == found.cost.steps / 1000
    assert len(found.rounds) == 1
    assert len(str(found).splitlines()) < 25
