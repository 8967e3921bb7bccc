# pyright: reportMissingImports=false
# ruff: noqa: RUF012 (the base class declares these tables ClassVar)
"""paddle.optimizer's own names: its signatures, defaults, state names and numbers, on the rules.

Each class is one of Paddle's whose step is ours. The signature, the groups, the accumulators and their names are
inherited; a class says which rule it is, what Paddle calls the rule's hyperparameters and state, and which accumulators
are functions of the step.
"""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import paddle

from stepwell import rules
from stepwell.domain import number
from stepwell.kernels import Stages, cpu
from stepwell.paddle.checks import listed, refuse_twins, within
from stepwell.paddle.clocks import Clock, Power, Rectifier, steps_of
from stepwell.paddle.entry import Entry
from stepwell.paddle.groups import Group
from stepwell.paddle.optimizer import Optimizer
from stepwell.paddle.rates import rate
from stepwell.rule import Rule

_MOMENTS = {"m": "moment1", "v": "moment2", "v_max": "moment2_max", "mu_product": "mu_product"}
_POWERS: dict[str, Clock] = {"beta1_pow_acc": Power("beta1", 1), "beta2_pow_acc": Power("beta2", 1)}


class _Named(Optimizer):
    arguments: ClassVar[dict[str, str]] = {"eps": "epsilon"}
    """What the constructor calls hyperparameters, where that is another name; an attribute has a _ before it."""
    state_names: ClassVar[dict[str, str]] = _MOMENTS
    """The accumulator of each state."""
    clocks: ClassVar[dict[str, Clock]] = {}
    """Accumulators that are functions of the step."""
    widest: ClassVar[Rule]
    """A rule with all the hyperparameters of the class's rules: their domains."""

    _given: ClassVar[inspect.Signature]

    def __init_subclass__(cls) -> None:
        """Take over the signature of Paddle's class; a user's subclass has its own."""
        if len(cls.__bases__) > 1:
            cls._given = inspect.signature(cls.__bases__[1])
        cls.__signature__ = inspect.signature(cls.__init__) if "__init__" in vars(cls) else cls._given

    def __init__(self, *args: Any, **kwargs: Any):
        bound = self._given.bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        self._prepare()
        given["learning_rate"] = rate(given["learning_rate"])
        self._check(given)
        given["parameters"], groups = listed(given["parameters"])
        for group in groups:
            self._check(group)
        self._construct(given)
        refuse_twins(self._all())

    def _construct(self, given: Group) -> None:
        super().__init__(**given)

    def _check(self, given: Group) -> None:
        """Refuse hyperparameters outside their domains."""
        called = {name: self.arguments.get(name, name) for name in self.widest.hyperparameters if name != "lr"}
        within(self.widest, {name: given[arg] for name, arg in called.items() if arg in given}, called)

    def _hyper(self) -> dict[str, float]:
        names = {name: self.arguments.get(name, name) for name in self._rule().hyperparameters if name != "lr"}
        known = vars(self)
        return {name: number(known[f"_{arg}" if f"_{arg}" in known else arg]) for name, arg in names.items()}

    def _set_hyper(self, group: Group | None, hyper: Mapping[str, float]) -> None:
        for name, value in hyper.items():
            arg = self.arguments.get(name, name)
            if group is not None:
                group[arg] = value
            else:
                setattr(self, f"_{arg}" if f"_{arg}" in vars(self) else arg, value)

    def _made(self, p: Any, rule: Rule) -> Entry:
        self._create_accumulators(paddle.base.framework.default_main_program().global_block(), [p])
        program = cpu.program(rule, Stages())
        found = {name: self._get_accumulator_master(self.state_names[name], p) for name in rule.state}
        numbers = {name: np.array(_first(found[name])) for name in program.scalar_state}
        arrays = {name: found[name] for name in program.arrays[2:]}
        values = {name: _first(self._get_accumulator_master(name, p)) for name in self.clocks}
        return Entry(p, self._target(p), rule, arrays, numbers, steps_of(self.clocks, self._hyper(), values))

    def _add_accumulator(
        self, name: str, param: Any, dtype: Any = None, fill_value: float = 0.0, *args: Any, **kwargs: Any
    ) -> Any:
        if name in self.clocks:  # of a β that is a tensor, Paddle's own start from the default
            fill_value = self.clocks[name].value(self._hyper(), 0)
        return super()._add_accumulator(name, param, dtype, fill_value, *args, **kwargs)

    def state_dict(self) -> dict[str, Any]:
        """Paddle's own, with Paddle's names."""
        for group, params in self._grouped():
            self._turn_to(group)
            for p in params:
                if p.name in self._entries:
                    self._tell_time(self._entries[p.name], self._hyper())
        return super().state_dict()

    def _tell_time(self, entry: Entry, hyper: dict[str, float]) -> None:
        """Write the accumulators that the step determines, and the scalar state."""
        for name, clock in self.clocks.items():
            self._get_accumulator(name, entry.target).fill_(clock.value(hyper, entry.step))
        for name, value in entry.numbers.items():
            self._get_accumulator(self.state_names[name], entry.target).fill_(float(value))


