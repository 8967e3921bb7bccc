"""A torch optimizer class from any rule, the user's own too."""

import functools
import inspect
from typing import Any, ClassVar

from stepwell.door import class_name, signature
from stepwell.rule import Rule
from stepwell.torch.contract import Group, WholeStep
from stepwell.torch.optimizer import Optimizer

OPTIONS = {
    "maximize": False,
    "clip_norm": None,
    "ema": None,
    "zero_grad": False,
    "check_finite": False,
    "sparse": "lazy",
    "state_dtype": None,
    "rounding": "nearest",
    "in_backward": False,
}


class RuleOptimizer(Optimizer):
    """The optimizer of one rule, under the rule's own names."""

    rule: ClassVar[Rule]

    def __init__(self, *args: Any, **kwargs: Any):
        bound = inspect.signature(type(self)).bind(*args, **kwargs)
        bound.apply_defaults()
        whole_step: dict[str, Any] = {k: v for k, v in bound.arguments.items() if k in WholeStep.__annotations__}
        defaults = {k: v for k, v in bound.arguments.items() if k != "params" and k not in whole_step}
        super().__init__(bound.arguments["params"], defaults, **whole_step)

    def rule_of(self, group: Group) -> Rule:
        return self.rule

    def __reduce__(self) -> Any:
        return _blank, (self.rule,), self.__getstate__()


def _blank(rule: Rule) -> RuleOptimizer:
    return RuleOptimizer.__new__(from_rule(rule))


@functools.cache
def from_rule(rule: Rule) -> type[RuleOptimizer]:
    """The optimizer class of a rule: `from_rule(rule)(params, lr=…)`.

    Its arguments are the rule's hyperparameters, with their defaults and domains; `weight_decay`, added to the gradient
    (L2) unless the rule has a decay of its own; `maximize`; and what `WholeStep` lists. `lr` may be a schedule.

        >>> import torch
        >>> from stepwell.rule import rule, sign, Rate
        >>> @rule
        ... def sign_descent(g, *, lr: Rate = 0.1):
        ...     return lr * sign(g)
        >>> w = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
        >>> w.grad = torch.tensor([3.0, -0.5])
        >>> from_rule(sign_descent)([w], lr=0.25).step()
        >>> w.tolist()
        [0.75, -0.75]
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be made by @stepwell.rule.rule; got {rule!r}")
    members = {
        "rule": rule,
        "__signature__": signature(rule, OPTIONS),
        "__doc__": rule.__doc__,
        "__module__": "stepwell.torch",
    }
    return type(class_name(rule), (RuleOptimizer,), members)
