"""NAdam, against the formula written out; the product of its momenta."""

import math

import numpy as np
import pytest

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_follows, follow


def nadam(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, momentum_decay: float
) -> Trajectory:
    """Dozat's algorithm with μ_i = β₁(1 - ½·0.96^(iψ)); products written out from the first step."""
    mu = [beta1 * (1 - 0.5 * 0.96 ** (i * momentum_decay)) for i in range(1, len(gs) + 2)]
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        g_hat = g / (1 - math.prod(mu[:t]))
        m_hat = m / (1 - math.prod(mu[: t + 1]))
        p -= lr * ((1 - mu[t - 1]) * g_hat + mu[t] * m_hat) / (math.sqrt(v / (1 - beta2**t)) + eps)
        yield p, m, v, math.prod(mu[:t])


def nadamw(p: float, gs: Numbers, lr: float, weight_decay: float, **hyper: float) -> Trajectory:
    before = 0.0
    for plain, *state in nadam(0.0, gs, lr, **hyper):
        p = p - lr * weight_decay * p + (plain - before)
        before = plain
        yield p, *state


def adam_nesterov(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, eps_root: float
) -> Trajectory:
    """Dozat's algorithm 2 with a constant μ: the mean that the next step will have, but for its gradient."""
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        ahead = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
        p -= lr * ahead / (math.sqrt(v / (1 - beta2**t) + eps_root) + eps)
        yield p, m, v


def adamw_nesterov(p: float, gs: Numbers, lr: float, weight_decay: float, **hyper: float) -> Trajectory:
    before = 0.0
    for plain, *state in adam_nesterov(0.0, gs, lr, **hyper):
        p = p - lr * weight_decay * p + (plain - before)
        before = plain
        yield p, *state


SETTINGS = [{}, {"lr": 0.3, "beta1": 0.6, "beta2": 0.7, "eps": 0.1, "momentum_decay": 0.5}]
ROOTED = [{}, {"lr": 0.3, "beta1": 0.6, "beta2": 0.7, "eps": 0.1}, {"lr": 0.3, "eps_root": 0.2}]
ORACLES = {
    "nadam": (nadam, SETTINGS),
    "nadamw": (nadamw, [*SETTINGS, {"lr": 0.3, "weight_decay": 0.4}]),
    "adam_nesterov": (adam_nesterov, ROOTED),
    "adamw_nesterov": (adamw_nesterov, [*ROOTED, {"lr": 0.3, "weight_decay": 0.4}]),
}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


def test_mu_product_is_a_number_that_starts_at_1_and_knows_no_gradient():
    assert rules.nadam.start["mu_product"] == 1.0
    one, other = ([mu for *_, mu in follow(rules.nadam, 0.0, gs)] for gs in ([1.0] * 5, [-7.0] * 5))
    assert one == other
    expected = np.cumprod([0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in range(1, 6)])
    np.testing.assert_allclose(one, expected, rtol=1e-14)


def test_momentum_warms_up_from_a_half_to_the_whole_of_beta1():
    first = rules.nadam(1.0, 0.0, 0.0, 1.0, 1, **rules.nadam.complete({}))[3]
    late = rules.nadam(1.0, 0.0, 0.0, 1.0, 10**6, **rules.nadam.complete({}))[3]
    assert first == pytest.approx(0.45, rel=1e-3)
    assert late == pytest.approx(0.9, rel=1e-12)
