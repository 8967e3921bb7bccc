"""The signature is the declaration: what a rule says of itself, takes, and leaves as it was."""

import copy
import fractions
import inspect
import math
import pickle
import re
import sys
import types
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stepwell import rules
from stepwell.domain import domain_of
from stepwell.kernels import STAGE_SCALARS
from stepwell.rule import RESERVED, Decay, NonNegative, Positive, Rate, Real, Rule, Share, rule, where


def words_of(annotation: Any) -> str:
    domain = domain_of(annotation)
    assert domain is not None
    return domain.words


EVERY_RULE = list(rules.named.values())
INSIDE = {
    Real: (-2, 0, 1.5),
    Rate: (0, 3.0),
    NonNegative: (0.0, 7),
    Positive: (1e-300, 2),
    Decay: (0, 0.999),
    Share: (0, 1),
}
OUTSIDE = {
    Real: (),
    Rate: (-1e-9,),
    NonNegative: (-5,),
    Positive: (0, -0.0, -1),
    Decay: (1, -0.1),
    Share: (1.001, -0.1),
}
NUMBERLESS = ["0.1", None, True, np.True_, 1j, [0.1], np.array("0.1"), np.array([1.0, 2.0]), 10**400]


@rule(start={"s": "first", "n": 2})
def sample(p, g, s, n, t, *, lr: Rate, beta: Decay = 0.5, first: NonNegative = 0.25):
    """A rule of the tests.

    Nobody (2000). <https://example.org/sample>
    """
    s = beta * s + g
    return lr * s * t + p, s, n + g


def with_domain(domain: Any) -> Rule:
    def scaled(g, *, value: domain = 0.5):  # type: ignore[no-untyped-def]
        return value * g

    return rule(scaled)


def test_the_signature_is_the_declaration():
    assert sample.name == sample.__name__ == "sample"
    assert sample.arguments == ("p", "g", "s", "n", "t")
    assert sample.state == ("s", "n")
    assert sample.reads_parameter
    assert sample.reads_time
    assert not rules.momentum.reads_parameter
    assert not rules.momentum.reads_time
    assert {h.name: h.default for h in sample.hyperparameters.values()} == {"lr": None, "beta": 0.5, "first": 0.25}
    assert sample.start == {"s": "first", "n": 2}
    assert (sample.start_of("s", {"first": 0.75}), sample.start_of("n", {})) == (0.75, 2.0)
    assert (sample.summary, sample.reference) == ("A rule of the tests.", "https://example.org/sample")
    assert inspect.signature(sample) == inspect.signature(sample.formula)
    assert repr(sample) == "<rule sample(p, g, s, n, t, *, lr, beta=0.5, first=0.25)>"


def test_a_rule_without_words_has_neither_summary_nor_reference():
    bare = rule(lambda g: g)
    assert (bare.summary, bare.reference, bare.hyperparameters) == ("", "", {})
    assert repr(bare) == "<rule <lambda>(g)>"


def test_a_call_is_the_formula():
    step, s, n = sample(1.0, 2.0, 3.0, 4.0, 5, lr=0.5, beta=0.5)
    assert (step, s, n) == (0.5 * 3.5 * 5 + 1, 3.5, 6.0)
    assert rules.gradient_descent(3.0, lr=0.5) == (1.5,)  # one value is a tuple of one


def test_complete_fills_in_defaults():
    assert sample.complete({"lr": 1}) == {"lr": 1.0, "beta": 0.5, "first": 0.25}
    assert sample.complete({"lr": 0, "beta": 0.25})["beta"] == 0.25


@pytest.mark.parametrize("domain", INSIDE, ids=words_of)
def test_a_domain_takes_what_lies_in_it(domain):
    fits = with_domain(domain)
    for value in INSIDE[domain]:
        for given_as in (value, np.float64(value), np.array(value), np.array([value]), fractions.Fraction(value)):
            (found,) = fits.complete({"value": given_as}).values()
            assert type(found) is float
            assert found == value


@pytest.mark.parametrize("domain", OUTSIDE, ids=words_of)
def test_a_domain_refuses_what_lies_outside(domain):
    words = words_of(domain)
    for value in (*OUTSIDE[domain], math.nan, math.inf, -math.inf, np.float32(np.nan)):
        with pytest.raises(ValueError, match=re.escape(f"value must be {words}; got {value!r}")):
            with_domain(domain).complete({"value": value})


