"""Wrong rules made from right ones are wrong, each in its own way, and rules all the same."""

import numpy as np
import pytest

from stepwell import rules
from stepwell.kernels import Stages, cpu
from stepwell.testing import mutants


def test_the_mutants_of_momentum_are_these():
    wrong = {mutant.what: mutant.rule(3.0, 2.0, lr=0.5, beta=0.25) for mutant in mutants(rules.momentum)}
    assert rules.momentum(3.0, 2.0, lr=0.5, beta=0.25) == (1.75, 3.5)
    assert wrong == {
        "lr * … + g without lr": (3.5, 3.5),
        "lr * … + g without beta * v + g": (0.5, 3.5),
        "beta * v + g without g": (0.25, 0.5),
        "beta * v + g without beta * v": (1.5, 3.0),
        "beta * v + g with -": (-1.25, -2.5),
        "beta * v without v": (1.625, 3.25),
        "beta * v without beta": (2.5, 5.0),
        "lr halved": (0.875, 3.5),
        "beta halved": (1.625, 3.25),
        "lr and beta exchanged": (1.0, 4.0),
        "no step": (0.0, 3.5),
        "a step uphill": (-1.75, 3.5),
        "v is never updated": (1.75, 2.0),
        "the step reads v before its update": (1.0, 3.5),
    }


@pytest.mark.parametrize(
    "words",
    [
        "t a step ahead", "t a step behind", "as a minimum", "always the first", "always the second", "with >=",
        "without its sqrt", "without its sign", "without its row_mean", "1 + 1 for a 1", "2 + 1 for a 2", "exchanged",
    ],
)  # fmt: skip
def test_every_kind_of_slip_is_made(words):
    assert any(words in mutant.what for rule in rules.named.values() for mutant in mutants(rule))


@pytest.mark.parametrize("name", ["nadam", "radam", "adagrad_rowwise", "yogi"])
def test_mutants_are_rules_of_the_same_signature(name):
    right = rules.named[name]
    for mutant in mutants(right):
        assert mutant.rule.arguments == right.arguments
        assert mutant.rule.complete({}) == right.complete({})
        assert mutant.rule.start == right.start
        assert cpu.program(mutant.rule, Stages()).arrays[:2] == ("p", "g")


def test_a_formula_is_replaced_wherever_it_is_used():
    """Adam's m is in the step and is state: dropping its last term changes both."""
    (mutant,) = (each for each in mutants(rules.adam) if each.what == "beta1 * m + … * g without beta1 * m")
    step, m, v = mutant.rule(np.float64(1.0), 5.0, 1.0, 1, lr=1.0, beta1=0.5, beta2=0.5, eps=0.0)
    assert (step, m, v) == (1.0 / np.sqrt(2), 0.5, 1.0)
