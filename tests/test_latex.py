"""A rule as LaTeX: the author's lines, in order, nothing left out."""

import math
import sys

import pytest

from stepwell import rules
from stepwell.rule import Rate, maximum, minimum, row_mean, rule, sign, where

EVERY_RULE = list(rules.named.values())
WORDS = {
    "eps": r"\epsilon", "eps_root": r"\epsilon_{\mathrm{root}}",
    "lr": r"\eta", "weight_decay": r"\lambda", "dampening": r"\tau", "lr_decay": r"\kappa",
    "momentum_decay": r"\psi", "beta": r"\beta", "beta1": r"\beta_{1}", "beta2": r"\beta_{2}", "gamma": r"\gamma",
    "rho": r"\rho",
}  # fmt: skip
STATES = {"v_max": r"v_{\max, t}", "mu_product": r"\mu_{\mathrm{product}, t}"}


def lines(given) -> list[str]:
    first, *inside, last = given.latex().split("\n")
    assert (first, last) == (r"\begin{aligned}", r"\end{aligned}")
    assert all(line.endswith(r" \\") for line in inside[:-1])
    return [line.removesuffix(r" \\") for line in inside]


@pytest.mark.parametrize("given", EVERY_RULE, ids=lambda r: r.name)
def test_every_state_gets_a_line_and_every_hyperparameter_a_place(given):
    printed = lines(given)
    for state in given.state:
        wanted = STATES.get(state, f"{state}_{{t}}") + " &= "
        assert sum(line.startswith(wanted) for line in printed) == 1, state
    assert printed[-1].startswith("p_{t} &= p_{t-1} - ")
    starts = {value for value in given.start.values() if isinstance(value, str)}
    for name in given.hyperparameters:
        assert (WORDS.get(name, name) in given.latex()) == (name not in starts), name


@pytest.mark.parametrize("given", EVERY_RULE, ids=lambda r: r.name)
def test_latex_is_well_formed(given):
    depth = 0
    text = given.latex()
    for k, sign_ in enumerate(text):
        if sign_ in "{}" and text[k - 1] != "\\":
            depth += 1 if sign_ == "{" else -1
            assert depth >= 0
    assert depth == 0
    assert text.count(r"\left") == text.count(r"\right")
    assert text.count(r"\begin{") == text.count(r"\end{")


def test_adam_is_printed_as_its_authors_wrote_it():
    assert lines(rules.adam) == [
        r"m_{t} &= \beta_{1} m_{t-1} + g_{t} \left(1 - \beta_{1}\right)",
        r"v_{t} &= \beta_{2} v_{t-1} + g_{t}^{2} \left(1 - \beta_{2}\right)",
        r"\hat{m}_{t} &= \frac{m_{t}}{1 - \beta_{1}^{t}}",
        r"\hat{v}_{t} &= \frac{v_{t}}{1 - \beta_{2}^{t}}",
        r"p_{t} &= p_{t-1} - \frac{\eta \hat{m}_{t}}{\epsilon + \sqrt{\hat{v}_{t}}}",
    ]


def test_old_state_and_new_state_are_told_apart():
    assert lines(rules.lion) == [
        r"m_{t} &= \beta_{2} m_{t-1} + g_{t} \left(1 - \beta_{2}\right)",
        r"\mathrm{step}_{t} &= \eta \operatorname{sign}"
        r"{\left(\beta_{1} m_{t-1} + g_{t} \left(1 - \beta_{1}\right) \right)}",
        r"p_{t} &= p_{t-1} - \left(\eta \lambda p_{t-1} + \mathrm{step}_{t}\right)",
    ]


def test_a_step_that_is_the_new_state_still_defines_it():
    @rule
    def velocity(g, v, *, lr: Rate = 1):
        v = v + lr * g
        return v, v

    assert lines(velocity) == [r"v_{t} &= \eta g_{t} + v_{t-1}", "p_{t} &= p_{t-1} - v_{t}"]


def test_a_step_with_a_name_is_printed_once():
    @rule
    def named(g, *, lr: Rate = 1):
        step = lr * g
        return step

    assert lines(named) == [r"p_{t} &= p_{t-1} - \eta g_{t}"]


def test_states_that_are_copies_are_printed():
    @rule
    def copies(g, a, b, c, d, e):
        a = a + g
        return -g, a, a, g, d, 0.0

    *states, step = lines(copies)
    assert states.index("a_{t} &= a_{t-1} + g_{t}") < states.index("b_{t} &= a_{t}")
    assert sorted(states)[2:] == ["c_{t} &= g_{t}", "d_{t} &= d_{t-1}", "e_{t} &= 0"]
    assert step == r"p_{t} &= p_{t-1} - \left(- g_{t}\right)"


def test_the_whole_vocabulary_is_printed():
    @rule
    def wordy(p, g, t):
        bounded = maximum(minimum(g, 1e30), -math.inf)
        return where(abs(p) <= row_mean(p**2), sign(bounded), (-2) ** t * 1e-8)

    first, last = lines(wordy)
    assert first.startswith(r"\mathrm{bounded}_{t} &= \min\left(") or first.startswith(r"\mathrm{bounded}_{t} &= \max")
    for part in (
        r"\left|{p_{t-1}}\right| \leq \operatorname{mean}_{\mathrm{row}}{\left(p_{t-1}^{2} \right)}",
        r"\operatorname{sign}",
        r"\left(-2\right)^{t}",
        r"10^{-8}",
    ):
        assert part in last


def test_a_profiler_that_was_running_still_runs():
    def profiler(*_):
        return None

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        rules.adam.latex()
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(before)
