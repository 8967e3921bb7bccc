"""Adamax, against the formula written out and the claims of its authors."""

import itertools
import math

import pytest

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_follows, follow


def adamax(p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float) -> Trajectory:
    """The norm unrolled: u_t is the largest of β₂^(t-i)(|g_i| + ε)."""
    m = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        u = max(beta2 ** (t - i) * (abs(g_i) + eps) for i, g_i in enumerate(gs[:t], 1))
        p -= lr / (1 - beta1**t) * m / u
        yield p, m, u


def adamaxw(p: float, gs: Numbers, lr: float, weight_decay: float, **hyper: float) -> Trajectory:
    before = 0.0
    for plain, *state in adamax(0.0, gs, lr, **hyper):
        p = p - lr * weight_decay * p + (plain - before)
        before = plain
        yield p, *state


def adamax_eps_outside(p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float) -> Trajectory:
    m = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        u = max(beta2 ** (t - i) * abs(g_i) for i, g_i in enumerate(gs[:t], 1))
        p -= lr / (1 - beta1**t) * m / (u + eps)
        yield p, m, u


def adamax_eps_old(p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float) -> Trajectory:
    """The norm unrolled: beside each β₂^(t-i)|g_i| there is what ε added to it in the steps since."""
    m = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        added = [eps * math.fsum(beta2**k for k in range(t - i)) for i in range(t + 1)]
        u = max(beta2 ** (t - i) * abs(g_i) + added[i] for i, g_i in enumerate([0.0, *gs[:t]]))
        p -= lr / (1 - beta1**t) * m / u
        yield p, m, u


SETTINGS = [{}, {"lr": 0.3, "beta1": 0.6, "beta2": 0.7, "eps": 0.1}]
ORACLES = {
    "adamax": (adamax, SETTINGS),
    "adamaxw": (adamaxw, [*SETTINGS, {"lr": 0.3, "weight_decay": 0.4}]),
    "adamax_eps_outside": (adamax_eps_outside, SETTINGS),
    "adamax_eps_old": (adamax_eps_old, SETTINGS),
}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


@pytest.mark.parametrize("gradient", [1e-5, -3.0, 1e5])
def test_the_first_step_is_eta_times_the_sign(gradient):
    step, *_ = rules.adamax(gradient, 0.0, 0.0, 1, lr=0.1, eps=0.0)
    assert step == pytest.approx(math.copysign(0.1, gradient), rel=1e-15)


def test_a_step_is_never_longer_than_eta_where_beta1_is_below_beta2():
    gs = [3.0, -1.0, 40.0, 0.01, -7.0, 0.0, 100.0, 1.0]
    path = [0.0, *(p for p, *_ in follow(rules.adamax, 0.0, gs, lr=0.1))]
    assert max(abs(b - a) for a, b in itertools.pairwise(path)) <= 0.1 * (1 + 1e-12)
