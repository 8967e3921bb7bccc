"""An MXNet optimizer class from any rule, the user's own too."""

import functools
import inspect
from typing import Any, ClassVar

from stepwell.door import class_name, hyperparameters
from stepwell.kernels.table import MODES
from stepwell.mxnet.optimizer import Optimizer
from stepwell.rule import Rule

CONTRACT = {
    "learning_rate": None, "lr_scheduler": None, "wd": 0.0, "rescale_grad": 1.0, "clip_gradient": None,
    "begin_num_update": 0, "multi_precision": False, "param_dict": None, "param_idx2name": None, "sym": None,
    "sparse": MODES[0],
}  # fmt: skip
ALIASES = {"lr": "learning_rate", "weight_decay": "wd"}  # the rule's name, and MXNet's


class RuleOptimizer(Optimizer):
    """The optimizer of one rule, under the rule's own names; those that are also MXNet's have both."""

    rule: ClassVar[Rule]

    def __init__(self, **given: Any):
        own = self.rule.hyperparameters
        if unknown := [name for name in given if name not in own and name not in CONTRACT]:
            known = ", ".join([*own, *(name for name in CONTRACT if name not in own)])
            raise TypeError(f"{type(self).__name__} has no argument {unknown[0]!r}; it has {known}")
        for name, alias in ALIASES.items():
            if name in own:
                _settle(given, name, alias, own[name].default)
        self.hyper = {name: given.pop(name, own[name].default) for name in own if name not in ALIASES}
        if missing := [name for name, value in self.hyper.items() if value is None]:
            raise TypeError(f"{self.rule.name} needs the hyperparameter {missing[0]!r}, {own[missing[0]].domain.words}")
        self.rows = given.pop("sparse", MODES[0])
        if self.rows not in MODES:
            raise ValueError(f"sparse must be {' or '.join(map(repr, MODES))}; got {self.rows!r}")
        super().__init__(**given)

    def rule_of(self) -> Rule:
        return self.rule

    def number(self, place: str) -> Any:
        return super().number(place) if place in ("lr", "wd") else self.hyper[place]

    def hold(self, place: str, value: float) -> None:
        if place in ("lr", "wd"):
            super().hold(place, value)
        else:
            self.hyper[place] = value

    def __reduce__(self) -> Any:
        made = type(self) is from_rule(self.rule)  # a class that pickle finds by the rule's name, not by its own
        return _blank, (self.rule if made else type(self),), self.__getstate__()


def _settle(given: dict[str, Any], name: str, alias: str, default: float | None) -> None:
    """Put what either name gives under MXNet's."""
    if given.get(name) is not None and given.get(alias) is not None:
        raise TypeError(f"{name} and {alias} are one argument; got {given[name]!r} and {given[alias]!r}")
    value = given.pop(name, None)
    value = given.pop(alias, None) if value is None else value
    if value is None and given.get("lr_scheduler") is None:
        value = default
    if value is not None:
        given[alias] = value


def _blank(kind: Rule | type[RuleOptimizer]) -> RuleOptimizer:
    made: type[RuleOptimizer] = from_rule(kind) if isinstance(kind, Rule) else kind
    return made.__new__(made)  # pyright: ignore[reportArgumentType]


def from_rule(rule: Rule) -> type[RuleOptimizer]:
    """The optimizer class of a rule: `gluon.Trainer(params, from_rule(rule)(lr=…))`.

    Its arguments are the rule's hyperparameters, with their defaults and domains, and MXNet's own: `learning_rate` is
    `lr`, and `wd` the rule's `weight_decay` or, if it has none, added to the gradient (L2). `sparse` says what
    row_sparse gradients mean for the rows that they do not name: "lazy", nothing; "exact", a gradient of 0, as a dense
    one has there: see `Optimizer.catch_up`.

        >>> import mxnet
        >>> from stepwell.rule import rule, sign, Rate
        >>> @rule
        ... def sign_descent(g, *, lr: Rate = 0.1):
        ...     return lr * sign(g)
        >>> w = mxnet.nd.array([1.0, -1.0])
        >>> mxnet.optimizer.get_updater(from_rule(sign_descent)(lr=0.25))(0, mxnet.nd.array([3.0, -0.5]), w)
        >>> w.asnumpy().tolist()
        [0.75, -0.75]
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be made by @stepwell.rule.rule; got {rule!r}")
    return _class_of(rule)


@functools.cache
def _class_of(rule: Rule) -> type[RuleOptimizer]:
    if taken := [name for name in rule.hyperparameters if name in CONTRACT]:
        raise ValueError(f"{rule.name}: {taken[0]!r} is an argument that MXNet gives a meaning; choose another name")
    kind = inspect.Parameter
    own = [p.replace(kind=kind.KEYWORD_ONLY) for p in hyperparameters(rule)]
    contract = [kind(k, kind.KEYWORD_ONLY, default=v) for k, v in CONTRACT.items()]
    members = {
        "rule": rule,
        "__signature__": inspect.Signature([*own, *contract]),
        "__doc__": rule.__doc__,
        "__module__": "stepwell.mxnet",
    }
    return type(class_name(rule), (RuleOptimizer,), members)
