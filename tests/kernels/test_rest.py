"""What a step with a zero gradient does: it is found to be nothing, or a closed form that agrees with the steps."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from stepwell import rule as language
from stepwell import rules
from stepwell.kernels import Stages, cpu
from stepwell.kernels.closing import Sum
from stepwell.kernels.rest import Rest, rest
from stepwell.kernels.stages import whole_step
from stepwell.kernels.trace import Program
from stepwell.rule import Rule
from stepwell.symbolic import Expr
from tests.kernels.harness import PLAIN, SURROUND, Arrays
from tests.kernels.own_rules import (
    OWN,
    always_downhill,
    bounded_velocity,
    cautious_at_first,
    centred,
    cubic,
    falling_sign,
    largest_so_far,
    momentum_then_adam,
    restless,
    two_scales,
    two_velocities,
)
from tests.kernels.sparse import EVERY_RULE

SCALE, DECAY, EMA = Stages(scale=True), Stages(decay=True), Stages(ema=True)
STEPS = 40

OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": np.divide, "**": operator.pow, "neg": operator.neg,
    "abs": abs, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "round": lambda x: x,
}  # fmt: skip


def name_of(given: Any) -> str | None:
    return given.name if isinstance(given, Rule) else None


def apply(op: str, *args: Any) -> Any:
    return (OPERATORS[op] if op in OPERATORS else getattr(language, op))(*args)


def value(expr: Expr, known: Mapping[str, Any]) -> Any:
    """An expression in numbers and arrays."""
    if expr.op == "symbol":
        return known[expr.args[0]]
    return expr.args[0] if expr.op == "constant" else apply(expr.op, *(value(a, known) for a in expr.args))


def run(program: Program, known: Mapping[str, Any]) -> dict[str, Any]:
    """Every output of a program, prologue and body, in float64."""
    values = dict(known)
    for o in (*program.prologue, *program.body):
        values[o.target] = apply(o.op, *(values[a] if isinstance(a, str) else a for a in o.args))
    return {name: values[x] if isinstance(x, str) else x for name, x in program.outputs.items()}


def scalars_of(rule: Rule, stages: Stages, **hyper: float) -> dict[str, float]:
    given = {h.name: 0.1 for h in rule.hyperparameters.values() if h.default is None}
    return rule.complete(given | hyper) | {name: SURROUND[0][name] for name in stages.scalars}


def start(rule: Rule, stages: Stages, seed: int = 0) -> Arrays:
    """Arrays as they may be in the middle of a run: what is a sum of squares is above 0, whatever it is called."""
    rng = np.random.default_rng(seed)
    program = cpu.program(rule, stages)
    arrays: Arrays = {name: rng.standard_normal((4, 5)) for name in program.arrays if name != "g"}
    for name in set(arrays) - {"p", "m", "ema"}:
        least = {"a": 0, "v_max": 2, "u": 2}.get(name, 1)  # a² is below s, and v below the largest v
        arrays[name] = least + rng.random(program.shape_of(name, (4, 5)))
    return arrays | dict.fromkeys(program.scalar_state, 0.5)


def zero_step(rule: Rule, stages: Stages, arrays: Arrays, scalars: Mapping[str, float], t: int) -> Arrays:
    """The rule itself, with zeros for the gradient."""
    with np.errstate(all="ignore"):
        step = whole_step(rule, stages)
        return step({**arrays, "g": np.zeros((4, 5)), "t": t}, {**scalars, "t": t})


def numbers_of(resting: Rest, rule: Rule, stages: Stages, scalars: Mapping[str, float], arrays: Arrays, t: int) -> Any:
    """The closed form's numbers of step t, by name."""
    names = {*rule.hyperparameters, *stages.scalars, *resting.program.scalar_state}
    known = {name: x for name, x in {**arrays, **scalars}.items() if name in names} | {"t": float(t)}
    values: dict[str, Any] = dict(known)
    with np.errstate(all="ignore"):
        for o in resting.program.prologue:
            values[o.target] = apply(o.op, *(values[a] if isinstance(a, str) else a for a in o.args))
    return {
        name: values[x] if isinstance(x, str) else x
        for name, x in resting.program.outputs.items()
        if name not in (*resting.program.arrays, *resting.program.scalar_state)
    }


class Gap:
    """Steps with a zero gradient by the closed form, from the arrays at its beginning."""

    def __init__(self, resting: Rest, arrays: Arrays):
        assert resting.closed is not None
        self.closed, self.start = resting.closed, arrays
        self.p = arrays["p"]
        self.scales = dict.fromkeys(self.closed.scales, 1.0)
        self.regular = True

    def powers(self, of: Mapping[str, float]) -> float:
        return float(np.prod([self.scales.get(state, 1.0) ** power for state, power in of.items()]))

    def step(self, number: Mapping[str, float]) -> None:
        factors = {s: number[f"scale_{s}"] for s in self.closed.scales}
        self.regular &= all(number[c] for c in self.closed.conditions) and all(x > 0 for x in factors.values())
        self.p = number["keep"] * self.p
        if (drift := self.closed.drift) is not None and self.regular:
            weight = number["drift"] * self.powers(drift.scale)
            change = weight * value(drift.top, self.start)
            self.p = self.p - (change if drift.sum is None else change / self.bottom(drift.sum, number["spread"]))
        for state, factor in factors.items():
            self.scales[state] *= factor

    def bottom(self, sum: Sum, spread: float) -> Any:
        first, second = value(sum.first, self.start), value(sum.second, self.start)
        return first + spread * self.powers(sum.scale) * second

    def arrays(self) -> Arrays:
        return {**self.start, "p": self.p, **{s: x * self.start[s] for s, x in self.scales.items()}}


