"""What holds for every rule that `stepwell.rules.named` has, so that a new one cannot be forgotten."""

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from stepwell.kernels import Stages, cpu
from stepwell.rule import Rule
from tests.rules.oracles import Oracle, assert_follows

EVERY_RULE = list(rules.named.values())


def family(rule: Rule) -> str:
    """The file that a rule lies in."""
    return rule.__module__.rpartition(".")[2]


def oracle_of(rule: Rule) -> tuple[Oracle, list[dict[str, float]]]:
    """The formula written out, in the test file of the rule's family, and the settings it is compared at."""
    return importlib.import_module(f"tests.rules.test_{family(rule)}").ORACLES[rule.name]


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda r: r.name)
def test_every_rule_is_compared_with_its_formula(rule):
    oracle, settings = oracle_of(rule)
    assert_follows(rule, oracle, settings)


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda r: r.name)
def test_the_comparison_sees_every_hyperparameter(rule):
    """Half of any of them, in the formula alone, is found out at one of the settings."""
    oracle, settings = oracle_of(rule)
    for name in rule.hyperparameters:

        def halved(*args: Any, name: str = name, **hyper: float) -> Any:
            return oracle(*args, **hyper | {name: 0.5 * hyper[name]})

        with pytest.raises(AssertionError, match="parts from its formula"):
            assert_follows(rule, halved, settings)


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda r: r.name)
def test_every_rule_says_what_it_is_and_who_found_it(rule):
    title, colon, words = rule.summary.partition(" ")
    assert title
    assert colon
    assert words.endswith(".")
    assert rule.reference.startswith("https://")
    assert any(year in rule.__doc__ for year in map(str, range(1840, 2030))) or "torch.optim" in rule.__doc__


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda r: r.name)
def test_every_rule_is_short(rule):
    tree = ast.parse(inspect.getsource(rule.formula))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert len(function.body) <= 20


def test_names_are_unique_and_in_the_order_of_the_families():
    files = [path.stem for path in Path(rules.__file__).parent.glob("*.py") if path.stem != "__init__"]
    assert sorted({family(rule) for rule in EVERY_RULE}) == sorted(files)
    assert [rule.name for rule in EVERY_RULE] == list(rules.named)
    assert list(rules.named)[: len(rules.algorithms)] == list(rules.algorithms)  # the forms come after them
    forms = [rule for rule in EVERY_RULE if rule.name not in rules.algorithms]
    assert all(rule.__module__.startswith("stepwell.rules.forms.") for rule in forms)
    order = [family(rule) for rule in rules.algorithms.values()]
    for group in (rules.algorithms.values(), forms):
        assert [family(rule) for rule in group] == sorted(map(family, group), key=order.index)
    assert order[0] == "descent"
    for name, rule in rules.named.items():
        assert getattr(rules, name) is rule


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda r: r.name)
def test_every_coordinate_is_treated_alike(rule):
    """A rule of two coordinates, or rows if it goes by them, is the rule of each: nothing is mixed up."""
    hyper = rule.complete({})
    rng = np.random.default_rng(0)
    shape = (2, 3) if cpu.program(rule, Stages()).by_rows else (2,)
    arrays = {name: rng.uniform(0.1, 0.2, shape) for name in rule.arguments if name != "t"}
    both = rule.bind({**arrays, "t": 3}, hyper)
    for k in range(2):
        one = rule.bind({name: x[k] for name, x in arrays.items()} | {"t": 3}, hyper)
        np.testing.assert_array_equal([x if np.ndim(x) == 0 else x[k] for x in both], one)
