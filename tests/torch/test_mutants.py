"""The comparison with torch is worth something: it rejects every wrong rule, and every wrong use of a right one."""

from typing import Any

import pytest
import torch

import stepwell.torch as door
from stepwell import rules
from stepwell.rule import Rule
from tests.torch import mutants
from tests.torch.harness import SMALL, Maker, assert_same_training

MOMENTUM: dict[str, Any] = {"momentum": 0.9}
WRONG: list[tuple[str, dict[str, Any], Rule]] = [
    ("SGD", {}, mutants.idle),
    ("SGD", {}, mutants.uphill),
    ("SGD", MOMENTUM, rules.gradient_descent),
    ("SGD", MOMENTUM, rules.nesterov),
    ("SGD", MOMENTUM, mutants.momentum_of_the_other_sign),
    ("SGD", MOMENTUM, mutants.momentum_as_a_mean),
    ("SGD", MOMENTUM, mutants.momentum_with_the_rate_inside),
    ("SGD", MOMENTUM | {"dampening": 0.3}, rules.momentum),
    ("SGD", MOMENTUM | {"dampening": 0.3}, mutants.dampening_from_the_first_step),
    ("SGD", MOMENTUM | {"nesterov": True}, rules.momentum),
    ("SGD", MOMENTUM | {"nesterov": True}, mutants.nesterov_of_the_old_velocity),
    ("Adagrad", {"eps": 1e-6}, rules.adagrad_eps_inside),
    ("Adagrad", {"lr_decay": 0.1}, rules.adagrad),
    ("Adagrad", {"lr_decay": 0.1}, mutants.adagrad_decayed_one_step_early),
    ("Adagrad", {"initial_accumulator_value": 0.5}, mutants.adagrad_from_zero),
    ("RMSprop", {}, rules.rmsprop_eps_inside),
    ("RMSprop", {}, mutants.rmsprop_of_the_old_square),
    ("RMSprop", {"centered": True}, mutants.rmsprop_not_centered),
    ("Adadelta", {}, mutants.adadelta_eps_outside),
    ("Adadelta", {"lr": 0.5}, mutants.adadelta_of_the_scaled_step),
    *(("Adam", {}, wrong) for wrong in mutants.ADAMS),
    ("Adam", {}, mutants.adam_of_the_old_mean),
    ("Adam", {}, mutants.eps_before_the_correction),
    ("Adam", {}, rules.radam),
    ("Adam", {"weight_decay": 0.1}, rules.adamw),
    ("Adam", {"amsgrad": True}, mutants.amsgrad_of_the_corrected),
    ("Adam", {"amsgrad": True}, mutants.amsgrad_that_forgets),
    *(("AdamW", {"weight_decay": 0.1}, wrong) for wrong in mutants.ADAMWS),
    ("Adamax", {"eps": 1e-6}, mutants.adamax_eps_after),
    ("Adamax", {}, mutants.adamax_uncorrected),
    *(("NAdam", {"momentum_decay": 0.1}, wrong) for wrong in mutants.NADAMS),
    *(("RAdam", {}, wrong) for wrong in mutants.RADAMS),
]
CASES = [
    pytest.param(name, options, wrong, id=f"{name}({', '.join(f'{k}={v}' for k, v in options.items())})-{wrong.name}")
    for name, options, wrong in WRONG
]
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def with_rule(name: str, options: dict[str, Any], rule: Rule | None) -> Maker:
    """torch's class of that name as stepwell has it, but running `rule`."""
    base = getattr(door, name)
    cls = type(name, (base,), {"rule_of": lambda self, group: rule}) if rule else base
    return lambda params: cls(params, **options)


def compare(name: str, options: dict[str, Any], mine: Maker, dtype: torch.dtype) -> None:
    assert_same_training(
        mine, lambda params: getattr(torch.optim, name)(params, **options, foreach=False), sizes=SMALL, dtype=dtype
    )


@DTYPES
@pytest.mark.parametrize(("name", "options", "wrong"), CASES)
def test_a_wrong_rule_is_rejected(name: str, options: dict[str, Any], wrong: Rule, dtype: torch.dtype) -> None:
    compare(name, options, with_rule(name, options, None), dtype)  # the right one is accepted
    with pytest.raises(AssertionError, match=r"^step \d, parameter \d of shape"):
        compare(name, options, with_rule(name, options, wrong), dtype)


def test_a_right_rule_is_accepted_through_the_same_door() -> None:
    compare("Adam", {}, with_rule("Adam", {}, rules.adam), torch.float64)


WRONG_USES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("SGD", {"maximize": True}, {}),
    ("SGD", {"weight_decay": 0.1}, {}),
    ("SGD", {"weight_decay": 0.1}, {"weight_decay": -0.0}),
    ("SGD", {"lr": 0.1}, {"lr": torch.tensor(0.1)}),  # rounded to single precision
    ("Adam", {"weight_decay": 0.1, "maximize": True}, {"weight_decay": 0.1}),
    ("Adam", {"betas": (0.8, 0.95)}, {"betas": (0.95, 0.8)}),
    ("Adam", {}, {"eps": 1.1e-8}),
    ("Adam", {}, {"amsgrad": True}),
    ("AdamW", {}, {"weight_decay": 0.0}),
    ("RMSprop", {"momentum": 0.9}, {"momentum": 0.9, "centered": True}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}, {"weight_decay": 0.1}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}, {"weight_decay": 0.1}),
]


@pytest.mark.parametrize(("name", "right", "wrong"), WRONG_USES)
def test_a_wrong_option_is_rejected(name: str, right: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match=r"^step \d, parameter \d of shape"):
        compare(name, right, with_rule(name, wrong, None), torch.float64)
