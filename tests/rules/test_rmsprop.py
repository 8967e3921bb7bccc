"""RMSProp and its variants, against the formulas written out and the claims of the book."""

import math

import numpy as np
import pytest

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_ends, assert_follows, follow


def leaky(values: Numbers, gamma: float) -> float:
    """The average the book unrolls: (1-γ)(x_t + γx_{t-1} + γ²x_{t-2} + …)."""
    return (1 - gamma) * math.fsum(gamma**age * x for age, x in enumerate(reversed(values)))


def square(values: Numbers) -> list[float]:
    return [x * x for x in values]


def rmsprop(p: float, gs: Numbers, lr: float, gamma: float, eps: float) -> Trajectory:
    for t, g in enumerate(gs, 1):
        s = leaky(square(gs[:t]), gamma)
        p -= lr * g / (math.sqrt(s) + eps)
        yield p, s


def rmsprop_eps_inside(p: float, gs: Numbers, lr: float, gamma: float, eps: float) -> Trajectory:
    for t, g in enumerate(gs, 1):
        s = leaky(square(gs[:t]), gamma)
        p -= lr / math.sqrt(s + eps) * g
        yield p, s


def rmsprop_momentum(p: float, gs: Numbers, lr: float, gamma: float, eps: float, beta: float) -> Trajectory:
    v = 0.0
    for t, g in enumerate(gs, 1):
        s = leaky(square(gs[:t]), gamma)
        v = beta * v + g / (math.sqrt(s) + eps)
        p -= lr * v
        yield p, s, v


def rmsprop_centered(p: float, gs: Numbers, lr: float, gamma: float, eps: float) -> Trajectory:
    for t, g in enumerate(gs, 1):
        s, a = leaky(square(gs[:t]), gamma), leaky(gs[:t], gamma)
        p -= lr * g / (math.sqrt(s - a * a) + eps)
        yield p, s, a


def rmsprop_centered_momentum(p: float, gs: Numbers, lr: float, gamma: float, eps: float, beta: float) -> Trajectory:
    v = 0.0
    for t, g in enumerate(gs, 1):
        s, a = leaky(square(gs[:t]), gamma), leaky(gs[:t], gamma)
        v = beta * v + g / (math.sqrt(s - a * a) + eps)
        p -= lr * v
        yield p, s, a, v


def rmsprop_eps_inside_momentum(p: float, gs: Numbers, lr: float, gamma: float, eps: float, beta: float) -> Trajectory:
    v = 0.0
    for t, g in enumerate(gs, 1):
        s = leaky(square(gs[:t]), gamma)
        v = beta * v + lr * g / math.sqrt(s + eps)
        p -= v
        yield p, s, v


def rmsprop_eps_inside_nesterov(p: float, gs: Numbers, lr: float, gamma: float, eps: float, beta: float) -> Trajectory:
    v = 0.0
    for t, g in enumerate(gs, 1):
        s = leaky(square(gs[:t]), gamma)
        v = beta * v + lr * g / math.sqrt(s + eps)
        p -= beta * v + lr * g / math.sqrt(s + eps)
        yield p, s, v


def rmsprop_eps_inside_centered(p: float, gs: Numbers, lr: float, gamma: float, eps: float) -> Trajectory:
    for t, g in enumerate(gs, 1):
        s, a = leaky(square(gs[:t]), gamma), leaky(gs[:t], gamma)
        p -= lr * g / math.sqrt(s - a * a + eps)
        yield p, s, a


def rmsprop_eps_inside_centered_momentum(
    p: float, gs: Numbers, lr: float, gamma: float, eps: float, beta: float
) -> Trajectory:
    v = 0.0
    for t, g in enumerate(gs, 1):
        s, a = leaky(square(gs[:t]), gamma), leaky(gs[:t], gamma)
        v = beta * v + lr * g / math.sqrt(s - a * a + eps)
        p -= v
        yield p, s, a, v


