"""Gradient descent and momentum, against the formulas written out and the numbers of the book."""

import math

import numpy as np
import pytest

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_ends, assert_follows, follow, last

STEEP, FLAT = (1.0, 2.0), (0.1, 2.0)


def gradient_descent(p: float, gs: Numbers, lr: float) -> Trajectory:
    for g in gs:
        p -= lr * g
        yield (p,)


def momentum(p: float, gs: Numbers, lr: float, beta: float) -> Trajectory:
    """v_t as the sum over the past that the book unrolls: Σ β^τ g_{t-τ}."""
    for t in range(len(gs)):
        v = math.fsum(beta**tau * gs[t - tau] for tau in range(t + 1))
        p -= lr * v
        yield p, v


def momentum_dampened(p: float, gs: Numbers, lr: float, beta: float, dampening: float) -> Trajectory:
    v = gs[0]
    for t, g in enumerate(gs):
        if t > 0:
            v = beta * v + (1 - dampening) * g
        p -= lr * v
        yield p, v


def nesterov(p: float, gs: Numbers, lr: float, beta: float) -> Trajectory:
    v = 0.0
    for g in gs:
        v = beta * v + g
        p -= lr * g + lr * beta * v
        yield p, v


def momentum_rate_inside(p: float, gs: Numbers, lr: float, beta: float) -> Trajectory:
    for t in range(len(gs)):
        v = math.fsum(lr * beta**tau * gs[t - tau] for tau in range(t + 1))
        p -= v
        yield p, v


def nesterov_rate_inside(p: float, gs: Numbers, lr: float, beta: float) -> Trajectory:
    v = 0.0
    for g in gs:
        v = beta * v + lr * g
        p -= lr * g + beta * v
        yield p, v


ORACLES = {
    "gradient_descent": (gradient_descent, [{}, {"lr": 0.3}]),
    "momentum": (momentum, [{}, {"lr": 0.3, "beta": 0.5}, {"beta": 0.0}]),
    "momentum_dampened": (momentum_dampened, [{}, {"lr": 0.3, "beta": 0.5, "dampening": 0.25}]),
    "nesterov": (nesterov, [{}, {"lr": 0.3, "beta": 0.5}]),
    "momentum_rate_inside": (momentum_rate_inside, [{}, {"lr": 0.3, "beta": 0.5}, {"beta": 0.0}]),
    "nesterov_rate_inside": (nesterov_rate_inside, [{}, {"lr": 0.3, "beta": 0.5}]),
}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


@pytest.mark.parametrize(("lr", "end"), [(0.2, ".060466"), (0.05, "3.486784"), (1.1, "61.917364")])
def test_descent_on_a_parabola_ends_where_the_book_ends(lr, end):
    assert f"{last(rules.gradient_descent, lambda x: 2 * x, 10.0, 10, lr=lr):.6f}".lstrip("0") == end


def test_descent_ends_in_a_poor_local_minimum():
    """x·cos(.15πx) from 10, as in the book."""
    c = 0.15 * np.pi
    slope = lambda x: np.cos(c * x) - c * x * np.sin(c * x)  # noqa: E731
    assert f"{last(rules.gradient_descent, slope, 10.0, 10, lr=2.0):.6f}" == "-1.528166"


@pytest.mark.parametrize(
    ("rule", "slopes", "hyper", "end"),
    [
        (rules.gradient_descent, STEEP, {"lr": 0.1}, ("-0.057646", "-0.000073")),
        (rules.gradient_descent, FLAT, {"lr": 0.4}, ("-0.943467", "-0.000073")),
        (rules.gradient_descent, FLAT, {"lr": 0.6}, ("-0.387814", "-1673.365")),
        (rules.momentum, FLAT, {"lr": 0.6, "beta": 0.5}, ("0.007188", "0.002553")),
        (rules.momentum, FLAT, {"lr": 0.6, "beta": 0.25}, ("-0.126340", "-0.186632")),
    ],
)
def test_two_dimensions_end_where_the_book_ends(rule, slopes, hyper, end):
    assert_ends(rule, slopes, end, **hyper)


@pytest.mark.parametrize("curvature", [0.1, 1.0, 4.0])
def test_descent_shrinks_by_one_minus_eta_lambda(curvature):
    """x_t = (1 - ηλ)^t x_0 on λx²/2."""
    end = last(rules.gradient_descent, lambda x: curvature * x, 3.0, 12, lr=0.3)
    assert end == pytest.approx(3 * (1 - 0.3 * curvature) ** 12, rel=1e-12)


def test_momentum_without_memory_is_descent_and_its_weights_sum_to_one_over_one_minus_beta():
    gs = [3.0, -1.0, 0.5]
    plain = [p for (p,) in follow(rules.gradient_descent, 1.0, gs, lr=0.1)]
    assert [p for p, _ in follow(rules.momentum, 1.0, gs, lr=0.1, beta=0.0)] == plain
    *_, (_, v) = follow(rules.momentum, 0.0, [1.0] * 400, beta=0.9)
    assert v == pytest.approx(1 / (1 - 0.9), rel=1e-12)


def test_momentum_converges_just_below_two_plus_two_beta():
    """On λx²/2, iff ηλ < 2 + 2β."""
    inside, outside = (abs(last(rules.momentum, lambda x: x, 1.0, 4000, lr=lr, beta=0.5)) for lr in (2.98, 3.02))
    assert inside < 1e-6
    assert outside > 1e6


def test_nesterov_is_momentum_seen_from_the_point_it_looks_ahead_to():
    """Sutskever et al.: θ' = θ - lr·β·v follows v ← βv + ∇f(θ'), θ ← θ - lr·v."""
    slope = lambda x: 3 * x  # noqa: E731
    lr, beta, theta, v = 0.1, 0.9, 2.0, 0.0
    for _ in range(10):
        v = beta * v + slope(theta - lr * beta * v)
        theta -= lr * v
    assert last(rules.nesterov, slope, 2.0, 10, lr=lr, beta=beta) == pytest.approx(theta - lr * beta * v, rel=1e-12)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [(rules.momentum_rate_inside, rules.momentum), (rules.nesterov_rate_inside, rules.nesterov)],
    ids=lambda rule: rule.name,
)
def test_a_rate_inside_the_velocity_differs_only_once_it_changes(inside, outside):
    kept, (step, v) = inside(1.0, 0.0, lr=0.5)[1], outside(1.0, 0.0, lr=0.5)
    assert inside(1.0, 0.0, lr=0.5)[0] == step
    assert inside(2.0, kept, lr=0.5)[0] == pytest.approx(outside(2.0, v, lr=0.5)[0], rel=1e-15)
    assert inside(2.0, kept, lr=0.1)[0] > outside(2.0, v, lr=0.1)[0]
