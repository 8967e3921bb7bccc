"""Weights, half-lives and effective rates, taken from the rules."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell import rules
from stepwell.functions.theory import average_weights, bias_correction, effective_rate, half_life


@given(st.floats(0.0, 0.99))
@settings(max_examples=25)
def test_weights_fall_by_the_decay(beta: float) -> None:
    ages = np.arange(40)
    assert average_weights("momentum", 40, beta=beta) == pytest.approx(beta**ages)
    assert average_weights("nesterov", 40, beta=beta) == pytest.approx(beta**ages)
    assert average_weights("momentum_dampened", 40, beta=beta, dampening=0.5) == pytest.approx(0.5 * beta**ages)
    assert average_weights("adam", 40, "m", beta1=beta) == pytest.approx((1 - beta) * beta**ages)
    assert average_weights("rmsprop", 40, "s", gamma=beta) == pytest.approx((1 - beta) * beta**ages)
    assert average_weights("lion", 40, "m", beta2=beta) == pytest.approx((1 - beta) * beta**ages)


def test_weights_sum_to_the_inverse_of_one_less_beta() -> None:
    assert average_weights("momentum", 400, beta=0.9).sum() == pytest.approx(10)
    assert average_weights("adam", 400, "m", beta1=0.9).sum() == pytest.approx(1)
    assert average_weights("adagrad", 5, "s").tolist() == [1] * 5
    assert average_weights("adagrad", 5, "s", initial_accumulator=3.0).tolist() == [1] * 5


def test_every_state_of_every_rule_is_a_fixed_sum_or_is_refused() -> None:
    refused = set()
    for name, rule in rules.algorithms.items():
        for state in rule.state:
            try:
                weights = average_weights(name, 20, state)
            except ValueError:
                refused.add((name, state))
            else:
                assert weights.shape == (20,)
                assert weights[0] > 0
    assert refused == {
        ("rmsprop_momentum", "v"), ("rmsprop_centered_momentum", "v"), ("adadelta", "d"), ("amsgrad", "v_max"),
        ("amsgradw", "v_max"), ("adamax", "u"), ("nadam", "mu_product"), ("nadamw", "mu_product"), ("yogi", "v"),
    }  # fmt: skip


@given(st.floats(0.0, 0.999), st.integers(1, 60))
@settings(max_examples=25)
def test_bias_correction_is_one_less_the_power(beta: float, t: int) -> None:
    expected = 1 - beta**t
    assert bias_correction(beta, t) == expected
    assert bias_correction("adam", t, beta1=beta) == pytest.approx(expected)
    assert bias_correction("adam", t, "v", beta2=beta) == pytest.approx(expected)
    *_, (_, m, v) = _fed("adam", [1.0] * t, beta1=beta, beta2=beta)
    assert (m, v) == pytest.approx((expected, expected))
    assert bias_correction("momentum", t, "v", beta=beta) == pytest.approx(expected / (1 - beta))


def _fed(name: str, gradients: list[float], **hyper: float) -> list[Any]:
    rule, complete = rules.named[name], rules.named[name].complete(hyper)
    state, seen = [rule.start_of(s, complete) for s in rule.state], []
    for t, g in enumerate(gradients, 1):
        step, *state = rule.bind({"p": 0.0, "g": g, "t": t, **dict(zip(rule.state, state, strict=True))}, complete)
        seen.append((step, *state))
    return seen


def test_the_books_correction() -> None:
    assert bias_correction("adam", 10) == pytest.approx(0.65132, abs=5e-6)


@given(st.floats(0.01, 0.999))
def test_a_weight_has_halved_after_a_half_life(beta: float) -> None:
    assert beta ** half_life(beta) == pytest.approx(0.5)


def test_half_lives() -> None:
    assert half_life(0.9) == pytest.approx(6.5788, abs=5e-5)
    assert half_life(0.0) == 0
    assert half_life(0.5) == 1


def test_effective_rates() -> None:
    t = np.arange(1, 31)
    assert effective_rate("gradient_descent", [1.0, -2.0, 1e9], lr=0.3) == pytest.approx([0.3] * 3)
    for g in (0.01, -5.0):
        assert effective_rate("adagrad", [g] * 30, lr=0.2, eps=0.0) * abs(g) == pytest.approx(0.2 / np.sqrt(t))
    first = effective_rate("rmsprop_eps_inside", [2.0], lr=0.1, gamma=0.9)[0] * 2
    assert first == pytest.approx(0.1 / math.sqrt(0.1), rel=1e-5)
    for g in (0.5, -3.0):
        assert effective_rate("adadelta", [g], eps=1e-5)[0] * g == pytest.approx(0.01 * np.sign(g), rel=1e-3)
        assert effective_rate("adam", [g], lr=0.1)[0] * g == pytest.approx(0.1 * np.sign(g), rel=1e-6)
    assert effective_rate("momentum", [1.0] * 200, lr=0.1, beta=0.9)[-1] == pytest.approx(1.0)


def test_effective_rates_have_the_shape_of_the_gradients() -> None:
    g = np.random.default_rng(0).normal(size=(7, 2, 3))
    rates = effective_rate("adam", g, lr=0.1)
    assert rates.shape == g.shape
    assert rates[:, 1, 2] == pytest.approx(effective_rate("adam", g[:, 1, 2], lr=0.1))
    assert np.isnan(effective_rate("gradient_descent", [0.0])[0])
    assert effective_rate("momentum", [1.0, 0.0])[1] == np.inf
    decayed = effective_rate("adamw", [1.0, 1.0], lr=0.1, weight_decay=0.5)  # the parameter stays at 0
    assert decayed == pytest.approx(effective_rate("adam", [1.0, 1.0], lr=0.1))


def test_errors() -> None:
    with pytest.raises(ValueError, match="a fixed sum of gradients or of their squares, which yogi's is not; got 'v'"):
        average_weights("yogi", 3)
    for gradients in ([], 1.0, [np.nan]):
        with pytest.raises(ValueError, match="gradients must be"):
            effective_rate("adam", gradients)
    wrong: Any
    for wrong in (["a"], [1j], [[1.0], [1.0, 2.0]]):
        with pytest.raises(TypeError, match="gradients must be an array of finite numbers"):
            effective_rate("adam", wrong)
    wrong = 2.5
    with pytest.raises(TypeError, match=r"t must be an integer ≥ 1; got 2\.5"):
        bias_correction("adam", wrong)
    with pytest.raises(TypeError, match=r"steps must be an integer ≥ 1; got 2\.5"):
        average_weights("adam", wrong)
    wrong = np.int64(2)
    assert bias_correction(0.5, wrong) == 0.75
    with pytest.raises(ValueError, match="state must be one of adam's, m, v; got 's'"):
        average_weights("adam", 3, "s")
    with pytest.raises(ValueError, match="which has none"):
        average_weights("gradient_descent", 3)
    with pytest.raises(ValueError, match="steps must be an integer ≥ 1; got 0"):
        average_weights("momentum", 0)
    with pytest.raises(ValueError, match="t must be an integer ≥ 1; got 0"):
        bias_correction("adam", 0)
    with pytest.raises(TypeError, match="a number has no hyperparameter 'beta1'"):
        bias_correction(0.9, 3, beta1=0.5)
    for beta in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="beta must be a number in"):
            half_life(beta)
        with pytest.raises(ValueError, match="beta must be a number in"):
            bias_correction(beta, 3)