def assert_closed_form_holds(rule: Rule, stages: Stages, begin: int = 10, **hyper: float) -> Gap:
    """State by state, the closed form is the steps themselves, as long as they are regular."""
    resting, scalars = rest(rule, stages, False), scalars_of(rule, stages, **hyper)
    arrays = start(rule, stages)
    gap = Gap(resting, arrays)
    for t in range(begin, begin + STEPS):
        number = numbers_of(resting, rule, stages, scalars, arrays, t)
        arrays = zero_step(rule, stages, arrays, scalars, t)
        gap.step(number)
        if not gap.regular:
            break
        for name in set(arrays) - set(resting.program.scalar_state):
            np.testing.assert_allclose(gap.arrays()[name], arrays[name], rtol=1e-12, err_msg=f"{name} at {t}")
    return gap


CLOSED = [(rule, stages) for rule in EVERY_RULE for stages in (PLAIN, SCALE, DECAY) if rest(rule, stages, False).closed]


@pytest.mark.parametrize(("rule", "stages"), CLOSED, ids=name_of)
def test_the_closed_form_is_the_steps(rule, stages):
    assert assert_closed_form_holds(rule, stages).regular


@pytest.mark.parametrize("rule", [r for r in OWN if rest(r, PLAIN, False).closed], ids=name_of)
def test_the_closed_form_of_a_users_rule(rule):
    gap = assert_closed_form_holds(rule, PLAIN)
    assert gap.regular == (rule is not falling_sign)


def test_a_wrong_number_would_be_seen():
    """The comparison above notices a step too few."""
    gap = assert_closed_form_holds(rules.adam, PLAIN)
    before = gap.p
    closed = rest(rules.adam, PLAIN, False).closed
    assert closed is not None
    good = dict.fromkeys(closed.conditions, True)
    gap.step({"keep": 1.0, "drift": 1e-6, "spread": 1e-8, "scale_m": 0.9, "scale_v": 0.999, **good})
    assert (abs(gap.p - before) > 1e-12 * abs(before)).any()


@pytest.mark.parametrize("stages", [PLAIN, DECAY, EMA], ids=["plain", "decay", "ema"])
@pytest.mark.parametrize("rule", [*EVERY_RULE, *OWN], ids=name_of)
def test_the_program_is_the_rule_without_a_gradient(rule, stages):
    """What a zero makes vanish is gone; the bits of the rest are the same."""
    resting, scalars, arrays = rest(rule, stages, False), scalars_of(rule, stages), start(rule, stages)
    for t in (1, 2, 5, 6, 50):
        expected = zero_step(rule, stages, arrays, scalars, t)
        with np.errstate(all="ignore"):
            found = run(resting.program, {**arrays, **scalars, "t": float(t)})
        for name, x in expected.items():
            np.testing.assert_array_equal(np.broadcast_to(found[name], np.shape(x)), x, err_msg=f"{name} at {t}")
        arrays = expected
    assert "g" not in {a for o in resting.program.body for a in o.args}


@pytest.mark.parametrize("stages", [PLAIN, DECAY, EMA], ids=["plain", "decay", "ema"])
@pytest.mark.parametrize("rule", [*EVERY_RULE, *OWN], ids=name_of)
def test_what_moves_is_what_changes(rule, stages):
    arrays, scalars = start(rule, stages), scalars_of(rule, stages)
    numbers = cpu.program(rule, stages).scalar_state
    changed = False
    for t in range(1, 20):
        new = zero_step(rule, stages, arrays, scalars, t)
        changed |= any((new[name] != arrays[name]).any() for name in set(new) - {*numbers})
        arrays = new
    assert rest(rule, stages, False).moves == changed


def test_these_stand_still():
    still = {rule.name for rule in EVERY_RULE if not rest(rule, PLAIN, False).moves}
    assert still == {"gradient_descent", *(name for name in rules.named if name.startswith("adagrad"))} - {
        "adagradw_eps_inside"
    }


