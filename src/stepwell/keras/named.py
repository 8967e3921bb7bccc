"""Keras's own names: its signatures, defaults, names of state, order in files, and numbers, on the rules."""
# pyright: reportMissingImports=false
# ruff: noqa: RUF012 -- the base class declares these tables ClassVar

import keras

from stepwell import rules
from stepwell.keras.optimizer import Optimizer
from stepwell.rule import Rule

_BETAS = {"beta1": "beta_1", "beta2": "beta_2", "eps": "epsilon"}
_MOMENTS = {"m": "momentum", "v": "velocity", "v_max": "velocity_hat"}
_registered = keras.saving.register_keras_serializable(package="stepwell")


@_registered
class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's form, the rate inside the velocity: keras.optimizers.SGD.

    The velocity has the opposite sign of Keras's.
    """

    defaults = {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False}
    arguments = {"beta": "momentum"}
    state_names = {"v": "momentum"}

    def rule_of(self) -> Rule:
        if self.momentum == 0:
            return rules.gradient_descent
        return rules.nesterov_rate_inside if self.nesterov else rules.momentum_rate_inside


@_registered
class RMSprop(Optimizer):
    """RMSProp with ε under the root, plain or centered, with or without momentum: keras.optimizers.RMSprop."""

    defaults = {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False}
    arguments = {"gamma": "rho", "beta": "momentum", "eps": "epsilon"}
    state_names = {"s": "velocity", "v": "momentum", "a": "average_gradient"}
    together = (("s",), ("v",), ("a",))

    def rule_of(self) -> Rule:
        if self.centered:
            return rules.rmsprop_eps_inside_centered_momentum if self.momentum else rules.rmsprop_eps_inside_centered
        return rules.rmsprop_eps_inside_momentum if self.momentum else rules.rmsprop_eps_inside


@_registered
class Adagrad(Optimizer):
    """Adagrad with ε under the root: keras.optimizers.Adagrad."""

    defaults = {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7}
    arguments = {"initial_accumulator": "initial_accumulator_value", "eps": "epsilon"}
    state_names = {"s": "accumulator"}

    def rule_of(self) -> Rule:
        return rules.adagrad_eps_inside


@_registered
class Adadelta(Optimizer):
    """Adadelta: keras.optimizers.Adadelta."""

    defaults = {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-7}
    arguments = {"eps": "epsilon"}
    state_names = {"s": "accumulated_grad", "d": "accumulated_delta_var"}

    def rule_of(self) -> Rule:
        return rules.adadelta


@_registered
class Adam(Optimizer):
    """Adam, or AMSGrad, with ε beside the uncorrected root: keras.optimizers.Adam."""

    defaults = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}
    arguments = _BETAS
    state_names = _MOMENTS
    together = (("m", "v"), ("v_max",))

    def rule_of(self) -> Rule:
        return rules.amsgrad_eps_hat if self.amsgrad else rules.adam_eps_hat


@_registered
class AdamW(Adam):
    """Adam with decoupled weight decay: keras.optimizers.AdamW."""

    defaults = {"learning_rate": 0.001, "weight_decay": 0.004, **Adam.defaults}


@_registered
class Adamax(Optimizer):
    """Adam in the largest norm, ε beside it: keras.optimizers.Adamax."""

    defaults = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    arguments = _BETAS
    state_names = {"m": "momentum", "u": "norm"}

    def rule_of(self) -> Rule:
        return rules.adamax_eps_outside


@_registered
class Nadam(Optimizer):
    """Adam with Nesterov momentum, which warms up in some hundred steps: keras.optimizers.Nadam."""

    defaults = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    arguments = _BETAS
    fixed = {"momentum_decay": 1.0}
    state_names = {**_MOMENTS, "mu_product": "u_product"}

    def rule_of(self) -> Rule:
        return rules.nadam


@_registered
class Lion(Optimizer):
    """Lion: keras.optimizers.Lion."""

    defaults = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99}
    arguments = _BETAS
    fixed = {"weight_decay": 0.0}
    state_names = {"m": "momentum"}

    def rule_of(self) -> Rule:
        return rules.lion
