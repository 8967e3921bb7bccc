"""Every option of torch.optim's constructors, with the values that tests give it; derived from the signatures."""

import inspect
from typing import Any

import pytest
import torch

NAMES = ("SGD", "Adagrad", "RMSprop", "Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam")


def number(x: float) -> torch.Tensor:
    """A hyperparameter as a tensor."""
    return torch.tensor(x, dtype=torch.float64)


# Values other than the default. An option of torch's that is missing here stops the collection of the tests.
VALUES: dict[str, tuple[Any, ...]] = {
    "lr": (0.03, number(0.03)),
    "weight_decay": (0.1,),
    "momentum": (0.9,),
    "dampening": (0.3, -0.2),
    "nesterov": (True,),
    "lr_decay": (0.1,),
    "initial_accumulator_value": (0.5,),
    "eps": (1e-3,),
    "alpha": (0.9, 0.0),
    "centered": (True,),
    "rho": (0.5, 0.0),
    "betas": ((0.8, 0.95), (0.0, 0.99), (0.9, 0.6)),
    "amsgrad": (True,),
    "momentum_decay": (0.1, 0.0),
    "decoupled_weight_decay": (True,),
    "maximize": (True,),
}
ENGINES = ("foreach", "fused")  # accepted, and change nothing
REFUSED = ("capturable", "differentiable")
MORE: dict[tuple[str, str], tuple[Any, ...]] = {
    **{(name, "eps"): (0.0,) for name in NAMES if name not in ("SGD", "Adadelta")},  # Adadelta rests without
    ("SGD", "weight_decay"): (number(0.1),),
    ("Adam", "betas"): ((number(0.8), number(0.95)),),
    ("AdamW", "betas"): ((number(0.8), number(0.95)),),
}
# What else must be given for an option to matter, or to be allowed.
WITH: dict[str, dict[str, Any]] = {
    "dampening": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9},
    "decoupled_weight_decay": {"weight_decay": 0.1},
}


def options_of(name: str) -> dict[str, Any]:
    """The options of torch.optim's class of that name, with their defaults, but for those of its engines."""
    signature = inspect.signature(getattr(torch.optim, name))
    hidden = ("params", *ENGINES, *REFUSED)
    return {option: p.default for option, p in signature.parameters.items() if option not in hidden}


def values_of(name: str, option: str) -> tuple[Any, ...]:
    """The values to try for an option beside its default."""
    return VALUES[option] + MORE.get((name, option), ())


def rich(name: str) -> dict[str, Any]:
    """Options under which an optimizer has all of its state."""
    wanted = {"momentum": 0.9, "centered": True, "amsgrad": True, "weight_decay": 0.1}
    return {option: value for option, value in wanted.items() if option in options_of(name)}


def cases_of(name: str) -> list[dict[str, Any]]:
    """The defaults, each option on its own, and all options together."""
    options = options_of(name)
    each = [WITH.get(option, {}) | {option: value} for option in options for value in values_of(name, option)]
    together = {option: values_of(name, option)[0] for option in options}
    if name == "SGD":
        return [{}, *each, together | {"dampening": 0}, together | {"nesterov": False}]
    return [{}, *each, together]


def every_case() -> list[Any]:
    """All optimizers with all their cases, as parameters with readable ids."""
    return [
        pytest.param(name, case, id=f"{name}({', '.join(f'{k}={words(v)}' for k, v in case.items())})")
        for name in NAMES
        for case in cases_of(name)
    ]


def words(value: Any) -> str:
    """A value as an id shows it."""
    if isinstance(value, tuple):
        return f"({', '.join(map(words, value))})"
    return f"tensor({value.item()})" if isinstance(value, torch.Tensor) else repr(value)
