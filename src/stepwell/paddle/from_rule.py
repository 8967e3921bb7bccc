# pyright: reportMissingImports=false
"""A Paddle optimizer class from any rule, the user's own too."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import paddle

from stepwell.door import class_name, hyperparameters
from stepwell.kernels import Stages, cpu, table
from stepwell.paddle import loading
from stepwell.paddle.checks import decay, listed, refuse_others, refuse_twins, within
from stepwell.paddle.entry import LOW, Entry, dtype_of
from stepwell.paddle.groups import Group
from stepwell.paddle.optimizer import Optimizer
from stepwell.paddle.rates import rate
from stepwell.rule import Rule

OPTIONS = {"multi_precision": False, "sparse": table.MODES[0], "name": None}
_OWN = "stepwell"  # the entry of a state dict that Paddle's own optimizers do not have: steps, and scalar state


class RuleOptimizer(Optimizer):
    """The optimizer of one rule, under the rule's own names."""

    rule: ClassVar[Rule]

    def __init__(self, *args: Any, **kwargs: Any):
        bound = _signature(self.rule).bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        self._prepare()
        hyper = {name: given.pop(name) for name in self._names}
        self._defaults = within(self.rule, hyper)
        self._group = self._defaults
        self._multi_precision = bool(given.pop("multi_precision"))
        self._mode = given.pop("sparse")
        if self._mode not in table.MODES:
            raise ValueError(f"sparse must be one of {', '.join(table.MODES)}; got {self._mode!r}")
        self._loaded: dict[str, dict[str, float]] = {}
        given["parameters"], groups = listed(given["parameters"])
        for group in groups:
            refuse_others(group, {"params", "learning_rate", "weight_decay", "grad_clip", *self._names})
            within(self.rule, {name: group[name] for name in self._names if name in group})
        given["weight_decay"] = decay(given.get("weight_decay"))
        super().__init__(rate(given.pop("learning_rate", 1.0)), **given)
        refuse_twins(self._all())

    @property
    def _names(self) -> list[str]:
        return [name for name in self.rule.hyperparameters if name != "lr"]

    def _add_param_group(self, param_group: Group) -> None:
        own = {name: param_group.pop(name) for name in self._names if name in param_group}
        if "weight_decay" in param_group:
            param_group["weight_decay"] = decay(param_group["weight_decay"])
        super()._add_param_group(param_group)
        self._param_groups[-1]["hyper"] = {**self._defaults, **within(self.rule, own)}

    def _turn_to(self, group: Group | None) -> None:
        self._group = self._defaults if group is None else group["hyper"]

    def _set_hyper(self, group: Group | None, hyper: Mapping[str, float]) -> None:
        (self._defaults if group is None else group["hyper"]).update(hyper)

    def _rule(self) -> Rule:
        return self.rule

    def _hyper(self) -> dict[str, float]:
        return self._group

    def _sparse(self) -> str:
        return self._mode

    def _made(self, p: Any, rule: Rule) -> Entry:
        target, program = self._target(p), cpu.program(rule, Stages())
        kind = paddle.float32 if dtype_of(target) in LOW else target.dtype
        arrays = {}
        for name in program.arrays[2:]:
            shape = list(program.shape_of(name, tuple(p.shape)))
            arrays[name] = self._add_accumulator(name, target, kind, rule.start_of(name, self._group), shape)
        own = self._loaded.get(target.name, {})
        starts = {name: own.get(name, rule.start_of(name, self._group)) for name in program.scalar_state}
        return Entry(
            p, target, rule, arrays, {n: np.array(x, np.float64) for n, x in starts.items()}, int(own.get("step", 0))
        )

    def state_dict(self) -> dict[str, Any]:
        """As Paddle's: the state arrays by parameter and the rule's names, `master_weights` and `LR_Scheduler`; and
        under "stepwell" each parameter's step and scalar state."""
        entries = self._entries.values()
        own = {e.target.name: {"step": e.step, **{n: float(x) for n, x in e.numbers.items()}} for e in entries}
        return {**super().state_dict(), _OWN: {**self._loaded, **own}}

    def _take_over(self, state_dict: dict[str, Any]) -> None:
        own = state_dict.get(_OWN, {})
        loading.refuse_odd_steps(f"state_dict[{_OWN!r}]", own, cpu.program(self.rule, Stages()).scalar_state)
        super()._take_over({name: value for name, value in state_dict.items() if name != _OWN})
        self._loaded = dict(own)


@functools.cache
def from_rule(rule: Rule) -> type[RuleOptimizer]:
    """The optimizer class of a rule: `from_rule(rule)(learning_rate, parameters=…)`.

    Its arguments are the rule's hyperparameters, with their defaults and domains, the rate being `learning_rate`: a
    number, a scheduler of Paddle, or a function of the step. Then as in Paddle `parameters` (tensors, or groups with
    `params`, `learning_rate`, a factor, `weight_decay`, `grad_clip` and hyperparameters), `weight_decay` (unless the
    rule has a decay of its own), `grad_clip` and `name`; and

    - multi_precision: keep a copy in single precision of each parameter in half precision.
    - sparse: what a gradient of rows means for the others: "lazy", they stay as they are; "exact", the step is that of
      a gradient that is 0 there, and costs a pass over the whole parameter.

        >>> import paddle
        >>> from stepwell.rule import rule, sign, Rate
        >>> @rule
        ... def sign_descent(g, *, lr: Rate = 0.1):
        ...     return lr * sign(g)
        >>> w = paddle.create_parameter([2], "float32", default_initializer=paddle.nn.initializer.Constant(1.0))
        >>> w.grad = paddle.to_tensor([3.0, -0.5])
        >>> from_rule(sign_descent)(0.25, parameters=[w]).step()
        >>> w.tolist()
        [0.75, 1.25]
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be made by @stepwell.rule.rule; got {rule!r}")
    members = {
        "rule": rule,
        "__signature__": _signature(rule),
        "__doc__": rule.__doc__,
        "__module__": "stepwell.paddle",
    }
    return type(class_name(rule), (RuleOptimizer,), members)


def _signature(rule: Rule) -> inspect.Signature:
    kind = inspect.Parameter
    found = [p.replace(name="learning_rate") if p.name == "lr" else p for p in hyperparameters(rule)]
    rest = [name for name in ("parameters", "weight_decay", "grad_clip") if name not in rule.hyperparameters]
    found += [kind(name, kind.POSITIONAL_OR_KEYWORD, default=None) for name in rest]
    return inspect.Signature([*found, *(kind(k, kind.KEYWORD_ONLY, default=v) for k, v in OPTIONS.items())])