@pytest.mark.parametrize("rule", EVERY_RULE, ids=name_of)
def test_lazily_nothing_but_the_average_moves(rule):
    assert not rest(rule, PLAIN, True).moves
    assert not rest(rule, DECAY, True).moves
    averaging = rest(rule, EMA, True)
    assert averaging.moves
    arrays, scalars = start(rule, EMA), scalars_of(rule, EMA)
    found = run(averaging.program, {**arrays, **scalars, "t": 7.0})
    dense = zero_step(rule, EMA, arrays, scalars, 7)
    for name in set(arrays) - {"ema"}:
        expected = dense if name in averaging.program.scalar_state else arrays
        np.testing.assert_array_equal(found[name], expected[name])
    decay = scalars["ema_decay"]
    np.testing.assert_array_equal(found["ema"], decay * arrays["ema"] + (1 - decay) * arrays["p"])


def test_which_rules_have_no_closed_form():
    largest = {name for name in rules.named if name.startswith("adamax")}
    second_epsilon = {rule.name for rule in EVERY_RULE if "eps_root" in rule.hyperparameters}
    for stages in (PLAIN, SCALE):
        assert {
            rule.name for rule in EVERY_RULE if rest(rule, stages, False).closed is None
        } == largest | second_epsilon
    own = {rule.name for rule in OWN if rest(rule, PLAIN, False).closed is None}
    assert own == {r.name for r in (two_velocities, bounded_velocity, centred, restless)}


def test_decay_in_the_gradient_leaves_a_closed_form_to_gradient_descent_alone():
    """The parameter enters the velocity, or the squares."""
    assert [rule.name for rule in EVERY_RULE if rest(rule, DECAY, False).closed] == ["gradient_descent"]


def test_an_average_of_the_weights_has_none():
    assert not any(rest(rule, EMA, lazy).closed for rule in EVERY_RULE for lazy in (False, True))


def states(rule: Rule) -> tuple[str, ...]:
    closed = rest(rule, PLAIN, False).closed
    assert closed is not None
    return closed.scales


@pytest.mark.parametrize("rule", [r for r in EVERY_RULE if rest(r, PLAIN, False).closed], ids=name_of)
def test_states_that_shrink_are_those_that_change(rule):
    arrays, scalars = start(rule, PLAIN), scalars_of(rule, PLAIN)
    numbers = cpu.program(rule, PLAIN).scalar_state
    new = zero_step(rule, PLAIN, arrays, scalars, 10)
    changed = {s for s in rule.state if s not in numbers and (new[s] != arrays[s]).any()}
    assert set(states(rule)) == changed


def regular(rule: Rule, t: int, **hyper: float) -> bool:
    resting, scalars = rest(rule, PLAIN, False), scalars_of(rule, PLAIN, **hyper)
    assert resting.closed is not None
    number = numbers_of(resting, rule, PLAIN, scalars, start(rule, PLAIN), t)
    return all(number[c] for c in resting.closed.conditions)


@pytest.mark.parametrize(
    ("rule", "t", "hyper", "expected"),
    [
        (rules.radam, 5, {}, False), (rules.radam, 6, {}, True), (rules.radam, 1000, {"beta2": 0.5}, False),
        (rules.amsgrad, 3, {}, True), (momentum_then_adam, 99, {}, True), (momentum_then_adam, 100, {}, False),
        (largest_so_far, 3, {"growth": 0.99}, True), (largest_so_far, 3, {"growth": 1.0}, True),
        (largest_so_far, 3, {"growth": 1.01}, False), (cautious_at_first, 3, {}, True),
    ],
    ids=str,
)  # fmt: skip
def test_a_step_may_be_irregular(rule: Rule, t: int, hyper: dict[str, float], expected: bool):
    """RAdam before it trusts its average; a maximum of what grows; a formula that another takes the place of."""
    assert regular(rule, t, **hyper) == expected


def drift_of(rule: Rule) -> Any:
    closed = rest(rule, PLAIN, False).closed
    assert closed is not None
    return closed.drift


def test_the_parts_of_a_drift():
    assert drift_of(rules.gradient_descent) is None
    assert drift_of(rules.rmsprop) is None
    for given, scale in ((rules.momentum, {"v": 1.0}), (rules.lion, {}), (always_downhill, {})):
        assert drift_of(given).sum is None
        assert drift_of(given).scale == scale
    for given in (rules.adam, rules.adamw, rules.nadam, rules.radam):
        assert drift_of(given).scale == {"m": 1.0, "v": -0.5}
        assert drift_of(given).sum.scale == {"v": -0.5}
    assert states(rules.yogi) == ("m",)  # v keeps its size, and so does its distance from ε
    assert drift_of(cubic).sum.scale == {"v": -1.0}
    assert drift_of(two_scales).sum.scale == {"w": 1.0, "v": -0.5}


@pytest.mark.parametrize("rule", [rules.adam, rules.amsgrad], ids=name_of)
def test_no_rate_no_drift(rule):
    resting, scalars = rest(rule, PLAIN, False), scalars_of(rule, PLAIN, lr=0.0)
    assert numbers_of(resting, rule, PLAIN, scalars, start(rule, PLAIN), 10)["drift"] == 0


def test_it_is_remembered():
    assert rest(rules.adam, PLAIN, False) is rest(rules.adam, PLAIN, False)
