"""What the library's schedules do where the texts' do otherwise, apart from the page: errata 15 to 20."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import stepwell.torch
from stepwell import schedules
from stepwell.book.errata.schedules import BookCosine, BookFactor

WARM = schedules.warmup(5, rate=0.3).then(schedules.cosine(15, rate=0.3, end=0.01))


def weight() -> torch.Tensor:
    return torch.zeros(1, dtype=torch.float64, requires_grad=True)


def moved(p: torch.Tensor, optimizer: Any, after: Callable[[int], Any], epochs: int) -> list[float]:
    """How far a weight whose gradient is 1 goes in each epoch of one update."""
    made = []
    for epoch in range(epochs):
        before = p.item()
        p.grad = torch.ones_like(p)
        optimizer.step()
        made.append(before - p.item())
        after(epoch)
    return made


def test_15_updates_are_counted_unless_epochs_are_asked_for() -> None:
    root = schedules.inverse_sqrt(0.1)
    p = weight()
    optimizer = stepwell.torch.SGD([p], lr=root.per_epoch(4))
    assert moved(p, optimizer, lambda epoch: None, 12) == pytest.approx(np.repeat([root(0), root(1), root(2)], 4))
    assert root.per_epoch(235)(29 * 235) == pytest.approx(0.018257, abs=5e-7)
    assert root(29 * 235) == pytest.approx(0.001211, abs=5e-7)


@pytest.mark.parametrize("cls", [stepwell.torch.SGD, torch.optim.SGD])
def test_16_the_first_epoch_has_the_schedules_first_rate(cls: Any) -> None:
    p = weight()
    optimizer = cls([p], lr=0.3)
    scheduler = schedules.as_torch(optimizer, WARM)
    made = moved(p, optimizer, lambda epoch: scheduler.step(), 25)
    assert made[:6] == pytest.approx([0, 0.06, 0.12, 0.18, 0.24, 0.3])
    assert made == pytest.approx([WARM(k) for k in range(25)])


def test_16_the_texts_loop_is_an_epoch_late() -> None:
    p = weight()
    optimizer = torch.optim.SGD([p], lr=0.3)
    made = moved(p, optimizer, lambda epoch: optimizer.param_groups[0].update(lr=WARM(epoch)), 3)
    assert made == pytest.approx([0.3, 0.0, 0.06])


def test_17_drawing_a_schedule_does_not_use_it_up() -> None:
    schedule = schedules.multi_factor([15, 30], 0.5, rate=0.5)
    assert [schedule(k) for k in range(30)] == [0.5] * 15 + [0.25] * 15  # the plot
    p = weight()
    optimizer = stepwell.torch.SGD([p], lr=schedule)
    assert moved(p, optimizer, lambda epoch: None, 31) == pytest.approx([0.5] * 15 + [0.25] * 15 + [0.125])


def test_17_torchs_own_is_used_up() -> None:
    p = weight()
    optimizer = torch.optim.SGD([p], lr=0.5)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [15, 30], 0.5)
    moved(p, optimizer, lambda epoch: scheduler.step(), 30)
    assert moved(p, optimizer, lambda epoch: scheduler.step(), 30) == pytest.approx([0.125] * 30)


def test_18_factor_answers_what_it_is_asked() -> None:
    schedule, book = schedules.factor(0.9, rate=2.0, floor=1e-2, start=1), BookFactor(0.9, 1e-2, 2.0)
    assert [schedule(49), schedule(0), schedule(0)] == pytest.approx([0.010308, 1.8, 1.8], abs=5e-7)
    assert [book(49), book(0), book(0)] == pytest.approx([1.8, 1.62, 1.458])
    assert schedules.factor(0.9, rate=2.0)(0) == 2.0


def test_19_cosine_holds_its_end_whatever_was_asked_before() -> None:
    schedule = schedules.cosine(20, rate=0.3, end=0.01)
    assert [schedule(25), schedule(5), schedule(25)] == pytest.approx([0.01, 0.2575, 0.01], abs=5e-5)
    book = BookCosine(20, 0.3, 0.01)
    with pytest.raises(AttributeError):
        book(25)
    assert [book(5), book(25)] == pytest.approx([0.2575, 0.2575], abs=5e-5)


def test_19_the_texts_end_counts_the_warmup_in() -> None:
    book = BookCosine(20, 0.3, 0.01, warmup=5)
    assert [book(k) for k in range(30)] == pytest.approx([WARM(k) for k in range(30)])
    assert book(10) != pytest.approx(0.155, abs=1e-3)  # which the formula of the text has at t = 10


def test_20_polynomial_is_defined() -> None:
    schedule = schedules.polynomial(alpha=0.75, beta=0.2, rate=0.4)
    assert schedule(7) == pytest.approx(0.4 * (1 + 0.2 * 7) ** -0.75, rel=1e-14)
    assert schedules.polynomial(0.5, 1.0, 0.1)(29) == pytest.approx(0.1 / math.sqrt(30))
