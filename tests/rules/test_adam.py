"""Adam and its closest kin, against the formulas written out and the claims of the book."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_follows, follow


def adam(p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float) -> Trajectory:
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        p -= lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps)
        yield p, m, v


def adam_eps_hat(p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float) -> Trajectory:
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        p -= lr * math.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (math.sqrt(v) + eps)
        yield p, m, v


def amsgrad(p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float) -> Trajectory:
    m = v = largest = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = v if v > largest else largest
        p -= lr * (m / (1 - beta1**t)) / (math.sqrt(largest / (1 - beta2**t)) + eps)
        yield p, m, v, largest


def amsgrad_eps_hat(p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float) -> Trajectory:
    m = v = largest = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = v if v > largest else largest
        p -= lr * math.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (math.sqrt(largest) + eps)
        yield p, m, v, largest


def adamw(p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float) -> Trajectory:
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        p = (1 - lr * weight_decay) * p - lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps)
        yield p, m, v


def amsgradw(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> Trajectory:
    m = v = largest = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = v if v > largest else largest
        p = (1 - lr * weight_decay) * p - lr * (m / (1 - beta1**t)) / (math.sqrt(largest / (1 - beta2**t)) + eps)
        yield p, m, v, largest


def adam_eps_root(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, eps_root: float
) -> Trajectory:
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        p -= lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t) + eps_root) + eps)
        yield p, m, v


def adamw_eps_root(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, eps_root: float, weight_decay: float
) -> Trajectory:
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        root = math.sqrt(v / (1 - beta2**t) + eps_root)
        p = (1 - lr * weight_decay) * p - lr * (m / (1 - beta1**t)) / (root + eps)
        yield p, m, v


def amsgrad_corrected(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, eps_root: float
) -> Trajectory:
    m = v = largest = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = max(largest, v / (1 - beta2**t))
        p -= lr * (m / (1 - beta1**t)) / (math.sqrt(largest + eps_root) + eps)
        yield p, m, v, largest


def amsgrad_uncorrected(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, eps_root: float
) -> Trajectory:
    m = v = largest = 0.0
    for g in gs:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = max(largest, v)
        p -= lr * m / (math.sqrt(largest + eps_root) + eps)
        yield p, m, v, largest


def amsgrad_mean_corrected(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, eps_root: float
) -> Trajectory:
    m = v = largest = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = max(largest, v)
        p -= lr * (m / (1 - beta1**t)) / (math.sqrt(largest + eps_root) + eps)
        yield p, m, v, largest


def amsgrad_scale_corrected(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, eps_root: float
) -> Trajectory:
    m = v = largest = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = max(largest, v / (1 - beta2**t))
        p -= lr * m / (math.sqrt(largest + eps_root) + eps)
        yield p, m, v, largest


SETTINGS = [{}, {"lr": 0.3, "beta1": 0.6, "beta2": 0.7, "eps": 0.1}]
DECAYED = [*SETTINGS, {"lr": 0.3, "weight_decay": 0.4}]
ROOTED = [*SETTINGS, {"lr": 0.3, "eps_root": 0.2}]
ORACLES = {
    "adam_eps_root": (adam_eps_root, ROOTED),
    "adamw_eps_root": (adamw_eps_root, [*ROOTED, {"lr": 0.3, "weight_decay": 0.4}]),
    "amsgrad_corrected": (amsgrad_corrected, ROOTED),
    "amsgrad_mean_corrected": (amsgrad_mean_corrected, ROOTED),
    "amsgrad_scale_corrected": (amsgrad_scale_corrected, ROOTED),
    "amsgrad_uncorrected": (amsgrad_uncorrected, ROOTED),
    "adam": (adam, SETTINGS),
    "adam_eps_hat": (adam_eps_hat, SETTINGS),
    "amsgrad": (amsgrad, SETTINGS),
    "amsgrad_eps_hat": (amsgrad_eps_hat, SETTINGS),
    "adamw": (adamw, DECAYED),
    "amsgradw": (amsgradw, DECAYED),
}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 0.99))
def test_the_second_mean_is_one_minus_beta_times_beta_g1_plus_g2(g1, g2, beta1):
    _, (_, m, _) = follow(rules.adam, 0.0, [g1, g2], beta1=beta1)
    assert m == pytest.approx((1 - beta1) * (beta1 * g1 + g2), rel=1e-12, abs=1e-300)


def test_the_mean_expects_the_gradient_times_one_minus_beta_to_the_t():
    """E[m_t] = E[g](1 - β₁ᵗ), at t = 10: 0.65132 of it."""
    assert f"{1 - 0.9**10:.5f}" == "0.65132"
    noise = 3.0 + np.random.default_rng(0).standard_normal((10, 100_000))
    *_, (_, m, _) = follow(rules.adam, np.zeros(100_000), list(noise))
    assert m.mean() == pytest.approx(3 * (1 - 0.9**10), abs=0.005)


@given(st.floats(1e-6, 1e6), st.sampled_from([-1, 1]), st.floats(0, 0.99), st.floats(0, 0.999))
def test_the_first_step_is_eta_times_the_sign(size, sign, beta1, beta2):
    hyper = {"lr": 0.1, "beta1": beta1, "beta2": beta2, "eps": 0.0}
    assert rules.adam(sign * size, 0.0, 0.0, 1, **hyper)[0] == pytest.approx(sign * 0.1, rel=1e-12)


def test_uncorrected_it_would_be_3_16_times_that():
    """Late in time the corrections are 1: (1-β₁)/√(1-β₂) = 0.1/√0.001."""
    step, *_ = rules.adam(5.0, 0.0, 0.0, 100_000, lr=0.1, eps=0.0)
    assert step / 0.1 == pytest.approx(math.sqrt(10), rel=1e-12)


@given(st.floats(1e-3, 1e3), st.lists(st.floats(0.1, 10), min_size=5, max_size=5))
def test_steps_do_not_change_when_the_gradient_is_rescaled(scale, gs):
    plain, scaled = ([p for p, *_ in follow(rules.adam, 0.0, [k * g for g in gs], eps=0.0)] for k in (1, scale))
    assert scaled == pytest.approx(plain, rel=1e-9)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
def test_amsgrads_scale_never_shrinks(gs):
    scales = [v_max for *_, v_max in follow(rules.amsgrad, 0.0, gs, beta2=0.5)]
    assert scales == sorted(scales)
    assert all(v_max >= v for *_, v, v_max in follow(rules.amsgrad, 0.0, gs, beta2=0.5))


def test_amsgrad_keeps_the_largest_scale_where_adam_forgets_it():
    gs = [100.0, *[0.1] * 30]
    (*_, (_, _, v)), (*_, (_, _, _, v_max)) = (follow(r, 0.0, gs, beta2=0.5) for r in (rules.adam, rules.amsgrad))
    assert v < 0.1
    assert v_max == 0.5 * 100**2


def test_adam_climbs_where_amsgrad_descends():
    """Reddi et al. (2018), theorem 1: slopes C, -1, -1 in turn on [-1, 1] with β₁ = 0, β₂ = 1/(1 + C²), C = 3."""

    def end(rule):
        x, state = 0.0, [0.0 for _ in rule.state]
        for t in range(1, 3001):
            slope = 3.0 if t % 3 == 1 else -1.0
            step, *state = rule(slope, *state, t, lr=0.5 / math.sqrt(t), beta1=0.0, beta2=0.1, eps=0.0)
            x = min(1.0, max(-1.0, x - step))
        return x

    assert end(rules.adam) > 0.9
    assert end(rules.amsgrad) < -0.9


@pytest.mark.parametrize(
    "rule", [rules.adamw, rules.amsgradw, rules.radamw, rules.nadamw, rules.lion], ids=lambda r: r.name
)
def test_decoupled_decay_shrinks_a_parameter_that_has_no_gradient(rule):
    path = [p for p, *_ in follow(rule, 8.0, [0.0] * 4, lr=0.5, weight_decay=0.5)]
    assert path == [8 * 0.75**t for t in range(1, 5)]


def test_decoupled_decay_does_not_enter_the_moments():
    with_decay, without = ([m for _, *m in follow(rules.adamw, 3.0, [1.0, 2.0], weight_decay=d)] for d in (0.3, 0.0))
    assert with_decay == without
