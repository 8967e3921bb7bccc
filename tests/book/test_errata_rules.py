"""What the library's rules do where the texts' do otherwise, apart from the page: errata 1-4, 12, 13, 23, 24, 26."""

import inspect
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

import stepwell.numpy
import stepwell.torch
from stepwell import rules
from stepwell.functions import minimize, surfaces, theory
from stepwell.rule import Rule
from tests.book import errata_mutants as wrong


def steps(rule: Rule, gradients: Iterable[float], **hyper: Any) -> list[float]:
    """What stepwell.torch subtracts from a float64 parameter, gradient by gradient."""
    p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = stepwell.torch.from_rule(rule)([p], **hyper)
    made = []
    for g in gradients:
        before = p.item()
        p.grad = torch.full_like(p, g)
        optimizer.step()
        made.append(before - p.item())
    return made


@pytest.mark.parametrize("rule", [rules.adam, rules.yogi])
def test_1_epsilon_never_reaches_the_parameter(rule: Rule) -> None:
    assert steps(rule, [1.0, -2.0, 1e-9], lr=0.0, eps=1e-2) == [0.0, 0.0, 0.0]
    assert steps(rule, [0.0], lr=1.0, eps=1e-6) == [0.0]
    assert steps(rule, [1e-9], lr=1.0, eps=1e-6) == pytest.approx([1e-9 / (1e-9 + 1e-6)], rel=1e-9)


def test_1_the_texts_adam_is_told_apart() -> None:
    assert steps(wrong.adam_misplaced, [1.0, 1.0], lr=0.0, eps=1e-2) == pytest.approx([-1e-2, -1e-2])
    assert math.isnan(steps(wrong.adam_misplaced, [0.0], lr=1.0)[0])


def test_2_every_door_counts_the_steps() -> None:
    n = 3000
    assert steps(rules.adam, [1.0] * n, lr=1.0, eps=0.0) == pytest.approx([1.0] * n, rel=1e-9)
    x = np.zeros(1)
    optimizer = stepwell.numpy.Adam([x], lr=1.0, eps=0.0)
    for _ in range(n):
        optimizer.step([np.ones(1)])
    assert x == pytest.approx([-n], rel=1e-9)
    assert minimize(lambda x: x, 0.0, "adam", jac=np.ones_like, lr=1.0, eps=0.0, steps=n).x == pytest.approx(-n)


def test_2_the_texts_adam_ends_at_a_third_of_the_step() -> None:
    made = steps(wrong.adam_at_one, [1.0] * 12_000, lr=1.0, eps=0.0)
    assert made[-1] == pytest.approx(10 / math.sqrt(1000), rel=1e-4)
    assert max(made) == pytest.approx(2.08, abs=0.01)


def test_3_yogis_epsilon_is_the_papers() -> None:
    epsilon = rules.yogi.hyperparameters["eps"].default
    assert epsilon == 1e-3
    assert steps(rules.yogi, [1e-4], lr=1.0) == pytest.approx([1 / 11])
    assert steps(rules.yogi, [1e-4], lr=1.0, eps=1e-6) == pytest.approx([100 / 101])
    assert steps(wrong.yogi_small, [1e-4], lr=1.0) == pytest.approx([100 / 101])


G, EPS = 1e-3, 1e-6
INSIDE, OUTSIDE = G / math.sqrt(G**2 + EPS), G / (G + EPS)


@pytest.mark.parametrize(
    ("name", "expected", "hyper"),
    [
        ("adagrad", OUTSIDE, {}),
        ("adagrad_eps_inside", INSIDE, {}),
        ("rmsprop", OUTSIDE, {"gamma": 0.0}),
        ("rmsprop_eps_inside", INSIDE, {"gamma": 0.0}),
        ("adadelta", math.sqrt(EPS) * INSIDE, {"rho": 0.0}),
        ("adam", OUTSIDE, {}),
        ("yogi", OUTSIDE, {}),
    ],
)
def test_4_each_rule_has_epsilon_where_its_name_says(name: str, expected: float, hyper: dict[str, float]) -> None:
    assert steps(rules.named[name], [G], lr=1.0, eps=EPS, **hyper) == pytest.approx([expected], rel=1e-9)
    assert abs(INSIDE - OUTSIDE) > 0.2


