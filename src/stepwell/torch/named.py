"""torch.optim's own names: its signatures, defaults, state names and numbers, on the rules."""

import inspect
from typing import Any, Unpack

from torch import Tensor

from stepwell import rules
from stepwell.kernels import Stages
from stepwell.rule import Rule
from stepwell.torch import state
from stepwell.torch.contract import Group, WholeStep
from stepwell.torch.from_rule import OPTIONS
from stepwell.torch.optimizer import Optimizer

_BETAS = {"beta1": ("betas", 0), "beta2": ("betas", 1)}
_MOMENTS = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq", "u": "exp_inf"}


def _defaults(arguments: dict[str, Any]) -> tuple[Any, Group, Any]:
    """A constructor's locals as params, the defaults of a group, and the options of the whole step."""
    hidden = ("self", "params", "whole_step", "__class__")
    return arguments["params"], {k: v for k, v in arguments.items() if k not in hidden}, arguments["whole_step"]


class _Named(Optimizer):
    def __init_subclass__(cls) -> None:
        """Spell the options of the whole step out in the signature, where help() and its like look."""
        written = list(inspect.signature(cls.__init__).parameters.values())[1:]
        kept = [p for p in written if p.name != "whole_step"]
        options = [
            inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=OPTIONS[k]) for k in WholeStep.__annotations__
        ]
        cls.__signature__ = inspect.Signature(kept if kept == written else [*kept, *options])

    def __init__(self, arguments: dict[str, Any]):
        params, defaults, whole_step = _defaults(arguments)
        super().__init__(params, defaults, **whole_step)


def _allow_nesterov(momentum: float, dampening: float) -> None:
    if momentum <= 0 or dampening != 0:
        raise ValueError(f"nesterov=True needs momentum > 0 and dampening = 0; got {momentum=!r}, {dampening=!r}")


class SGD(_Named):
    """Gradient descent, with momentum, dampening and Nesterov's form: torch.optim.SGD."""

    arguments = {"beta": "momentum"}
    state_names = {"v": "momentum_buffer"}
    steps_are_saved = False

    def __init__(
        self, params: Any, lr: Any = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float | Tensor = 0, nesterov: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None,
        **whole_step: Unpack[WholeStep],
    ):  # fmt: skip
        if nesterov:
            _allow_nesterov(momentum, dampening)
        super().__init__(locals())

    def rule_of(self, group: Group) -> Rule:
        if group["momentum"] == 0:
            return rules.gradient_descent
        if group["nesterov"]:
            _allow_nesterov(group["momentum"], group["dampening"])
            return rules.nesterov
        return rules.momentum_dampened if group["dampening"] != 0 else rules.momentum


class Adagrad(_Named):
    """Adagrad with ε outside the root, and a rate that can fall: torch.optim.Adagrad."""

    arguments = {"initial_accumulator": "initial_accumulator_value"}
    state_names = {"s": "sum"}

    def __init__(
        self, params: Any, lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
        **whole_step: Unpack[WholeStep],
    ):  # fmt: skip
        super().__init__(locals())

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters, and make their state at once: torch's Adagrad expects it in a checkpoint of any age."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            state.ready(self, p, group, self.rule_of(group), Stages())

    def rule_of(self, group: Group) -> Rule:
        return rules.adagrad_decayed


class RMSprop(_Named):
    """RMSProp with ε outside the root, plain or centered, with or without momentum: torch.optim.RMSprop."""

    arguments = {"gamma": "alpha", "beta": "momentum"}
    state_names = {"s": "square_avg", "a": "grad_avg", "v": "momentum_buffer"}

    def __init__(
        self, params: Any, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
        momentum: float = 0, centered: bool = False, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False, **whole_step: Unpack[WholeStep],
    ):  # fmt: skip
        super().__init__(locals())

    def rule_of(self, group: Group) -> Rule:
        if group["centered"]:
            return rules.rmsprop_centered_momentum if group["momentum"] != 0 else rules.rmsprop_centered
        return rules.rmsprop_momentum if group["momentum"] != 0 else rules.rmsprop


class Adadelta(_Named):
    """Adadelta: torch.optim.Adadelta."""

    state_names = {"s": "square_avg", "d": "acc_delta"}

    def __init__(
        self, params: Any, lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
        foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False,
        differentiable: bool = False, **whole_step: Unpack[WholeStep],
    ):  # fmt: skip
        super().__init__(locals())

    def rule_of(self, group: Group) -> Rule:
        return rules.adadelta


class Adam(_Named):
    """Adam, or AMSGrad, with decay in the gradient or decoupled: torch.optim.Adam."""

    arguments = _BETAS
    state_names = _MOMENTS

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False, **whole_step: Unpack[WholeStep],
    ):  # fmt: skip
        super().__init__(locals())

    def rule_of(self, group: Group) -> Rule:
        if group["decoupled_weight_decay"] and group["weight_decay"] != 0:
            return rules.amsgradw if group["amsgrad"] else rules.adamw
        return rules.amsgrad if group["amsgrad"] else rules.adam


class AdamW(Adam):
    """Adam with decoupled weight decay: torch.optim.AdamW."""

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
        **whole_step: Unpack[WholeStep],
    ):  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True, **whole_step,
        )  # fmt: skip

    def __setstate__(self, values: Group) -> None:
        super().__setstate__(values)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True  # a checkpoint older than this option lacks it


class SparseAdam(_Named):
    """Adam for sparse gradients, ε beside the uncorrected root: torch.optim.SparseAdam. It takes dense ones too."""

    arguments = _BETAS
    state_names = _MOMENTS

    def state_dict(self) -> Group:
        """As torch's: its steps are integers, and rates made from a tensor would be rounded to single precision."""
        packed = super().state_dict()
        for entry in packed["state"].values():
            entry |= {state.STEP: int(entry[state.STEP])}
        return packed

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        maximize: bool = False, **whole_step: Unpack[WholeStep],
    ):  # fmt: skip
        super().__init__(locals())

    def rule_of(self, group: Group) -> Rule:
        return rules.adam_eps_hat


class Adamax(_Named):
    """Adam in the largest norm: torch.optim.Adamax."""

    arguments = _BETAS
    state_names = _MOMENTS

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False, **whole_step: Unpack[WholeStep],
    ):  # fmt: skip
        super().__init__(locals())

    def rule_of(self, group: Group) -> Rule:
        return rules.adamax


class NAdam(_Named):
    """Adam with Nesterov momentum: torch.optim.NAdam, its product of momenta kept in double precision."""

    arguments = _BETAS
    state_names = _MOMENTS

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False, differentiable: bool = False,
        **whole_step: Unpack[WholeStep],
    ):  # fmt: skip
        super().__init__(locals())

    def rule_of(self, group: Group) -> Rule:
        return rules.nadamw if group["decoupled_weight_decay"] and group["weight_decay"] != 0 else rules.nadam


class RAdam(_Named):
    """Rectified Adam: torch.optim.RAdam."""

    arguments = _BETAS
    state_names = _MOMENTS

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False, **whole_step: Unpack[WholeStep],
    ):  # fmt: skip
        super().__init__(locals())

    def rule_of(self, group: Group) -> Rule:
        return rules.radamw if group["decoupled_weight_decay"] and group["weight_decay"] != 0 else rules.radam
