"""Lion, against the program of its authors."""

import itertools

import pytest

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_follows, follow


def lion(p: float, gs: Numbers, lr: float, beta1: float, beta2: float, weight_decay: float) -> Trajectory:
    m = 0.0
    for g in gs:
        between = beta1 * m + (1 - beta1) * g
        m = beta2 * m + (1 - beta2) * g
        direction = (between > 0) - (between < 0)
        p = p - lr * (direction + weight_decay * p)
        yield p, m


ORACLES = {"lion": (lion, [{}, {"lr": 0.3, "beta1": 0.6, "beta2": 0.7, "weight_decay": 0.4}])}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


def test_steps_have_one_size_or_none():
    path = [0.0, *(p for p, _ in follow(rules.lion, 0.0, [0.0, 1e-6, -3.0, 1e6], lr=0.5))]
    assert [b - a for a, b in itertools.pairwise(path)] == [0.0, -0.5, 0.5, -0.5]


def test_the_direction_is_of_the_old_momentum_and_beta1():
    """β₁m + (1-β₁)g = 0.5·1 - 0.5·0.9 > 0; with the new momentum 0.1·1 - 0.9·0.9 it would be negative."""
    step, m = rules.lion(0.0, -0.9, 1.0, lr=1.0, beta1=0.5, beta2=0.1, weight_decay=0.0)
    assert (step, m) == (1.0, pytest.approx(-0.71))
