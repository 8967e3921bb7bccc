"""Adadelta, against the formula written out and the claims of the book."""

import math

import pytest

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_follows, follow


def adadelta(p: float, gs: Numbers, lr: float, rho: float, eps: float) -> Trajectory:
    """Zeiler's algorithm 1: RMS[Δx]_{t-1} / RMS[g]_t · g_t, with RMS[x] = √(E[x²] + ε)."""
    mean_of_squares = mean_of_steps = 0.0
    for g in gs:
        mean_of_squares = rho * mean_of_squares + (1 - rho) * g * g
        delta = -math.sqrt(mean_of_steps + eps) / math.sqrt(mean_of_squares + eps) * g
        mean_of_steps = rho * mean_of_steps + (1 - rho) * delta * delta
        p += lr * delta
        yield p, mean_of_squares, mean_of_steps


def adadeltaw(p: float, gs: Numbers, lr: float, rho: float, eps: float, weight_decay: float) -> Trajectory:
    mean_of_squares = mean_of_steps = 0.0
    for g in gs:
        mean_of_squares = rho * mean_of_squares + (1 - rho) * g * g
        delta = math.sqrt(mean_of_steps + eps) / math.sqrt(mean_of_squares + eps) * g
        mean_of_steps = rho * mean_of_steps + (1 - rho) * delta * delta
        p = (1 - lr * weight_decay) * p - lr * delta
        yield p, mean_of_squares, mean_of_steps


SETTINGS = [{}, {"lr": 0.3, "rho": 0.6, "eps": 1e-3}]
ORACLES = {"adadelta": (adadelta, SETTINGS), "adadeltaw": (adadeltaw, [*SETTINGS, {"lr": 0.3, "weight_decay": 0.3}])}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


@pytest.mark.parametrize("gradient", [2.0, -30.0, 400.0])
def test_the_first_step_is_about_a_hundredth(gradient):
    """√ε / √(0.1 g²) = 0.01 / |g| · g at the book's ρ 0.9, ε 1e-5."""
    step, *_ = rules.adadelta(gradient, 0.0, 0.0, lr=1.0, rho=0.9, eps=1e-5)
    assert step == pytest.approx(math.copysign(0.01, gradient), rel=1e-4)


def test_the_units_of_the_parameter():
    """Gradients a thousand times as large leave the steps as they are, once ε is small: the claim of its title."""
    gs = [3.0, -1.0, 2.0, 0.5, -4.0]
    plain, scaled = ([p for p, *_ in follow(rules.adadelta, 0.0, [k * g for g in gs], eps=1e-30)] for k in (1, 1e3))
    assert scaled == pytest.approx(plain, rel=1e-12)
