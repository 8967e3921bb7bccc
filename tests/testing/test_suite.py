"""The suite fails what is wrong: rules, doors and engines; each at the test that is meant for it."""

import pytest

from stepwell.kernels import cache

KEPT = cache.folder()  # before a test has a home of its own

HEAD = """
import numpy as np
import pytest
from stepwell import rules
from stepwell.kernels import interpret
from stepwell.rule import Decay, Rate, Real, log, rule, sqrt, where
from stepwell.testing import RuleTestCase, doors, engines

@rule
def own(g, v, *, lr: Rate = 0.1, beta: Decay = 0.9):
    v = beta * v + g
    return lr * v, v
"""

SUITE = """
class TestOwn(RuleTestCase):
    rule = own
    doors = ["numpy"]
"""


class Runner:
    """Runs a test module as a user does, and gives the names of the tests that failed; `text` is what was printed."""

    def __init__(self, pytester):
        self.pytester, self.text = pytester, ""

    def __call__(self, code, suite=SUITE):
        self.pytester.makepyfile(HEAD + code + suite)
        options = ("-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:xdist")
        result = self.pytester.runpytest_subprocess(*options)
        self.text = result.stdout.str()
        outcomes = result.parseoutcomes()
        assert outcomes.get("errors", 0) == 0, self.text
        assert outcomes["passed"] > 0
        failures = [line.split("::")[2] for line in result.outlines if line.startswith("FAILED")]
        return {failure.partition("[")[0].split()[0] for failure in failures}  # CI=true appends the message


@pytest.fixture
def failed(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("STEPWELL_CACHE", str(KEPT))
    return Runner(pytester)


def test_a_right_rule_passes(failed):
    assert failed("") == set()
    assert "skipped" not in failed.text


def test_a_rule_with_a_memory_of_its_own_fails(failed):
    code = """
calls = []

@rule
def own(g, *, lr: Rate = 0.1):
    calls.append(1)
    return lr * g * len(calls)
"""
    assert {"test_the_rule_is_pure", "test_the_trace_is_the_formula"} <= failed(code)
    assert "called again with the same, it returns something else" in failed.text


def test_a_rule_that_is_another_for_symbols_fails(failed):
    code = """
@rule
def own(g, *, lr: Rate = 0.1):
    return lr * g * (2.0 if isinstance(g, np.ndarray) else 1.0)
"""
    found = failed(code)
    assert {"test_the_trace_is_the_formula", "test_the_engine_is_the_reference"} <= found
    assert "test_the_rule_is_pure" not in found


def test_a_rule_that_never_moves_fails(failed):
    code = """
@rule
def own(g, v, *, lr: Rate = 0.1):
    return 0.0 * lr * v, v + g
"""
    assert failed(code) == {"test_wrong_rules_are_rejected"}
    assert "own never moves a parameter" in failed.text


def test_a_rule_that_leaves_the_numbers_fails(failed):
    code = """
@rule
def own(g, *, lr: Rate = 0.1):
    return lr * log(g)
"""
    assert "test_the_engine_is_the_reference" in failed(code)
    assert "the rule itself leaves the finite numbers; give `hyper`" in failed.text


BRANCHING = """
@rule
def own(g, v, t, *, lr: Rate = 0.1):
    v = 0.9 * v + g
    return lr * where(t > 100, v, g), v
"""


def test_a_branch_that_no_comparison_reaches_is_told(failed):
    assert failed(BRANCHING) == {"test_wrong_rules_are_rejected"}
    assert "t > 100 with >=" in failed.text
    assert failed(BRANCHING, SUITE + "    ages = [0, 80, 1000]\n") == set()


@pytest.mark.parametrize(
    "wrong",
    [
        "None",  # an optimizer that does nothing
        "self.optimizer.step({'w': None if g['w'] is None else 1.001 * g['w']})",
        "self.optimizer.step({'w': np.zeros((7, 5), self.arrays()['w'].dtype) if g['w'] is None else g['w']})",
    ],
    ids=["does nothing", "rounds", "takes None for 0"],
)
def test_a_broken_door_fails(failed, wrong):
    code = f"""
@pytest.fixture(autouse=True)
def broken(monkeypatch):
    monkeypatch.setattr(doors.DOORS["numpy"], "step", lambda self, g: {wrong})
"""
    assert "test_the_door_is_the_reference" in failed(code)
    assert "[defaults-float32-numpy]" in failed.text


def test_a_door_that_forgets_its_state_fails(failed):
    code = """
@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    monkeypatch.setattr(doors.DOORS["numpy"], "restore", lambda self, saved: None)
    monkeypatch.setattr(doors.DOORS["numpy"], "load", lambda self, path, names=None: None)
"""
    assert failed(code) == {"test_training_goes_on_from_saved_state", "test_training_goes_on_from_a_checkpoint"}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("eager", "lambda trial: (x for x in [{'p': trial.start}] * trial.steps)"),
        ("kernel", "lambda trial: ({**x, 'v': 2 * x['v']} for x in engines.by_eager(trial))"),
        ("interpreter", "lambda trial: engines.by_eager(doors_replace(trial, age=trial.age + 1))"),
    ],
)
def test_a_broken_engine_fails(failed, name, wrong):
    """One that does nothing, one whose state is off; for a rule with a clock, one that is a step ahead."""
    code = f"""
from dataclasses import replace as doors_replace

@rule
def own(g, v, t, *, lr: Rate = 0.1):
    v = 0.9 * v + g
    return lr * v / t, v

@pytest.fixture(autouse=True)
def broken(monkeypatch):
    monkeypatch.setitem(engines.ENGINES, {name!r}, {wrong})
"""
    assert failed(code) == {"test_the_engine_is_the_reference"}


@pytest.mark.parametrize("mode", ["lazy", "exact"])
def test_rows_of_the_other_mode_fail(failed, mode):
    code = f"""
from dataclasses import replace
from stepwell.testing import case

@pytest.fixture(autouse=True)
def confused(monkeypatch):
    other = lambda trial: engines.by_rows(replace(trial, sparse={mode!r}))
    monkeypatch.setattr(case, "by_rows", other)
"""
    assert failed(code) == {"test_rows_are_the_reference"}
    assert f"-{mode}]" not in "".join(x for x in failed.text.splitlines() if x.startswith("FAILED"))


def test_comparisons_that_are_too_wide_fail(failed):
    """Limits under which wrong rules pass are found out by the wrong rules."""
    assert failed("", SUITE + "    limits = {'float32': 10.0, 'float64': 10.0}\n") == {"test_wrong_rules_are_rejected"}


def test_a_setting_outside_its_domain_is_refused(pytester):
    pytester.makepyfile(HEAD + SUITE + "    hyper = [{'beta': 1.5}]\n")
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    result.stdout.fnmatch_lines(["*beta must be a number in [[]0, 1[)]; got 1.5*"])
    pytester.makepyfile(HEAD + "class TestNone(RuleTestCase):\n    pass\n")
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    result.stdout.fnmatch_lines(["*TestNone.rule must be made by @stepwell.rule.rule; got None*"])
