"""A Keras optimizer class from any rule, the user's own too."""
# pyright: reportMissingImports=false

import functools
import inspect
from typing import ClassVar

from stepwell.door import class_name
from stepwell.keras.optimizer import OPTIONS, Optimizer
from stepwell.rule import Rule


class RuleOptimizer(Optimizer):
    """The optimizer of one rule, under the rule's own names."""

    rule: ClassVar[Rule]

    def rule_of(self) -> Rule:
        return self.rule


@functools.cache
def from_rule(rule: Rule) -> type[RuleOptimizer]:
    """The optimizer class of a rule: `from_rule(rule)(learning_rate=…)`.

    Its arguments are `learning_rate` (the rule's `lr`, if it has one: a number, a schedule of this library or of
    Keras), the rule's other hyperparameters with their defaults and domains, and what every optimizer of Keras takes:
    weight_decay (decoupled, unless the rule has a decay of its own), clipnorm, clipvalue, global_clipnorm, use_ema,
    ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name.

    A model saved with the optimizer of one's own rule is loaded with
    `custom_objects={"SignDescent": from_rule(sign_descent)}`.

        >>> import keras
        >>> from stepwell.rule import rule, sign, Rate
        >>> @rule
        ... def sign_descent(g, *, lr: Rate = 0.1):
        ...     return lr * sign(g)
        >>> w = keras.Variable([1.0, -1.0])
        >>> from_rule(sign_descent)(learning_rate=0.25).apply([keras.ops.array([3.0, -0.5])], [w])
        >>> bool(keras.ops.all(w == keras.ops.array([0.75, -0.75])))
        True

    Raises:
        TypeError: `rule` is none, or has a hyperparameter under a name that Keras's optimizers have taken.
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be made by @stepwell.rule.rule; got {rule!r}")
    _check_names(rule)
    hypers = sorted(rule.hyperparameters.values(), key=lambda h: (h.name != "lr", h.default is not None))
    called = {"lr": "learning_rate"}
    members = {
        "rule": rule,
        "defaults": {
            called.get(h.name, h.name): inspect.Parameter.empty if h.default is None else h.default for h in hypers
        },
        "__doc__": rule.__doc__,
        "__module__": rule.__module__,
        "__qualname__": class_name(rule),
    }
    return type(class_name(rule), (RuleOptimizer,), members)


def _check_names(rule: Rule) -> None:
    taken = {*dir(Optimizer), *OPTIONS, "built", "learning_rate", "sparse"} - {"weight_decay"}
    for name in rule.hyperparameters:
        if name in taken:
            raise TypeError(f"rule {rule.name}: Keras's optimizers have taken the name {name!r}; choose another")
