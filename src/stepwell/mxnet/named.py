"""MXNet's own names: its signatures, defaults and numbers, on the rules.

Beside what is written, each takes MXNet's keywords: learning_rate, lr_scheduler, wd, rescale_grad, clip_gradient,
multi_precision, begin_num_update, param_dict, param_idx2name, sym.
"""

from typing import Any, ClassVar

import numpy as np

from stepwell import rules
from stepwell.domain import Positive, optional
from stepwell.host.engine import Slot
from stepwell.mxnet.optimizer import Optimizer
from stepwell.rule import Rule


class _Named(Optimizer):
    rows = "every"  # but where MXNet has kernels for sparse gradients

    def __init__(self, arguments: dict[str, Any]):
        more = arguments["kwargs"]
        for name, value in arguments.items():
            if name == "learning_rate":
                more = {**more, name: value}
            elif name not in ("self", "kwargs", "__class__"):
                setattr(self, name, value)
        super().__init__(**more)


class _Lazy(_Named):
    lazy_update: bool

    @property
    def rows(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "lazy" if self.lazy_update else "every"


class SGD(_Lazy):
    """Gradient descent, with momentum: mxnet.optimizer.SGD."""

    arguments: ClassVar = {"beta": "momentum"}

    def __init__(self, momentum: float = 0.0, lazy_update: bool = True, **kwargs: Any):
        super().__init__(locals())

    def rule_of(self) -> Rule:
        return rules.momentum_rate_inside if self.momentum else rules.gradient_descent


class NAG(_Named):
    """Nesterov momentum: mxnet.optimizer.NAG, but for its decay, which there enters the velocity a step late."""

    arguments: ClassVar = {"beta": "momentum"}

    def __init__(self, momentum: float = 0.0, **kwargs: Any):
        super().__init__(locals())

    @property
    def rows(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "every" if self.momentum else "lazy"

    def rule_of(self) -> Rule:
        return rules.nesterov_rate_inside if self.momentum else rules.gradient_descent


class Signum(_Named):
    """The sign of a mean of gradients, or without momentum of the gradient: mxnet.optimizer.Signum.

    It is Lion with one mean for both of its. `wd_lh` is decoupled decay; without momentum, `wd` is.
    """

    arguments: ClassVar = {"beta1": "momentum", "beta2": "momentum", "weight_decay": "wd_lh"}

    def __init__(self, learning_rate: Any = 0.01, momentum: float = 0.9, wd_lh: float = 0.0, **kwargs: Any):
        if not momentum and wd_lh:
            raise ValueError(f"wd_lh must be 0 without momentum, where wd is the decoupled decay; got {wd_lh!r}")
        super().__init__(locals())

    def rule_of(self) -> Rule:
        return rules.lion

    def place(self, name: str) -> str:
        return "wd" if name == "weight_decay" and not self.momentum else super().place(name)


class Adam(_Lazy):
    """Adam with ε beside the uncorrected root: mxnet.optimizer.Adam."""

    arguments: ClassVar = {"eps": "epsilon"}
    clips_decayed = True

    def __init__(
        self, learning_rate: Any = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
        lazy_update: bool = True, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(locals())

    def rule_of(self) -> Rule:
        return rules.adam_eps_hat


class AdaGrad(_Named):
    """Adagrad with ε under the root and decoupled decay: mxnet.optimizer.AdaGrad."""

    fixed: ClassVar = {"initial_accumulator": 0.0}
    rows = "lazy"

    def __init__(self, eps: float = 1e-7, **kwargs: Any):
        super().__init__(locals())

    def rule_of(self) -> Rule:
        return rules.adagradw_eps_inside if self.wd else rules.adagrad_eps_inside


class GroupAdaGrad(_Named):
    """Adagrad with one rate for each row of a table: mxnet.optimizer.contrib.GroupAdaGrad; it has no decay."""

    fixed: ClassVar = {"initial_accumulator": 0.0}
    rows = "lazy"

    def __init__(self, eps: float = 1e-5, **kwargs: Any):
        if kwargs.get("wd"):
            raise ValueError(f"wd must be 0 for GroupAdaGrad; got {kwargs['wd']!r}")
        super().__init__(locals())

    def rule_of(self) -> Rule:
        return rules.adagrad_rowwise_eps_inside


class RMSProp(_Named):
    """RMSProp with ε under the root, or centered and with momentum: mxnet.optimizer.RMSProp."""

    arguments: ClassVar = {"gamma": "gamma1", "beta": "gamma2", "eps": "epsilon"}
    clips_decayed = True

    def __init__(
        self, learning_rate: Any = 0.001, gamma1: float = 0.9, gamma2: float = 0.9, epsilon: float = 1e-8,
        centered: bool = False, clip_weights: float | None = None, **kwargs: Any,
    ):  # fmt: skip
        clip_weights = optional(Positive, "clip_weights", clip_weights)
        super().__init__(locals())

    def rule_of(self) -> Rule:
        return rules.rmsprop_eps_inside_centered_momentum if self.centered else rules.rmsprop_eps_inside

    def stepped(self, slot: Slot) -> None:
        if self.clip_weights is not None:
            np.clip(slot.p, -self.clip_weights, self.clip_weights, out=slot.p)


class AdaDelta(_Named):
    """Adadelta with decoupled decay, both without a rate: mxnet.optimizer.AdaDelta."""

    arguments: ClassVar = {"eps": "epsilon"}
    fixed: ClassVar = {"lr": 1.0}

    def __init__(self, rho: float = 0.90, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(locals())

    def rule_of(self) -> Rule:
        return rules.adadeltaw if self.wd else rules.adadelta


class Adamax(_Named):
    """Adam in the largest norm: mxnet.optimizer.Adamax, but for its 0/0 where no gradient has come yet."""

    fixed: ClassVar = {"eps": float(np.finfo(np.float32).tiny)}
    clips_decayed = True

    def __init__(self, learning_rate: Any = 0.002, beta1: float = 0.9, beta2: float = 0.999, **kwargs: Any):
        super().__init__(locals())

    def rule_of(self) -> Rule:
        return rules.adamax


class Nadam(_Named):
    """Adam with Nesterov momentum: mxnet.optimizer.Nadam, each parameter with a product of momenta of its own."""

    arguments: ClassVar = {"eps": "epsilon", "momentum_decay": "schedule_decay"}
    clips_decayed = True

    def __init__(
        self, learning_rate: Any = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
        schedule_decay: float = 0.004, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(locals())

    def rule_of(self) -> Rule:
        return rules.nadam
