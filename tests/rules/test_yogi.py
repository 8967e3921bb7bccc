"""Yogi, against the formula written out and the claims of the book."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_follows


def yogi(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, initial_accumulator: float
) -> Trajectory:
    m, s = 0.0, initial_accumulator
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        towards = 1 if g * g > s else -1 if g * g < s else 0
        s += (1 - beta2) * g * g * towards
        p -= lr * (m / (1 - beta1**t)) / (math.sqrt(s / (1 - beta2**t)) + eps)
        yield p, m, s


ODD = {"lr": 0.3, "beta1": 0.6, "beta2": 0.7, "eps": 0.1, "initial_accumulator": 0.5}
ORACLES = {"yogi": (yogi, [{}, ODD])}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


@given(st.floats(-100, 100).filter(lambda g: g == 0 or abs(g) > 1e-3), st.floats(0, 1e4), st.floats(0, 0.999))
def test_the_scale_changes_by_one_minus_beta2_times_g_squared(g, s, beta2):
    _, _, yogis = rules.yogi(g, 0.0, s, 1, lr=0.1, beta1=0.9, beta2=beta2, eps=1e-3, initial_accumulator=0.0)
    _, _, adams = rules.adam(g, 0.0, s, 1, lr=0.1, beta1=0.9, beta2=beta2, eps=1e-3)
    digits = 1e-12 * max(s, g * g)
    if g * g != s:
        assert abs(yogis - s) == pytest.approx((1 - beta2) * g * g, abs=digits)
    assert adams - s == pytest.approx((1 - beta2) * (g * g - s), abs=digits)


def test_the_scale_moves_towards_the_square_and_rests_upon_it():
    hyper = rules.yogi.complete({"beta2": 0.5})
    assert [rules.yogi(2.0, 0.0, s, 1, **hyper)[2] for s in (1.0, 4.0, 9.0)] == [3.0, 4.0, 7.0]


def test_the_scale_falls_slowly_after_large_gradients():
    """After one gradient of 10 and many of 0.1, Adam has forgotten and Yogi has not."""
    v = {"adam": 0.0, "yogi": 0.0}
    for g in [10.0, *[0.1] * 60]:
        for name in v:
            rule = rules.named[name]
            v[name] = rule(g, 0.0, v[name], 1, **rule.complete({"beta2": 0.9}))[2]
    assert v["adam"] < 0.05
    assert v["yogi"] > 9.0
