"""What is refused, and that the message names the argument, the value and the domain."""

import math
import re

import numpy as np
import pytest

from stepwell import schedules as s

OUT_OF_DOMAIN = [
    (lambda: s.constant(-0.1), "rate must be a finite number ≥ 0; got -0.1"),
    (lambda: s.constant(math.nan), "rate must be a finite number ≥ 0; got nan"),
    (lambda: s.constant(math.inf), "rate must be a finite number ≥ 0; got inf"),
    (lambda: s.piecewise_constant([5, 5], [1, 2, 3]), "boundaries must be increasing integers ≥ 0; got [5, 5]"),
    (lambda: s.piecewise_constant([9, 5], [1, 2, 3]), "boundaries must be increasing integers ≥ 0; got [9, 5]"),
    (lambda: s.piecewise_constant([-1, 5], [1, 2, 3]), "boundaries must be increasing integers ≥ 0; got [-1, 5]"),
    (lambda: s.piecewise_constant([5], [1, -2]), "values must be finite numbers ≥ 0; got [1, -2]"),
    (lambda: s.piecewise_constant([5], [1]), "values must be one more than the 1 boundaries; got (1.0,)"),
    (lambda: s.multi_factor([3, 2]), "milestones must be increasing integers ≥ 0; got [3, 2]"),
    (lambda: s.multi_factor([3], factor=0), "factor must be a finite number > 0; got 0"),
    (lambda: s.exponential(-0.1), "decay must be a finite number ≥ 0; got -0.1"),
    (lambda: s.factor(1.1), "factor must be a number in (0, 1]; got 1.1"),
    (lambda: s.factor(floor=-1), "floor must be a finite number ≥ 0; got -1"),
    (lambda: s.factor(start=-1), "start must be an integer ≥ 0; got -1"),
    (lambda: s.polynomial(0), "alpha must be a finite number > 0; got 0"),
    (lambda: s.polynomial(beta=-1), "beta must be a finite number ≥ 0; got -1"),
    (lambda: s.inverse_sqrt(-1), "rate must be a finite number ≥ 0; got -1"),
    (lambda: s.linear(-1), "steps must be an integer ≥ 0; got -1"),
    (lambda: s.warmup(5, start=-1), "start must be a finite number ≥ 0; got -1"),
    (lambda: s.polynomial_decay(5, power=0), "power must be a finite number > 0; got 0"),
    (lambda: s.cosine(5, end=-1), "end must be a finite number ≥ 0; got -1"),
    (lambda: s.cosine_restarts(0), "steps must be an integer ≥ 1; got 0"),
    (lambda: s.cosine_restarts(5, mult=0), "mult must be an integer ≥ 1; got 0"),
    (lambda: s.one_cycle(100, anneal="cosine"), "anneal must be 'cos' or 'linear'; got 'cosine'"),
    (lambda: s.one_cycle(100, pct_start=1), "pct_start must be a number in (0, 1); got 1"),
    (lambda: s.one_cycle(10, pct_start=0.05), "pct_start must put increasing steps between the phases of 10 steps"),
    (lambda: s.one_cycle(100, pct_start=0.6, three_phase=True), "got 0.6, that is 0, 59, 118, 99"),
    (lambda: s.one_cycle(100, three_phase=2), "three_phase must be True or False; got 2"),  # pyright: ignore
    (lambda: s.warmup_stable_decay(1, -2, 3), "stable_steps must be an integer ≥ 0; got -2"),
    (lambda: -1 * s.linear(5), "factor must be a finite number ≥ 0; got -1"),
    (lambda: s.linear(5).per_epoch(0), "steps must be an integer ≥ 1; got 0"),
    (lambda: s.linear(5).then(s.linear(5), at=-1), "at must be an integer ≥ 0; got -1"),
    (lambda: s.constant(0.1).then(s.linear(5)), "at must be an integer ≥ 0; got None, and constant(rate=0.1) has no"),
    (lambda: s.linear(5)(-1), "step must be an integer ≥ 0; got -1"),
    (lambda: s.linear(5)(np.int64(-1)), "step must be an integer ≥ 0; got"),
    (lambda: s.linear(5)(np.array([1, -1])), "step must be an array of integers ≥ 0; got array([ 1, -1])"),
    (lambda: s.rate_at(-0.1, 3), "lr must be a finite number ≥ 0; got -0.1 at step 3"),
    (lambda: s.rate_at(lambda k: math.nan, 3), "lr must be a finite number ≥ 0; got nan at step 3"),
    (lambda: s.rate_at(math.inf, 3), "lr must be a finite number ≥ 0; got inf at step 3"),
    (lambda: s.example("sine"), "name must be one of cosine, "),
    (lambda: s.reduce_on_plateau(-1), "rate must be a finite number ≥ 0; got -1"),
    (lambda: s.reduce_on_plateau(factor=1), "factor must be a number in (0, 1); got 1"),
    (lambda: s.reduce_on_plateau(mode="least"), "mode must be 'min' or 'max'; got 'least'"),
    (lambda: s.reduce_on_plateau(patience=-1), "patience must be an integer ≥ 0; got -1"),
]

