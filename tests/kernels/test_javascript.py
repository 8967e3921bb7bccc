"""Rules as JavaScript: what is printed. That it computes what Python does is tested in a browser (tests/browser)."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.kernels import Stages
from stepwell.kernels.interpret import _OPERATIONS
from stepwell.kernels.javascript import _CALLS, _INFIX, literal, start_source, step_source
from stepwell.kernels.trace import Operation, Program, trace, updates
from stepwell.rule import Rate, row_mean, rule, sqrt
from stepwell.rules import named


@pytest.mark.parametrize("name", named)
def test_every_operation_of_a_rule_is_printed_once(name: str) -> None:
    program = trace(named[name], Stages())
    lines = step_source(program).splitlines()
    for operation in (*program.prologue, *program.body):
        made = [line for line in lines if re.match(rf"\s*const [rs]_{operation.target} = ", line)]
        assert len(made) >= 1, operation
        assert len(made) == 1 or program.by_rows, operation
    for array, new in program.outputs.items():
        assert new == array or any(line.strip().startswith(f"at_{array}[") for line in lines), array


def test_the_language_of_rules_is_all_there() -> None:
    assert {*_INFIX, *_CALLS, "row_mean"} == set(_OPERATIONS)


def test_an_operation_without_javascript_is_refused() -> None:
    program = trace(named["gradient_descent"], Stages())
    odd = Program(**{**vars(program), "body": (Operation("_x0", "round", ("g",)), *program.body[1:])})
    with pytest.raises(NotImplementedError, match="no JavaScript for the operation 'round'"):
        step_source(odd)


def test_small_powers_are_products_and_roots() -> None:
    @rule
    def powers(g, *, lr: Rate = 0.1):
        return lr * (g**1 + g**2 + g**3 + g**4 + g**0.5 + g**2.5)

    source = step_source(trace(powers, Stages()))
    for text in ("r_g * r_g;", "r_g * r_g * r_g;", "r_g * r_g * r_g * r_g;", "Math.sqrt(r_g)", "power(r_g, 2.5)"):
        assert text in source
    assert "power(r_g, 2.0)" not in source


def test_scalars_stand_in_their_order_with_those_of_stages_after_them() -> None:
    program = trace(named["adam"], Stages(decay=True))
    source = step_source(program)
    assert [f"const s_{name} = h[{k}];" in source for k, name in enumerate(program.scalars)] == [True] * 5
    assert program.scalars[-1] == "l2_decay"
    assert "s_l2_decay * r_p" in source


def test_state_starts_where_the_rule_says() -> None:
    nadam, adagrad = named["nadam"], named["adagrad_rowwise"]
    assert "mu_product: new Float64Array(1).fill(1.0)" in start_source(nadam, trace(nadam, Stages()))
    assert "m: new Float64Array(n).fill(0.0)" in start_source(nadam, trace(nadam, Stages()))
    place = list(adagrad.hyperparameters).index("initial_accumulator")
    assert f"s: new Float64Array(1).fill(h[{place}])" in start_source(adagrad, trace(adagrad, Stages()))


def test_a_mean_is_made_before_what_reads_it() -> None:
    @rule
    def twice(g, s, *, lr: Rate = 0.1):
        s = s + row_mean(g**2)
        return lr * g / sqrt(s + row_mean(g / sqrt(s))), s

    source = step_source(trace(twice, Stages()))
    first, second = [m.start() for m in re.finditer(r"let total_", source)]
    assert first < source.index("/ Math.max(n, 1)") < second
    assert source.count("for (let j = 0") == 3
    assert source.index("at_p[j] = ") > second


def test_the_rule_alone_is_printed_too() -> None:
    source = step_source(updates(named["momentum"]))
    assert "const {p: at_p, g: at_g, v: at_v, update: at_update} = at;" in source
    assert "at_update[j] = " in source


@given(st.floats(allow_nan=False))
def test_a_literal_is_the_same_double(x: float) -> None:
    text = literal(x).strip("()")
    found = math.copysign(math.inf, x) if "Infinity" in text else json.loads(text)
    assert math.copysign(1, found) == math.copysign(1, x)
    assert found == x


def test_a_literal_that_is_no_number() -> None:
    assert literal(math.nan) == "NaN"
