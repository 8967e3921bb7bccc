"""RAdam, against the formula written out, and the step at which it begins to trust its scale."""

import itertools
import math

import pytest

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_follows, follow


def length(t: int, beta2: float) -> float:
    """ρ_t: how many steps the average is long."""
    return 2 / (1 - beta2) - 1 - 2 * t * beta2**t / (1 - beta2**t)


def radam(p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float) -> Trajectory:
    most = 2 / (1 - beta2) - 1
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        rho = length(t, beta2)
        step = lr * m / (1 - beta1**t)
        if rho > 5:
            rectified = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            step *= rectified * math.sqrt(1 - beta2**t) / (math.sqrt(v) + eps)
        p -= step
        yield p, m, v


def radamw(p: float, gs: Numbers, lr: float, weight_decay: float, **hyper: float) -> Trajectory:
    before = 0.0
    for plain, *state in radam(0.0, gs, lr, **hyper):
        p = p - lr * weight_decay * p + (plain - before)
        before = plain
        yield p, *state


def rectified(m_hat: float, v_hat: float, rho: float, most: float, eps: float, eps_root: float) -> float:
    r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    return r * m_hat / (math.sqrt(v_hat + eps_root) + eps)


def radam_corrected(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, eps_root: float, threshold: float
) -> Trajectory:
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat, rho = m / (1 - beta1**t), v / (1 - beta2**t), length(t, beta2)
        most = 2 / (1 - beta2) - 1
        p -= lr * (rectified(m_hat, v_hat, rho, most, eps, eps_root) if rho >= threshold else m_hat)
        yield p, m, v


def radam_corrected_nesterov(
    p: float, gs: Numbers, lr: float, beta1: float, beta2: float, eps: float, eps_root: float, threshold: float
) -> Trajectory:
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        ahead = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
        v_hat, rho = v / (1 - beta2**t), length(t, beta2)
        most = 2 / (1 - beta2) - 1
        p -= lr * (rectified(ahead, v_hat, rho, most, eps, eps_root) if rho >= threshold else ahead)
        yield p, m, v


SETTINGS = [{}, {"lr": 0.3, "beta1": 0.6, "beta2": 0.9, "eps": 0.1}, {"lr": 0.3, "beta2": 0.5}]  # 0.5: never trusted
OPTIONS = [  # half of the first threshold is reached in 8 steps, and is above 4, where r begins
    {"threshold": 8.1}, *SETTINGS, {"lr": 0.3, "beta2": 0.9, "eps_root": 0.2}, {"lr": 0.3, "beta2": 0.95},
]  # fmt: skip
ORACLES = {
    "radam": (radam, SETTINGS),
    "radamw": (radamw, [*SETTINGS, {"lr": 0.3, "weight_decay": 0.4}]),
    "radam_corrected": (radam_corrected, OPTIONS),
    "radam_corrected_nesterov": (radam_corrected_nesterov, OPTIONS),
}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


@pytest.mark.parametrize("beta2", [0.9, 0.99, 0.999])
def test_it_is_momentum_until_the_average_is_longer_than_5(beta2):
    """A gradient of 100: a plain step is 100 lr long, a scaled one about lr."""
    path = [0.0, *(p for p, *_ in follow(rules.radam, 0.0, [100.0] * 12, lr=1.0, beta2=beta2))]
    plain = [a - b == pytest.approx(100.0) for a, b in itertools.pairwise(path)]
    assert plain == [length(t, beta2) <= 5 for t in range(1, 13)]
    assert plain.index(False) in (5, 6)  # the sixth step or the seventh, whatever β₂


def test_late_steps_are_adams():
    hyper = {"lr": 0.1, "beta1": 0.9, "beta2": 0.9, "eps": 0.0}
    rectified = math.sqrt((19 - 4) * (19 - 2) / ((19 - 4) * (19 - 2)))
    steps = [rule(3.0, 1.0, 2.0, 5000, **hyper)[0] for rule in (rules.radam, rules.adam)]
    assert steps[0] == pytest.approx(rectified * steps[1], rel=1e-12)
