"""Adagrad, against the formula written out and the claims of the book."""

import math

import numpy as np
import pytest

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_ends, assert_follows, follow, last

FLAT = (0.1, 2.0)


def adagrad(p: float, gs: Numbers, lr: float, eps: float, initial_accumulator: float) -> Trajectory:
    for t in range(len(gs)):
        s = initial_accumulator + math.fsum(g * g for g in gs[: t + 1])
        p -= lr * gs[t] / (math.sqrt(s) + eps)
        yield p, s


def adagrad_eps_inside(p: float, gs: Numbers, lr: float, eps: float, initial_accumulator: float) -> Trajectory:
    for t in range(len(gs)):
        s = initial_accumulator + math.fsum(g * g for g in gs[: t + 1])
        p -= lr * gs[t] / math.sqrt(s + eps)
        yield p, s


def adagrad_decayed(
    p: float, gs: Numbers, lr: float, lr_decay: float, eps: float, initial_accumulator: float
) -> Trajectory:
    for t in range(len(gs)):  # torch counts these steps from 0
        s = initial_accumulator + math.fsum(g * g for g in gs[: t + 1])
        p -= lr / (1 + t * lr_decay) * gs[t] / (math.sqrt(s) + eps)
        yield p, s


SETTINGS = [{}, {"lr": 0.3, "eps": 0.1, "initial_accumulator": 0.5}]
ORACLES = {
    "adagrad": (adagrad, SETTINGS),
    "adagrad_eps_inside": (adagrad_eps_inside, SETTINGS),
    "adagrad_decayed": (adagrad_decayed, [*SETTINGS, {"lr": 0.3, "lr_decay": 0.2}]),
}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


@pytest.mark.parametrize(("lr", "end"), [(0.4, ("-2.382563", "-0.158591")), (2.0, ("-0.002295", "-0.000000"))])
def test_two_dimensions_end_where_the_book_ends(lr, end):
    assert_ends(rules.adagrad_eps_inside, FLAT, end, lr=lr, eps=1e-6)


@pytest.mark.parametrize("gradient", [1e-3, 7.0, -250.0])
@pytest.mark.parametrize("rule", [rules.adagrad, rules.adagrad_eps_inside], ids=lambda r: r.name)
def test_a_constant_gradient_gives_steps_of_eta_over_the_root_of_t(rule, gradient):
    path = [0.0, *(p for p, _ in follow(rule, 0.0, [gradient] * 50, lr=0.4, eps=0.0))]
    steps = -np.diff(path)
    expected = math.copysign(0.4, gradient) / np.sqrt(np.arange(1, 51))
    np.testing.assert_allclose(steps, expected, rtol=1e-12)


def test_epsilon_stands_where_the_name_says():
    """Gradient 0.5, ε 0.25: 0.5/(0.5 + 0.25), and 0.5/√(0.25 + 0.25)."""
    assert rules.adagrad(0.5, 0.0, lr=1.0, eps=0.25)[0] == pytest.approx(2 / 3, rel=1e-15)
    assert rules.adagrad_eps_inside(0.5, 0.0, lr=1.0, eps=0.25)[0] == pytest.approx(math.sqrt(0.5), rel=1e-15)


def test_adagrad_depends_on_the_axes_and_descent_does_not():
    turn = np.array([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)
    slope = lambda p: 2 * np.array(FLAT) * p  # noqa: E731
    start = np.array([-5.0, -2.0])

    def difference(rule, **hyper):
        straight = last(rule, slope, start, 20, **hyper)
        turned = last(rule, lambda q: turn @ slope(turn.T @ q), turn @ start, 20, **hyper)
        return abs(turn.T @ turned - straight).max()

    assert difference(rules.gradient_descent, lr=0.1) < 1e-12
    assert difference(rules.adagrad, lr=0.4) > 0.1
