"""What is refused: a clear error that names the argument, the value and the domain, and nothing has changed."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import stepwell.torch as door
from stepwell import rules
from tests.torch.harness import SMALL, gradient, parameters

NAN, INF = math.nan, math.inf
REAL = "a finite number"
OPTIONS: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("Adam", {"lr": -0.1}, ValueError, f"lr must be {REAL} ≥ 0; got -0.1"),
    ("Adam", {"lr": NAN}, ValueError, f"lr must be {REAL} ≥ 0; got nan"),
    ("Adam", {"lr": INF}, ValueError, f"lr must be {REAL} ≥ 0; got inf"),
    ("Adam", {"lr": "fast"}, TypeError, f"lr must be {REAL} ≥ 0; got 'fast'"),
    ("Adam", {"lr": None}, TypeError, f"lr must be {REAL} ≥ 0; got None"),
    ("Adam", {"lr": torch.ones(2)}, TypeError, f"lr must be {REAL} ≥ 0; got tensor([1., 1.])"),
    ("Adam", {"lr": torch.tensor(-1.0)}, ValueError, f"lr must be {REAL} ≥ 0; got tensor(-1.)"),
    ("SGD", {"lr": -1}, ValueError, f"lr must be {REAL} ≥ 0; got -1"),
    ("SGD", {"momentum": 1.0}, ValueError, "momentum must be a number in [0, 1); got 1.0"),
    ("SGD", {"momentum": -0.1}, ValueError, "momentum must be a number in [0, 1); got -0.1"),
    ("SGD", {"momentum": NAN}, ValueError, "momentum must be a number in [0, 1); got nan"),
    ("SGD", {"momentum": 0.9, "dampening": INF}, ValueError, f"dampening must be {REAL}; got inf"),
    ("SGD", {"weight_decay": -0.1}, ValueError, f"weight_decay must be {REAL} ≥ 0; got -0.1"),
    ("SGD", {"nesterov": True}, ValueError, "nesterov=True needs momentum > 0 and dampening = 0; got momentum=0"),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, ValueError, "got momentum=0.9, dampening=0.1"),
    ("Adam", {"betas": (1.0, 0.999)}, ValueError, "betas[0] must be a number in [0, 1); got 1.0"),
    ("Adam", {"betas": (0.9, -0.1)}, ValueError, "betas[1] must be a number in [0, 1); got -0.1"),
    ("Adam", {"betas": (0.9, NAN)}, ValueError, "betas[1] must be a number in [0, 1); got nan"),
    ("Adam", {"betas": (0.9,)}, TypeError, "betas must be a pair of numbers; got (0.9,)"),
    ("Adam", {"betas": (0.9, 0.99, 0.999)}, TypeError, "betas must be a pair of numbers; got (0.9, 0.99, 0.999)"),
    ("Adam", {"betas": 0.9}, TypeError, "betas must be a pair of numbers; got 0.9"),
    ("Adam", {"betas": "ab"}, TypeError, "betas must be a pair of numbers; got 'ab'"),
    ("Adam", {"betas": ("a", 0.9)}, TypeError, "betas[0] must be a number in [0, 1); got 'a'"),
    ("Adam", {"eps": -1e-8}, ValueError, f"eps must be {REAL} ≥ 0; got -1e-08"),
    ("Adam", {"eps": NAN}, ValueError, f"eps must be {REAL} ≥ 0; got nan"),
    ("Adam", {"weight_decay": -1}, ValueError, f"weight_decay must be {REAL} ≥ 0; got -1"),
    ("AdamW", {"weight_decay": NAN}, ValueError, f"weight_decay must be {REAL} ≥ 0; got nan"),
    ("Adagrad", {"lr_decay": -0.1}, ValueError, f"lr_decay must be {REAL} ≥ 0; got -0.1"),
    ("Adagrad", {"initial_accumulator_value": -1}, ValueError, "initial_accumulator_value must be"),
    ("RMSprop", {"alpha": 1.5}, ValueError, "alpha must be a number in [0, 1]; got 1.5"),
    ("RMSprop", {"momentum": -0.5}, ValueError, "momentum must be a number in [0, 1); got -0.5"),
    ("Adadelta", {"rho": 1.1}, ValueError, "rho must be a number in [0, 1]; got 1.1"),
    ("NAdam", {"momentum_decay": -1.0}, ValueError, f"momentum_decay must be {REAL} ≥ 0; got -1.0"),
    ("Adam", {"clip_norm": 0.0}, ValueError, f"clip_norm must be {REAL} > 0; got 0.0"),
    ("Adam", {"clip_norm": NAN}, ValueError, f"clip_norm must be {REAL} > 0; got nan"),
    ("Adam", {"clip_norm": "1"}, TypeError, f"clip_norm must be {REAL} > 0; got '1'"),
    ("Adam", {"ema": 1.0}, ValueError, "ema must be a number in [0, 1); got 1.0"),
    ("Adam", {"ema": -0.1}, ValueError, "ema must be a number in [0, 1); got -0.1"),
    ("Adam", {"sparse": "other"}, ValueError, "sparse must be 'lazy' or 'exact'; got 'other'"),
    ("Adam", {"sparse": True}, ValueError, "sparse must be 'lazy' or 'exact'; got True"),
    ("Adam", {"momentum": 0.9}, TypeError, "Adam has no option 'momentum'"),
    ("Adam", {"learning_rate": 0.1}, TypeError, "Adam has no option 'learning_rate'"),
    ("Lion", {"beta1": 1.0}, ValueError, "beta1 must be a number in [0, 1); got 1.0"),
    ("Yogi", {"initial_accumulator": -1.0}, ValueError, f"initial_accumulator must be {REAL} ≥ 0; got -1.0"),
    ("Lion", {"betas": (0.9, 0.99)}, TypeError, "got an unexpected keyword argument 'betas'"),
]
IDS = [f"{name}({', '.join(f'{k}={v!r}' for k, v in options.items())})" for name, options, _, _ in OPTIONS]


@pytest.mark.parametrize(("name", "options", "error", "said"), OPTIONS, ids=IDS)
def test_an_option_outside_its_domain(name: str, options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        getattr(door, name)(parameters(SMALL, torch.float32), **options)
    assert said in str(caught.value)


@pytest.mark.parametrize(("name", "options", "error", "said"), OPTIONS, ids=IDS)
def test_the_same_option_of_a_group(name: str, options: dict[str, Any], error: type[Exception], said: str) -> None:
    if {"clip_norm", "ema", "sparse"} & set(options):
        error, said = TypeError, f"has no option {next(iter(options))!r}"
    elif name == "Lion" and "betas" in options:
        error, said = TypeError, "has no option 'betas'"
    elif options == {"nesterov": True}:
        return  # torch lets a group of a Nesterov optimizer go without momentum
    optimizer = getattr(door, name)(parameters(SMALL, torch.float32))
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(error) as caught:
        optimizer.add_param_group({"params": parameters((2,), torch.float32), **options})
    assert said in str(caught.value)
    assert str(optimizer.state_dict()) == str(before)


def p(size: int = 3) -> Tensor:
    return torch.zeros(size, requires_grad=True)


SAME = p()
PARAMS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a tensor": (p, TypeError, "params argument given to the optimizer should be an iterable of Tensors or dicts"),
    "empty": (lambda: [], ValueError, "optimizer got an empty parameter list"),
    "twice in a group": (lambda: [SAME, p(), SAME], ValueError, "params[2] is given twice in one parameter group"),
    "twice in two groups": (
        lambda: [{"params": [SAME]}, {"params": [SAME]}],
        ValueError,
        "some parameters appear in more than one parameter group",
    ),
    "a set": (lambda: [{"params": {SAME}}], TypeError, "the ordering of tensors in sets will change"),
    "not a leaf": (lambda: [p() * 2], ValueError, "can't optimize a non-leaf Tensor"),
    "not a tensor": (lambda: [1.0], TypeError, "optimizer can only optimize Tensors"),
    "a group without params": (lambda: [{"lr": 0.1}], (KeyError, ValueError, TypeError), "params"),  # pyright: ignore
    "a number": (lambda: 3, TypeError, "not iterable"),
}


@pytest.mark.parametrize("name", ["Adam", "Adagrad", "Lion"])
@pytest.mark.parametrize("case", PARAMS)
def test_params_that_are_none(case: str, name: str) -> None:
    params, error, said = PARAMS[case]
    with pytest.raises(error) as caught:
        getattr(door, name)(params())
    assert said in str(caught.value)


def test_the_base_class_is_not_an_optimizer() -> None:
    with pytest.raises(TypeError, match=r"Optimizer is a base; use one of stepwell\.torch's optimizers, or from_rule"):
        door.Optimizer([p()], {"lr": 0.1, "weight_decay": 0.0, "maximize": False})


@pytest.mark.parametrize("what", [lambda g: g, "adam", None, rules.adam.formula])
def test_from_rule_takes_rules_alone(what: Any) -> None:
    with pytest.raises(TypeError, match=r"^rule must be made by @stepwell.rule.rule; got"):
        door.from_rule(what)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"'stepwell\.torch' has no attribute 'Adan'"):
        door.Adan  # noqa: B018


# --- gradients


def misshapen(q: Tensor) -> None:
    q.grad = torch.ones(3)
    q.data = torch.zeros(2)


def mistyped(q: Tensor) -> None:
    q.grad = torch.ones(3)
    q.data = torch.zeros(3, dtype=torch.float64)


GRADIENTS: dict[str, tuple[Callable[[Tensor], None], type[Exception], str]] = {
    "shape": (misshapen, ValueError, "a gradient has shape (3,); its parameter has (2,)"),
    "dtype": (mistyped, TypeError, "a gradient has dtype torch.float32; its parameter has torch.float64"),
}


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("case", GRADIENTS)
def test_a_gradient_that_does_not_belong_to_its_parameter(case: str, steps: int) -> None:
    spoil, error, said = GRADIENTS[case]
    ps = parameters((5, 3), torch.float32)
    optimizer = door.Adam(ps)
    for step in range(steps):
        for k, q in enumerate(ps):
            q.grad = gradient(q.shape, q.dtype, step, k).clone()
        optimizer.step()
    ps[0].grad = torch.ones(5)
    spoil(ps[1])
    before, packed = ps[0].detach().clone(), str(optimizer.state_dict())
    with pytest.raises(error) as caught:
        optimizer.step()
    assert said in str(caught.value)
    assert torch.equal(ps[0], before)
    assert str(optimizer.state_dict()) == packed


# --- state dicts


# Each edits a state dict, or returns another.
DAMAGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "none": (lambda d: 7, "state_dict must be a dict with the keys 'state' and 'param_groups'; got 7"),
    "empty": (lambda d: {}, "state_dict must have the keys 'state' and 'param_groups'; got []"),
    "no state": (
        lambda d: d.pop("state") and None,
        "must have the keys 'state' and 'param_groups'; got ['param_groups']",
    ),
    "more groups": (lambda d: d["param_groups"].append(d["param_groups"][0]), "state_dict has 2 parameter groups; "),
    "no groups": (lambda d: d["param_groups"].clear(), "state_dict has 0 parameter groups; the optimizer has 1"),
    "a group that is none": (lambda d: d.update(param_groups=[3]), "group 0 must be a dict with the key 'params'"),
    "fewer parameters": (lambda d: d["param_groups"][0]["params"].pop() and None, "group 0 has 2 parameters; "),
    "shape": (
        lambda d: d["state"][1].update(exp_avg=torch.zeros(2, 2)),
        "the state of parameter 1: exp_avg has shape (2, 2); the parameter has (5,)",
    ),
    "one element": (
        lambda d: d["state"][1].update(exp_avg=torch.zeros(1)),
        "the state of parameter 1: exp_avg has shape (1,); the parameter has (5,)",
    ),
    "average": (
        lambda d: d["state"][1].update(ema=torch.zeros(4)),
        "the state of parameter 1: ema has shape (4,); the parameter has (5,)",
    ),
    "missing entry": (lambda d: d["state"][1].pop("exp_avg_sq") is None or None, "parameter 1 lacks 'exp_avg_sq'"),
    "missing step": (lambda d: d["state"][1].pop("step") is None or None, "parameter 1 lacks 'step'; it has exp_avg"),
    "a list": (lambda d: d["state"].update({1: [1, 2]}), "the state of parameter 1 must be a dict; got list"),
    "a string": (lambda d: d["state"][1].update(exp_avg="x"), "parameter 1: exp_avg must be a tensor; got str"),
    "negative step": (lambda d: d["state"][1].update(step=torch.tensor(-1.0)), "parameter 1: step must be"),
    "step of NaN": (lambda d: d["state"][1].update(step=torch.tensor(NAN)), "parameter 1: step must be"),
    "step of infinity": (lambda d: d["state"][1].update(step=INF), "parameter 1: step must be"),
    "two steps": (lambda d: d["state"][1].update(step=torch.ones(2)), "parameter 1: step must be"),
    "rate": (lambda d: d["param_groups"][0].update(lr=-1.0), "lr must be a finite number ≥ 0; got -1.0"),
    "betas": (lambda d: d["param_groups"][0].update(betas=(0.9, 2.0)), "betas[1] must be a number in [0, 1); got 2.0"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_state_dict(case: str) -> None:
    change, said = DAMAGES[case]
    ps = parameters(SMALL, torch.float32)
    optimizer = door.Adam(ps)
    for k, q in enumerate(ps):
        q.grad = gradient(q.shape, q.dtype, 3, k).clone()
    optimizer.step()
    before = str(optimizer.state_dict())
    packed = copy.deepcopy(optimizer.state_dict())
    changed = change(packed)
    with pytest.raises((ValueError, TypeError)) as caught:
        optimizer.load_state_dict(packed if changed is None else changed)
    assert said in str(caught.value)
    assert str(optimizer.state_dict()) == before
    optimizer.step()


def test_a_state_dict_of_another_optimizer() -> None:
    ps = parameters(SMALL, torch.float32)
    theirs = torch.optim.RMSprop(ps)
    for q in ps:
        q.grad = torch.ones_like(q)
    theirs.step()
    with pytest.raises(ValueError, match="exp_avg"):
        door.Adam(ps).load_state_dict(theirs.state_dict())