@pytest.mark.parametrize("value", NUMBERLESS, ids=repr)
def test_what_is_no_number_is_refused_by_name(value):
    with pytest.raises(TypeError) as error:
        sample.complete({"lr": 1, "beta": value})
    assert str(error.value) == f"beta must be a number in [0, 1); got {value!r}"


def test_unknown_and_missing_hyperparameters_are_named():
    with pytest.raises(TypeError, match=r"sample has no hyperparameter 'betta'; it has lr, beta, first"):
        sample.complete({"lr": 1, "betta": 0.5})
    with pytest.raises(TypeError, match=r"sample needs the hyperparameter 'lr', a finite number ≥ 0"):
        sample.complete({"beta": 0.5})


def test_names_that_the_engines_use_are_reserved():
    assert {*STAGE_SCALARS.values(), "ema", "step"} <= RESERVED


def test_annotations_may_be_strings():
    source = (
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "from stepwell.rule import Decay, rule\n"
        "if TYPE_CHECKING:\n    from elsewhere import Array\n"
        "@rule\n"
        "def leaky(g: Array, m: Array, *, beta: Decay = 0.5, lr: float = 1) -> tuple[Array, ...]:\n"
        "    return lr * g, beta * m\n"
    )
    module = types.ModuleType("a_module_of_a_user")
    exec(source, module.__dict__)
    assert module.leaky.hyperparameters["beta"].domain is domain_of(Decay)
    with pytest.raises(ValueError, match=r"beta must be a number in \[0, 1\); got 1"):
        module.leaky.complete({"beta": 1})


def test_a_rule_may_be_a_closure_and_call_helpers_and_rules():
    half = 0.5

    def halved(x):
        return half * x

    @rule
    def slower(g, v, *, lr: Rate = 1, beta: Decay = 0.5):
        step, v = rules.momentum(g, v, lr=halved(lr), beta=beta)
        return step, v

    assert slower(2.0, 1.0, lr=1.0, beta=0.5) == (1.25, 2.5)


@pytest.mark.parametrize("given_rule", [*EVERY_RULE, sample], ids=lambda r: r.name)
def test_rules_are_themselves_after_pickling_and_copying(given_rule, monkeypatch):
    monkeypatch.setitem(sys.modules, sample.__module__, sys.modules[__name__])
    assert pickle.loads(pickle.dumps(given_rule)) is given_rule
    assert copy.deepcopy({"rule": given_rule})["rule"] is given_rule
    assert copy.copy(given_rule) is given_rule


def values(count: int) -> st.SearchStrategy[list[np.ndarray]]:
    finite = st.floats(-1e3, 1e3, width=32)
    return st.lists(arrays.arrays(np.float32, (3,), elements=finite), min_size=count, max_size=count)


@pytest.mark.parametrize("given_rule", EVERY_RULE, ids=lambda r: r.name)
@settings(max_examples=20)
@given(data=st.data())
def test_a_call_mutates_nothing_and_aliases_nothing(given_rule, data):
    names = [a for a in given_rule.arguments if a != "t"]
    given_arrays = dict(zip(names, data.draw(values(len(names))), strict=True))
    before = {name: array.tobytes() for name, array in given_arrays.items()}
    for array in given_arrays.values():
        array.flags.writeable = False
    hyper = given_rule.complete({h.name: 0.125 for h in given_rule.hyperparameters.values() if h.default is None})
    bound = {**given_arrays, "t": data.draw(st.integers(1, 20))}
    with np.errstate(all="ignore"):
        results, again = (given_rule.bind(bound, hyper) for _ in range(2))
    assert {name: array.tobytes() for name, array in given_arrays.items()} == before
    for k, result in enumerate(results):
        np.testing.assert_array_equal(result, again[k])
        for other in (*given_arrays.values(), *results[:k]):
            assert not np.shares_memory(result, other)


def test_what_a_branch_on_t_returns_is_a_new_array():
    @rule
    def first_is_g(g, v, t):
        v = where(t > 1, v, g)
        return v, v

    g, v = np.ones(3), np.zeros(3)
    step, new = first_is_g(g, v, 1)
    np.testing.assert_array_equal([step, new], [g, g])
    assert not any(np.shares_memory(a, b) for a, b in ((step, g), (new, g), (step, new)))
