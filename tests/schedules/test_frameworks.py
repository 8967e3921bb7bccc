"""The same numbers as the schedulers of torch, driven step by step, and the schedules of optax."""

import itertools
import math
import warnings
from typing import Any

import jax
import numpy as np
import optax
import pytest
import torch
from torch.optim import lr_scheduler

from stepwell import schedules

LR = 0.3


def driven(scheduler: Any, steps: int, lr: float = LR, **options: Any) -> list[float]:
    """The rate of each update of a loop in which the scheduler steps after the optimizer, as torch asks."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    stepped, used = scheduler(optimizer, **options), []
    for _ in range(steps):
        used.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        stepped.step()
    return used


def evaluated(schedule: Any, steps: int) -> np.ndarray:
    with jax.enable_x64(True):
        return np.array([float(schedule(jax.numpy.asarray(k))) for k in range(steps)])


def assert_same(schedule: schedules.Schedule, expected: Any, tolerance: float = 1e-12) -> None:
    actual = schedule(np.arange(len(expected)))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * max(expected))
    assert max(expected) > 0


@pytest.mark.parametrize("n", [1, 3, 10])
def test_torch_step(n):
    assert_same(schedules.factor(0.7, LR).per_epoch(n), driven(lr_scheduler.StepLR, 40, step_size=n, gamma=0.7))


def test_torch_multi_step():
    expected = driven(lr_scheduler.MultiStepLR, 40, milestones=[5, 6, 20], gamma=0.3)
    assert_same(schedules.multi_factor([5, 6, 20], 0.3, LR), expected)


@pytest.mark.parametrize("gamma", [0.5, 0.99, 1.0])
def test_torch_exponential(gamma):
    expected = driven(lr_scheduler.ExponentialLR, 100, gamma=gamma)
    assert_same(schedules.exponential(-math.log(gamma), LR), expected)
    assert_same(schedules.factor(gamma, LR), expected)


def test_torch_cosine():
    expected = driven(lr_scheduler.CosineAnnealingLR, 51, T_max=50, eta_min=0.02)
    assert_same(schedules.cosine(50, LR, 0.02), expected)


@pytest.mark.parametrize(("steps", "mult"), [(1, 1), (10, 1), (7, 2), (1, 2), (3, 3), (5, 10)])
def test_torch_cosine_restarts(steps, mult):
    expected = driven(lr_scheduler.CosineAnnealingWarmRestarts, 1200, T_0=steps, T_mult=mult, eta_min=0.02)
    assert_same(schedules.cosine_restarts(steps, mult, LR, 0.02), expected)


@pytest.mark.parametrize("mult", [2, 3, 10])
def test_cosine_restarts_never_misses_a_restart(mult):
    begins = np.array([7 * (mult**n - 1) // (mult - 1) for n in range(1, int(math.log(1e15, mult)))])
    schedule = schedules.cosine_restarts(7, mult, 1.0, 0.0)
    assert np.all(schedule(begins) == 1.0)
    assert np.all(schedule(begins - 1) < 0.06)
    assert all(schedule(int(begin)) == 1.0 for begin in begins)


@pytest.mark.parametrize(("anneal", "three_phase"), list(itertools.product(["cos", "linear"], [False, True])))
@pytest.mark.parametrize(("steps", "pct_start"), [(100, 0.3), (37, 0.25), (11, 0.45)])
def test_torch_one_cycle(anneal, three_phase, steps, pct_start):
    shape: dict[str, Any] = {"pct_start": pct_start, "div_factor": 10.0, "final_div_factor": 50.0}
    shape |= {"three_phase": three_phase}
    torch_shape = shape | {"max_lr": LR, "total_steps": steps, "anneal_strategy": anneal, "cycle_momentum": False}
    # torch refuses the step after its last, so it is not taken
    expected = driven(lr_scheduler.OneCycleLR, steps, **torch_shape)
    schedule = schedules.one_cycle(steps, LR, anneal=anneal, **shape)
    assert_same(schedule, expected)
    assert schedule(10 * steps) == pytest.approx(LR / 10 / 50)


def test_torch_one_cycle_has_our_defaults():
    expected = driven(lr_scheduler.OneCycleLR, 60, max_lr=LR, total_steps=60, cycle_momentum=False)
    assert_same(schedules.one_cycle(60, LR), expected)


@pytest.mark.parametrize("power", [1.0, 0.5, 2.0])
def test_torch_polynomial(power):
    expected = driven(lr_scheduler.PolynomialLR, 60, total_iters=50, power=power)
    assert_same(schedules.polynomial_decay(50, LR, power=power), expected)


def test_torch_linear():
    expected = driven(lr_scheduler.LinearLR, 20, start_factor=0.25, end_factor=0.75, total_iters=12)
    assert_same(LR * schedules.linear(12, 0.25, 0.75), expected)
    assert_same(LR * schedules.warmup(12, 0.75, start=0.25), expected)


def test_torch_sequential():
    def sequence(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        first = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=10)
        second = lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
        return lr_scheduler.SequentialLR(optimizer, [first, second], milestones=[10])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # SequentialLR makes a call that torch itself deprecates
        expected = driven(sequence, 40)
    assert_same(LR * schedules.warmup(10, start=0.1).then(schedules.factor(0.9)), expected)


def test_optax_constant():
    assert_same(schedules.constant(LR), np.full(9, optax.constant_schedule(LR)(3)))


def test_optax_exponential_decay():
    expected = evaluated(optax.exponential_decay(LR, transition_steps=7, decay_rate=0.6), 50)
    assert_same(schedules.exponential(-math.log(0.6) / 7, LR), expected)


def test_optax_exponential_decay_in_stairs_with_an_end():
    expected = evaluated(optax.exponential_decay(LR, 7, decay_rate=0.6, staircase=True, end_value=0.05), 50)
    assert_same(schedules.factor(0.6, LR, floor=0.05).per_epoch(7), expected)


@pytest.mark.parametrize("power", [1.0, 0.5, 3.0])
def test_optax_polynomial(power):
    expected = evaluated(optax.polynomial_schedule(LR, 0.01, power, transition_steps=30), 40)
    assert_same(schedules.polynomial_decay(30, LR, 0.01, power), expected)


def test_optax_polynomial_after_a_delay():
    expected = evaluated(optax.polynomial_schedule(LR, 0.01, 2, transition_steps=30, transition_begin=5), 40)
    delayed = schedules.constant(LR).then(schedules.polynomial_decay(30, LR, 0.01, 2), at=5)
    assert_same(delayed, expected)


def test_optax_linear():
    assert_same(schedules.linear(30, LR, 0.01), evaluated(optax.linear_schedule(LR, 0.01, 30), 40))


def test_optax_cosine():
    expected = evaluated(optax.cosine_decay_schedule(LR, 30, alpha=0.1), 40)
    assert_same(schedules.cosine(30, LR, 0.1 * LR), expected)


def test_optax_warmup_cosine():
    expected = evaluated(optax.warmup_cosine_decay_schedule(0.01, LR, 6, 30, end_value=0.02), 40)
    assert_same(schedules.warmup(6, LR, 0.01).then(schedules.cosine(24, LR, 0.02)), expected)


def test_optax_warmup_exponential():
    expected = evaluated(optax.warmup_exponential_decay_schedule(0.01, LR, 6, 4, 0.7), 40)
    assert_same(schedules.warmup(6, LR, 0.01).then(schedules.exponential(-math.log(0.7) / 4, LR)), expected)


def test_optax_piecewise_constant():
    expected = evaluated(optax.piecewise_constant_schedule(LR, {5: 0.1, 12: 0.1}), 20)
    assert_same(schedules.multi_factor([5, 12], 0.1, LR), expected)
    assert_same(schedules.piecewise_constant([5, 12], [LR, 0.1 * LR, 0.01 * LR]), expected)


def test_optax_restarts():
    cycles = [
        {"init_value": LR, "peak_value": LR, "warmup_steps": 0, "decay_steps": 5 * 2**n, "end_value": 0.02}
        for n in range(4)
    ]
    assert_same(schedules.cosine_restarts(5, 2, LR, 0.02), evaluated(optax.sgdr_schedule(cycles), 75))


@pytest.mark.parametrize("name", schedules.named())
def test_traced_by_jax(name):
    schedule, steps = schedules.example(name), np.arange(0, 300, 7)
    traced = jax.jit(schedule)
    assert traced(steps) == pytest.approx(schedule(steps), rel=2e-6, abs=2e-7)
    assert [float(traced(k)) for k in (0, 30, 100)] == pytest.approx([schedule(k) for k in (0, 30, 100)], abs=2e-7)


def test_traced_composition_and_small_integers():
    schedule = 0.1 * schedules.warmup(200).then(schedules.cosine_restarts(100, 2).per_epoch(3))
    traced = jax.jit(schedule)
    for dtype in ("uint8", "int16", "uint32"):
        steps = np.arange(0, 250, 13).astype(dtype)
        assert traced(steps) == pytest.approx(schedule(steps.astype(int)), rel=2e-6, abs=1e-8)
        for whole in (schedule, schedules.cosine_restarts(5, mult=3), schedules.cosine_restarts(300)):
            np.testing.assert_array_equal(whole(steps), whole(steps.astype(int)))