def _first(accumulator: Any) -> float:
    """The number that all elements of an accumulator are."""
    return float(accumulator.flatten()[0]) if accumulator.size else 1.0


class SGD(_Named, paddle.optimizer.SGD):
    """Gradient descent: paddle.optimizer.SGD."""

    widest = rules.gradient_descent

    def _rule(self) -> Rule:
        return rules.gradient_descent


class Momentum(_Named, paddle.optimizer.Momentum):
    """Descent along a velocity, Nesterov's too: paddle.optimizer.Momentum."""

    arguments = {"beta": "momentum"}
    state_names = {"v": "velocity"}
    widest = rules.momentum

    def _rule(self) -> Rule:
        return rules.nesterov if self._use_nesterov else rules.momentum

    def _regularizer(self, p: Any) -> Any:
        found = super()._regularizer(p)
        if found is None and self._regularization_method == "l2_decay":
            return paddle.regularizer.L2Decay(self._regularization_coeff)
        return found

    def _gradient_scale(self) -> float:
        return float(self._rescale_grad)


class Adagrad(_Named, paddle.optimizer.Adagrad):
    """Adagrad with ε outside the root: paddle.optimizer.Adagrad."""

    arguments = {"eps": "epsilon", "initial_accumulator": "initial_accumulator_value"}
    state_names = {"s": "moment"}
    widest = rules.adagrad

    def _rule(self) -> Rule:
        return rules.adagrad


class Adadelta(_Named, paddle.optimizer.Adadelta):
    """Adadelta: paddle.optimizer.Adadelta."""

    state_names = {"s": "_avg_squared_grad", "d": "_avg_squared_update"}
    widest = rules.adadelta

    def _rule(self) -> Rule:
        return rules.adadelta


class RMSProp(_Named, paddle.optimizer.RMSProp):
    """RMSProp with ε under the root, plain or centered, with or without momentum: paddle.optimizer.RMSProp."""

    arguments = {"gamma": "rho", "eps": "epsilon", "beta": "momentum"}
    state_names = {"s": "mean_square", "a": "mean_grad", "v": "momentum"}
    widest = rules.rmsprop_eps_inside_momentum

    def _rule(self) -> Rule:
        if self._centered:
            return rules.rmsprop_eps_inside_centered_momentum if self._momentum else rules.rmsprop_eps_inside_centered
        return rules.rmsprop_eps_inside_momentum if self._momentum else rules.rmsprop_eps_inside


class Adam(_Named, paddle.optimizer.Adam):
    """Adam, or AMSGrad: paddle.optimizer.Adam."""

    clocks = _POWERS
    widest = rules.adam

    def _rule(self) -> Rule:
        return rules.amsgrad if self._amsgrad else rules.adam

    def _sparse(self) -> str:
        return "lazy" if self._lazy_mode else "exact"

    def _ahead(self, g: Any) -> int:
        return int(g.is_selected_rows())  # Paddle moves its powers of β on before it reads them, if only there


class AdamW(_Named, paddle.optimizer.AdamW):
    """Adam, or AMSGrad, with decoupled weight decay: paddle.optimizer.AdamW."""

    clocks = _POWERS
    widest = rules.adamw

    def _construct(self, given: Group) -> None:
        lr_ratio = given.pop("lr_ratio")  # Paddle refuses it where it has no GPU
        super()._construct(given)
        self._lr_ratio = lr_ratio

    def _rule(self) -> Rule:
        return rules.amsgradw if self._amsgrad else rules.adamw

    def _sparse(self) -> str:
        return "lazy" if self._lazy_mode else "exact"

    def _single(self, p: Any) -> tuple[float, dict[str, float]]:
        spared = self._apply_decay_param_fun is not None and not self._apply_decay_param_fun(p.name)
        rate = 1.0 if self._lr_ratio is None else float(self._lr_ratio(p))
        return rate, {"weight_decay": 0.0} if spared else {}


class Adamax(_Named, paddle.optimizer.Adamax):
    """Adam in the largest norm, ε added to the old one: paddle.optimizer.Adamax."""

    state_names = {"m": "moment", "u": "inf_norm"}
    clocks = {"beta1_pow_acc": Power("beta1", 1)}
    widest = rules.adamax_eps_old

    def _rule(self) -> Rule:
        return rules.adamax_eps_old


class NAdam(_Named, paddle.optimizer.NAdam):
    """Adam with Nesterov momentum: paddle.optimizer.NAdam, its product of momenta kept in double precision."""

    clocks = {"momentum_decay_pow": Power(0.96), "beta2_pow": Power("beta2")}
    widest = rules.nadam

    def _rule(self) -> Rule:
        return rules.nadam


class RAdam(_Named, paddle.optimizer.RAdam):
    """Rectified Adam: paddle.optimizer.RAdam."""

    clocks = {"beta1_pow": Power("beta1"), "beta2_pow": Power("beta2"), "rho": Rectifier("beta2")}
    widest = rules.radam

    def _rule(self) -> Rule:
        return rules.radam