@pytest.mark.parametrize("name", ["Adagrad", "RMSprop", "Adadelta", "Adam"])
def test_4_a_class_of_torchs_name_has_torchs_form(name: str) -> None:
    made = []
    for module in (torch.optim, stepwell.torch):
        p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        p.grad = torch.full_like(p, G)
        getattr(module, name)([p], lr=1.0, eps=EPS).step()
        made.append(p.item())
    assert made[0] == pytest.approx(made[1], rel=1e-9)


def test_12_adadelta_has_the_papers_rate_unless_told_another() -> None:
    written = math.sqrt(1e-5) / math.sqrt(0.1 + 1e-5)
    assert steps(rules.adadelta, [1.0], eps=1e-5) == pytest.approx([written])
    assert steps(rules.adadelta, [1.0], eps=1e-5, lr=5.0) == pytest.approx([5 * written])
    assert steps(wrong.adadelta_fivefold, [1.0], eps=1e-5) == pytest.approx([5 * written])
    assert inspect.signature(stepwell.torch.Adadelta).parameters["lr"].default == 1.0


def test_13_rmsprop_forgets_as_slowly_as_torchs() -> None:
    for cls in (torch.optim.RMSprop, stepwell.torch.RMSprop):
        assert inspect.signature(cls).parameters["alpha"].default == 0.99
    assert steps(rules.rmsprop, [1.0], lr=1.0) == pytest.approx([10.0], rel=1e-6)
    assert steps(rules.rmsprop_eps_inside, [1.0], lr=1.0) == pytest.approx([math.sqrt(10)], rel=1e-4)


def test_23_adams_mean_of_t_gradients_is_divided_by_the_sum_of_t_weights() -> None:
    weights = [0.1 * 0.9**i for i in range(10)]  # to t - 1
    assert theory.bias_correction("adam", 10) == pytest.approx(sum(weights), rel=1e-12)
    assert sum(weights) == pytest.approx(0.65132, abs=5e-6)
    assert sum(weights) + 0.1 * 0.9**10 == pytest.approx(0.68619, abs=5e-6)
    assert steps(rules.adam, [3.0] * 5, lr=1.0, eps=0.0) == pytest.approx([1.0] * 5, rel=1e-12)
    assert steps(wrong.adam_a_term_more, [3.0], lr=1.0, eps=0.0)[0] == pytest.approx(
        math.sqrt(0.001999) / 0.06008, rel=1e-3
    )


@pytest.mark.parametrize("name", ["rmsprop", "rmsprop_eps_inside", "adadelta"])
def test_24_half_of_an_average_is_left_after_six_and_a_half_steps(name: str) -> None:
    memory = {"rho": 0.9} if name == "adadelta" else {"gamma": 0.9}
    rule = rules.named[name]
    hyper = rule.complete(memory)
    state = [0.0] * len(rule.state)
    sizes = []
    for g in [1.0] + [0.0] * 10:
        _, *state = rule.bind({"g": g, **dict(zip(rule.state, state, strict=True))}, hyper)
        sizes.append(state[0] / 0.1)
    assert sizes[6] > 0.5 > sizes[7]
    assert sizes[10] == pytest.approx(0.9**10)  # not 2⁻¹⁰
    assert theory.half_life(0.9) == pytest.approx(6.5788, abs=1e-4)


@pytest.mark.parametrize("g", [-10.0, 10.0])
def test_26_rmsprop_averages_squares_and_keeps_the_sign(g: float) -> None:
    made = steps(rules.rmsprop_eps_inside, [g], lr=1.0)[0]
    assert made == pytest.approx(math.copysign(math.sqrt(10), g), rel=1e-6)
    assert steps(wrong.rmsprop_of_gradients, [g], lr=1.0)[0] == 1.0  # whatever the sign


def test_26_rmsprop_descends_from_either_side() -> None:
    for x0 in (-5.0, 5.0):
        assert abs(minimize(surfaces.square, x0, "rmsprop_eps_inside", lr=0.1, steps=20).x) < 2.5
    assert minimize(surfaces.square, -5.0, wrong.rmsprop_of_gradients, lr=0.1, steps=20).x < -5
