"""The numbers of the book's chapter on schedules, and its mistakes (15 to 20 of the inventory), each caught."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from stepwell import schedules


def rates(schedule: Callable[[int], float], steps: int) -> list[float]:
    return [schedule(k) for k in range(steps)]


def sgd(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def used(optimizer: torch.optim.Optimizer, after_epoch: Callable[[int], None], epochs: int) -> list[float]:
    """The rate that each epoch's update really uses."""
    rates = []
    for epoch in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        after_epoch(epoch)
    return rates


def answers_only_to_the_step(make: Callable[[], Callable[[int], float]]) -> bool:
    """Whether a plot before the training, a call out of order and a late first call change nothing."""
    in_order = rates(make(), 40)
    plotted = make()
    rates(plotted, 40)
    backwards = make()
    return (
        rates(plotted, 40) == in_order
        and [backwards(k) for k in reversed(range(40))] == in_order[::-1]
        and make()(39) == in_order[39]
    )


class BookFactor:
    def __init__(self) -> None:
        self.rate = 2.0

    def __call__(self, step: int) -> float:
        self.rate = max(1e-2, self.rate * 0.9)
        return self.rate


class BookCosine:
    def __call__(self, step: int) -> float:
        if step <= 20:
            self.rate = 0.01 + 0.29 * (1 + math.cos(math.pi * step / 20)) / 2
        return self.rate


class BookMultiFactor:
    def __init__(self) -> None:
        self.optimizer = sgd(lr=0.5)
        self.scheduler = torch.optim.lr_scheduler.MultiStepLR(self.optimizer, [15, 30], 0.5)

    def __call__(self, step: int) -> float:
        rate = self.scheduler.get_last_lr()[0]
        self.optimizer.step()
        self.scheduler.step()
        return float(rate)


def test_piecewise_constant():
    schedule = schedules.piecewise_constant([3, 5], [0.3, 0.2, 0.1])
    assert rates(schedule, 7) == [0.3, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1]


def test_piecewise_constant_without_boundaries_is_constant():
    assert rates(schedules.piecewise_constant([], [0.3]), 3) == rates(schedules.constant(0.3), 3)


def test_exponential():
    assert rates(schedules.exponential(0.1), 60) == pytest.approx([math.exp(-0.1 * k) for k in range(60)], rel=1e-15)


def test_square_root():
    schedule = schedules.inverse_sqrt(0.1)
    assert rates(schedule, 30) == pytest.approx([0.1 * (k + 1.0) ** -0.5 for k in range(30)], rel=1e-15)
    assert schedule(29) == pytest.approx(0.018257, abs=5e-7)


def test_factor():
    schedule = schedules.factor(0.9, rate=2.0, floor=1e-2)
    assert rates(schedule, 80) == pytest.approx([max(1e-2, 2 * 0.9**k) for k in range(80)], rel=1e-15)


def test_factor_as_the_book_steps_it():
    schedule, book = schedules.factor(0.9, rate=2.0, floor=1e-2, start=1), BookFactor()
    fifty = rates(schedule, 50)
    assert fifty[0] == 1.8
    assert fifty[49] == pytest.approx(0.010308, abs=5e-7)
    assert fifty == pytest.approx(rates(book, 50), rel=1e-14)


def test_multi_factor():
    assert rates(schedules.multi_factor([15, 30], 0.5, rate=0.5), 30) == [0.5] * 15 + [0.25] * 15


def test_cosine():
    schedule = schedules.cosine(20, rate=0.3, end=0.01)
    book = [0.01 + 0.29 * (1 + math.cos(math.pi * k / 20)) / 2 for k in range(21)]
    assert rates(schedule, 21) == pytest.approx(book, rel=1e-14)
    assert schedule(10) == pytest.approx(0.155, rel=1e-15)


def test_cosine_after_warmup():
    schedule = schedules.warmup(5, rate=0.3).then(schedules.cosine(15, rate=0.3, end=0.01))
    assert rates(schedule, 6) == pytest.approx([0, 0.06, 0.12, 0.18, 0.24, 0.3], abs=1e-16)
    assert schedule(20) == 0.01


def test_transformer():
    schedule = schedules.warmup(4000).then(schedules.polynomial(0.5, beta=1 / 4000))
    noam = [min((k / 4000) ** -0.5, k / 4000) for k in range(1, 12_000, 7)]
    assert [schedule(k) for k in range(1, 12_000, 7)] == pytest.approx(noam, rel=1e-14)


def test_warmup_stable_decay():
    schedule = schedules.warmup_stable_decay(4, 3, 2, rate=0.8, end=0.2)
    assert rates(schedule, 12) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.5, 0.2, 0.2, 0.2])
    assert schedule.length == 9


def test_mistake_15_minibatches_are_not_epochs():
    by_epoch = schedules.multi_factor([15, 30], rate=0.5)
    by_minibatch = by_epoch.per_epoch(235)
    assert [by_minibatch(epoch * 235 + 234) for epoch in range(40)] == rates(by_epoch, 40)
    assert rates(by_minibatch, 40) != rates(by_epoch, 40)


def test_mistake_16_the_first_epoch_has_the_first_rate():
    schedule = schedules.warmup(5, rate=0.3).then(schedules.cosine(15, rate=0.3, end=0.01))
    optimizer = sgd(lr=0.3)
    scheduler = schedules.as_torch(optimizer, schedule)
    assert used(optimizer, lambda epoch: scheduler.step(), 20) == rates(schedule, 20)

    by_hand = sgd(lr=0.3)
    as_the_book = used(by_hand, lambda epoch: by_hand.param_groups[0].update(lr=schedule(epoch)), 20)
    assert as_the_book[:2] == [0.3, 0.0]


def test_mistake_17_a_plot_does_not_use_the_schedule_up():
    assert answers_only_to_the_step(lambda: schedules.multi_factor([15, 30], rate=0.5))
    assert not answers_only_to_the_step(BookMultiFactor)


def test_mistake_18_factor_answers_to_its_argument_and_starts_at_its_rate():
    assert answers_only_to_the_step(lambda: schedules.factor(0.9, rate=2.0, floor=1e-2))
    assert schedules.factor(0.9, rate=2.0)(0) == 2.0
    assert not answers_only_to_the_step(BookFactor)
    assert BookFactor()(0) != 2.0


def test_mistake_19_cosine_may_be_called_first_past_its_end():
    assert schedules.cosine(20, rate=0.3, end=0.01)(1000) == 0.01
    with pytest.raises(AttributeError):
        BookCosine()(1000)


def test_mistake_20_polynomial_is_defined():
    schedule = schedules.polynomial(alpha=0.5, beta=0.1, rate=0.2)
    assert rates(schedule, 50) == pytest.approx([0.2 / math.sqrt(0.1 * k + 1) for k in range(50)], rel=1e-14)


@pytest.mark.parametrize("name", schedules.named())
def test_no_schedule_has_a_memory(name):
    assert answers_only_to_the_step(lambda: schedules.example(name))


@pytest.mark.parametrize("name", schedules.named())
def test_every_schedule_is_finite_and_not_negative_far_out(name):
    far = schedules.example(name)(np.array([0, 1, 10**6, 10**12]))
    assert np.all(np.isfinite(far))
    assert np.all(far >= 0)