def rmsprop_corrected(p: float, gs: Numbers, lr: float, gamma: float, eps: float) -> Trajectory:
    for t, g in enumerate(gs, 1):
        s = leaky(square(gs[:t]), gamma)
        variance = s / (1 - gamma**t)
        p -= lr * g / (math.sqrt(variance) + eps)
        yield p, s


def rmsprop_eps_inside_corrected(p: float, gs: Numbers, lr: float, gamma: float, eps: float) -> Trajectory:
    for t, g in enumerate(gs, 1):
        s = leaky(square(gs[:t]), gamma)
        variance = s / (1 - gamma**t)
        p -= lr * g / math.sqrt(variance + eps)
        yield p, s


PLAIN = [{}, {"lr": 0.3, "gamma": 0.7, "eps": 0.1}]
MOVING = [{}, {"lr": 0.3, "gamma": 0.7, "eps": 0.1, "beta": 0.4}]
ORACLES = {
    "rmsprop": (rmsprop, PLAIN),
    "rmsprop_eps_inside": (rmsprop_eps_inside, PLAIN),
    "rmsprop_momentum": (rmsprop_momentum, MOVING),
    "rmsprop_centered": (rmsprop_centered, PLAIN),
    "rmsprop_centered_momentum": (rmsprop_centered_momentum, MOVING),
    "rmsprop_eps_inside_momentum": (rmsprop_eps_inside_momentum, MOVING),
    "rmsprop_eps_inside_nesterov": (rmsprop_eps_inside_nesterov, MOVING),
    "rmsprop_eps_inside_centered": (rmsprop_eps_inside_centered, PLAIN),
    "rmsprop_eps_inside_centered_momentum": (rmsprop_eps_inside_centered_momentum, MOVING),
    "rmsprop_corrected": (rmsprop_corrected, PLAIN),
    "rmsprop_eps_inside_corrected": (rmsprop_eps_inside_corrected, PLAIN),
}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


def test_two_dimensions_end_where_the_book_ends():
    assert_ends(rules.rmsprop_eps_inside, (0.1, 2.0), ("-0.010599", "0.000000"), lr=0.4, gamma=0.9, eps=1e-6)


@pytest.mark.parametrize("gradient", [1e-2, 3.0, -80.0])
def test_the_first_step_is_3_16_eta_at_gamma_0_9(gradient):
    (step, _) = rules.rmsprop_eps_inside(gradient, 0.0, lr=0.01, gamma=0.9, eps=0.0)
    assert step == pytest.approx(math.copysign(math.sqrt(10) * 0.01, gradient), rel=1e-12)


def test_the_average_forgets_half_in_6_58_steps_at_gamma_0_9():
    """The half-life is ln 2 / -ln γ: the weight of a gradient halves in it (the book says 1/γ, or 10)."""
    *_, (_, s) = follow(rules.rmsprop, 0.0, [1.0, *[0.0] * 658], gamma=0.9 ** (1 / 100))
    *_, (_, first) = follow(rules.rmsprop, 0.0, [1.0], gamma=0.9 ** (1 / 100))
    assert s / first == pytest.approx(0.5, rel=1e-3)


def test_gamma_1_never_learns_and_gamma_0_is_the_sign():
    _, s = rules.rmsprop(3.0, 0.25, lr=1.0, gamma=1.0, eps=0.0)
    assert s == 0.25
    assert rules.rmsprop(-3.0, 0.25, lr=0.5, gamma=0.0, eps=0.0) == (-0.5, 9.0)


def test_centering_divides_by_the_standard_deviation():
    """Gradients of mean 2 and deviation 1: s - a² tends to 1."""
    noise = 2.0 + np.random.default_rng(0).standard_normal(20_000)
    *_, (_, s, a) = follow(rules.rmsprop_centered, 0.0, list(noise), lr=0.0, gamma=0.999)
    assert s - a**2 == pytest.approx(1.0, rel=0.05)
