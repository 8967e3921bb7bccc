"""Which rule an optimizer runs: its own, or the one by which this library has the torch optimizer of that name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepwell.rule import Rule

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

DECAY, EPSILON = "weight_decay", "eps"


@dataclass(frozen=True)
class Form:
    """A group's rule, its hyperparameters, and what a parameter's state calls the rule's arrays."""

    rule: Rule
    hyper: Mapping[str, float]
    names: Mapping[str, str]

    def state(self, held: Mapping[str, Any], p: "Tensor") -> dict[str, "Tensor"]:
        """The arrays of a parameter's state, by the rule's names; where there is none yet, its start."""
        import torch

        found = {}
        for name in self.rule.state:
            start = self.rule.start[name]
            value = held.get(self.names[name])
            number = self.hyper[start] if isinstance(start, str) else start
            found[name] = torch.full_like(p, number) if value is None else torch.as_tensor(value).expand(p.shape)
        return found


def form(optimizer: "Optimizer", group: Mapping[str, Any]) -> Form | None:
    """The form of a group of an optimizer; None for one that this library does not have."""
    from torch import optim

    from stepwell import torch as door
    from stepwell.torch.contract import Contract

    kind: Any = type(optimizer)
    own: Any = optimizer
    if not isinstance(optimizer, Contract):
        named = getattr(door, kind.__name__, None)
        if getattr(optim, kind.__name__, None) is not kind or not isinstance(named, type):
            return None
        own = object.__new__(named)  # its tables alone are read
    try:
        rule, hyper = own.rule_of(group), own.hyperparameters(group)
    except (KeyError, TypeError, ValueError):  # an option of this group that the class of that name does not know
        return None
    return Form(rule, hyper, {name: own.state_names.get(name, name) for name in rule.state})


def decoupled(found: Form | None) -> bool:
    """Whether weight decay stands beside the gradient and not in it."""
    return found is not None and DECAY in found.rule.hyperparameters