OF_ANOTHER_KIND = [
    (lambda: s.constant("0.1"), "rate must be a finite number ≥ 0; got '0.1'"),  # pyright: ignore
    (lambda: s.constant(True), "rate must be a finite number ≥ 0; got True"),
    (lambda: s.cosine(10.0), "steps must be an integer ≥ 0; got 10.0"),  # pyright: ignore
    (lambda: s.cosine(True), "steps must be an integer ≥ 0; got True"),
    (lambda: s.multi_factor(15), "milestones must be increasing integers ≥ 0; got 15"),  # pyright: ignore
    (lambda: s.multi_factor([1.5]), "milestones must be increasing integers ≥ 0; got [1.5]"),  # pyright: ignore
    (lambda: s.linear(5)(1.0), "step must be an integer ≥ 0; got 1.0"),
    (lambda: s.linear(5)(math.nan), "step must be an integer ≥ 0; got nan"),
    (lambda: s.linear(5)(np.float64(1.5)), "step must be an integer ≥ 0; got"),
    (lambda: s.linear(5)("1"), "step must be an integer ≥ 0; got '1'"),
    (lambda: s.linear(5)(np.array([1.0])), "step must be an array of integers ≥ 0; got one of float64"),
    (lambda: s.linear(5)(np.array([True])), "step must be an array of integers ≥ 0; got one of bool"),
    (lambda: s.linear(5).then(0.1), "next must be a schedule; got 0.1"),  # pyright: ignore
    (lambda: s.linear(5) * "2", "unsupported operand|can't multiply"),  # pyright: ignore
    (lambda: s.linear(5) * s.linear(5), "unsupported operand"),  # pyright: ignore
    (lambda: s.linear(5) * (1 + 0j), "unsupported operand"),  # pyright: ignore
    (lambda: np.ones(2) * s.linear(5), "unsupported operand"),  # pyright: ignore
]


@pytest.mark.parametrize(("make", "message"), OUT_OF_DOMAIN, ids=[message for _, message in OUT_OF_DOMAIN])
def test_out_of_domain(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(("make", "message"), OF_ANOTHER_KIND, ids=[message for _, message in OF_ANOTHER_KIND])
def test_of_another_kind(make, message):
    pattern = message if message.startswith("unsupported") else re.escape(message)
    with pytest.raises(TypeError, match=pattern):
        make()


def test_zero_and_one_are_flags():
    assert s.one_cycle(100, three_phase=np.int64(1)) == s.one_cycle(100, three_phase=True)  # pyright: ignore
    assert "three_phase=False" in repr(s.one_cycle(100))


def test_rate_at_takes_numbers_schedules_and_functions():
    assert s.rate_at(0, 7) == 0.0
    assert s.rate_at(s.linear(10), 7) == s.linear(10)(7)
    assert s.rate_at(lambda k: np.float32(k), 7) == 7.0
    assert type(s.rate_at(lambda k: np.float32(k), 7)) is float


def test_a_bad_argument_of_a_function_is_named_as_its_caller_knows_it():
    with pytest.raises(ValueError, match="start must be"):
        s.warmup(10, 0.1, -0.1)


@pytest.mark.parametrize("value", ["a", None, 1j, [1.0, 2.0]])
def test_a_rate_that_is_no_number_is_refused_with_its_step(value: object) -> None:
    with pytest.raises(TypeError, match=r"lr must be a finite number ≥ 0; got .* at step 3"):
        s.rate_at(lambda k: value, 3)
