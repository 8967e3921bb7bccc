"""The comparisons must reject every wrong rule that is kept here, and a step that surrounds a right rule wrongly."""

from collections.abc import Callable
from typing import Any

import pytest

from stepwell import rules
from stepwell.kernels import Stages, cpu, trace
from stepwell.rule import Rule
from tests.kernels.harness import EVERY_STAGE, SMALL, Work, assert_same, by_kernel, by_reference
from tests.kernels.mutants import MUTANTS, mutant
from tests.rules.oracles import assert_follows
from tests.rules.test_every_rule import oracle_of


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_kernel_is_rejected(name):
    """In float32, whose tolerance is the widest."""
    work = Work(MUTANTS[name][0], sizes=SMALL)
    assert_same(work, by_kernel, by_reference)
    with pytest.raises(AssertionError, match="error"):
        assert_same(work, lambda work: by_kernel(work, rule=mutant(name)), by_reference)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_formula_is_rejected(name):
    right, _ = MUTANTS[name]
    wrong = mutant(name)
    wrong.hyperparameters = right.hyperparameters  # the same defaults
    with pytest.raises(AssertionError, match="parts from its formula"):
        assert_follows(wrong, *oracle_of(right))


def wrong_step(order: str) -> Callable[..., Any]:
    """`stages.whole_step` with one thing wrong."""

    def whole_step(rule: Rule, stages: Stages) -> Callable[..., Any]:
        def step(arrays: Any, scalars: Any) -> Any:
            p, g = arrays["p"], arrays["g"]
            scale, decay, average = (scalars[name] for name in ("grad_scale", "l2_decay", "ema_decay"))
            g = {"scale after decay": scale * (g + decay * p), "no scale": g + decay * p, "no decay": scale * g}.get(
                order, scale * g + decay * p
            )
            change, *state = rule.bind({**arrays, "g": g}, scalars)
            new = {"p": p - change, **dict(zip(rule.state, state, strict=True))}
            averaged = p if order == "average of the old" else new["p"]
            new["ema"] = average * arrays["ema"] + (1 - average) * averaged
            return new

        return step

    return whole_step


@pytest.mark.parametrize("order", ["scale after decay", "no scale", "no decay", "average of the old", "right"])
def test_wrong_surroundings_are_rejected(order, monkeypatch):
    work = Work(rules.momentum, EVERY_STAGE, sizes=SMALL)
    monkeypatch.setattr(trace, "whole_step", wrong_step(order))
    monkeypatch.setattr(cpu, "program", cpu.program.__wrapped__)  # which would remember the right one
    found = lambda work: by_kernel(work, make=cpu.kernel.__wrapped__)  # noqa: E731
    if order == "right":
        assert_same(work, found, by_reference)
    else:
        with pytest.raises(AssertionError, match="error"):
            assert_same(work, found, by_reference)


def test_there_is_a_mutant_in_every_family():
    with_one = {right.__module__ for right, _ in MUTANTS.values()}
    assert with_one == {rule.__module__ for rule in rules.algorithms.values()}
