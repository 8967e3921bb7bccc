"""optax's own names: its arguments, defaults, fields of state and numbers, on the rules.

A learning rate, a weight decay and every other number may be an array, also a traced one, or a function of the count of
updates. Numbers must lie in the domains of the rules: no learning rate is negative.
"""

import functools
from collections.abc import Mapping
from typing import Any

import optax

from stepwell import rules
from stepwell.jax.dtypes import floating
from stepwell.jax.hyper import inside
from stepwell.jax.transformation import transformation
from stepwell.rule import Decay, NonNegative, Rule

Transformation = optax.GradientTransformation

_ARGUMENTS = {
    "lr": "learning_rate", "beta": "momentum", "beta1": "b1", "beta2": "b2", "gamma": "decay",
    "initial_accumulator": "initial_accumulator_value",
}  # fmt: skip
_MOMENTS = {"m": "mu", "v": "nu", "v_max": "nu_max", "u": "nu"}
_RMS = {"s": "nu", "a": "mu", "v": "trace"}


def _named(rule: Rule, arguments: Mapping[str, Any], fields: Mapping[str, str], **more: Any) -> Transformation:
    """The transformation of a rule from the locals of a function that has optax's arguments."""
    given = {name: arguments[_ARGUMENTS.get(name, name)] for name in rule.hyperparameters}
    return transformation(rule, given, called=lambda name: _ARGUMENTS.get(name, name), fields=fields, **more)


def _mean_in(dtype: Any) -> dict[str, Any]:
    return {"m": floating("mu_dtype", dtype)}


def _is_zero(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == 0


def sgd(
    learning_rate: Any, momentum: Any = None, nesterov: bool = False, accumulator_dtype: Any = None
) -> Transformation:
    """Gradient descent, with momentum and Nesterov's form: optax.sgd."""
    dtype = floating("accumulator_dtype", accumulator_dtype)
    if momentum is None:
        return _named(rules.gradient_descent, locals(), {})
    rule = rules.nesterov if nesterov else rules.momentum
    return _named(rule, locals(), {"v": "trace"}, dtypes={"v": dtype})


def adagrad(learning_rate: Any, initial_accumulator_value: Any = 0.1, eps: Any = 1e-7) -> Transformation:
    """Adagrad with ε under the root; without ε a coordinate that never had a gradient stays: optax.adagrad."""
    rule = rules.adagrad_without_eps if _is_zero(eps) else rules.adagrad_eps_inside
    return _named(rule, locals(), {"s": "sum_of_squares"})


def rmsprop(
    learning_rate: Any, decay: Any = 0.9, eps: Any = 1e-8, initial_scale: Any = 0.0, eps_in_sqrt: bool = True,
    centered: bool = False, momentum: Any = None, nesterov: bool = False, bias_correction: bool = False,
) -> Transformation:  # fmt: skip
    """RMSProp, ε under the root or beside it, centered or not, with or without momentum of whole steps: optax.rmsprop.

    Errors: ValueError for centered=True with bias_correction=True: at the first step the corrected mean of squares is
    the square of the corrected mean, so that optax divides by what rounding leaves of their difference.
    """
    if centered and bias_correction:
        raise ValueError(
            "bias_correction=True needs centered=False: the corrected variance of the first gradient is 0, and its "
            "root would divide by a rounding error; got centered=True"
        )
    words = {"eps_inside": eps_in_sqrt, "centered": centered, "corrected": bias_correction}
    plain = "_".join(["rmsprop", *(word for word, holds in words.items() if holds)])
    more: dict[str, Any] = {"starts": {"s": inside(NonNegative, "initial_scale", initial_scale)}}
    if momentum is None:
        return _named(rules.named[plain], locals(), _RMS, **more)
    moving = plain + ("_nesterov" if nesterov else "_momentum")
    if eps_in_sqrt and moving in rules.named:
        return _named(rules.named[moving], locals(), _RMS, **more)
    trace = optax.trace(inside(Decay, "momentum", momentum), nesterov)
    return optax.chain(_named(rules.named[plain], locals(), _RMS, **more), trace)


def adadelta(
    learning_rate: Any = None, rho: Any = 0.9, eps: Any = 1e-6, weight_decay: Any = 0.0, weight_decay_mask: Any = None
) -> Transformation:
    """Adadelta with weight decay in the gradient: optax.adadelta, which without a learning rate gives ascent."""
    decay = inside(NonNegative, "weight_decay", weight_decay)
    parts = [] if _is_zero(decay) else [optax.add_decayed_weights(decay, weight_decay_mask)]
    rate = 1.0 if learning_rate is None else learning_rate
    parts.append(_named(rules.adadelta, locals() | {"learning_rate": rate}, {"s": "e_g", "d": "e_x"}))
    parts += [optax.scale(-1.0)] if learning_rate is None else []
    return optax.chain(*parts) if len(parts) > 1 else parts[0]


def adam(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8, eps_root: Any = 0.0, mu_dtype: Any = None, *,
    nesterov: bool = False,
) -> Transformation:  # fmt: skip
    """Adam, with a second ε under the root, or Nesterov's look ahead: optax.adam."""
    rule = rules.adam_nesterov if nesterov else rules.adam if _is_zero(eps_root) else rules.adam_eps_root
    return _named(rule, locals(), _MOMENTS, dtypes=_mean_in(mu_dtype))


def adamw(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8, eps_root: Any = 0.0, mu_dtype: Any = None,
    weight_decay: Any = 1e-4, mask: Any = None, *, nesterov: bool = False,
) -> Transformation:  # fmt: skip
    """Adam with decoupled weight decay of the parameters that `mask` names: optax.adamw."""
    rule = rules.adamw_nesterov if nesterov else rules.adamw if _is_zero(eps_root) else rules.adamw_eps_root
    return _named(rule, locals(), _MOMENTS, dtypes=_mean_in(mu_dtype), mask=mask)


nadam = functools.partial(adam, nesterov=True)
nadam.__doc__ = "Adam with Nesterov's look ahead: optax.nadam."
nadamw = functools.partial(adamw, nesterov=True)
nadamw.__doc__ = "AdamW with Nesterov's look ahead: optax.nadamw."


def adamax(learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8) -> Transformation:
    """Adam in the largest norm: optax.adamax."""
    return _named(rules.adamax, locals(), _MOMENTS)


def adamaxw(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8, weight_decay: Any = 1e-4, mask: Any = None
) -> Transformation:
    """Adamax with decoupled weight decay of the parameters that `mask` names: optax.adamaxw."""
    return _named(rules.adamaxw, locals(), _MOMENTS, mask=mask)


def amsgrad(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8, eps_root: Any = 0.0, mu_dtype: Any = None,
    bias_correction_mu: bool = True, bias_correction_nu: bool = True,
) -> Transformation:  # fmt: skip
    """AMSGrad, each of its means corrected for bias or not, and before the largest is taken: optax.amsgrad."""
    corrected = {(True, True): "", (True, False): "mean_", (False, True): "scale_", (False, False): "un"}
    rule = rules.named[f"amsgrad_{corrected[bool(bias_correction_mu), bool(bias_correction_nu)]}corrected"]
    return _named(rule, locals(), _MOMENTS, dtypes=_mean_in(mu_dtype))


def radam(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8, eps_root: Any = 0.0, threshold: Any = 5.0, *,
    nesterov: bool = False,
) -> Transformation:  # fmt: skip
    """Rectified Adam, ε beside the corrected root, with a threshold of one's own: optax.radam."""
    return _named(rules.radam_corrected_nesterov if nesterov else rules.radam_corrected, locals(), _MOMENTS)


def yogi(learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-3) -> Transformation:
    """Yogi, both of whose means start at 1e-6: optax.yogi."""
    arguments = locals() | {"initial_accumulator_value": 1e-6}
    return _named(rules.yogi, arguments, _MOMENTS, starts={"m": arguments["initial_accumulator_value"]})


def lion(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.99, mu_dtype: Any = None, weight_decay: Any = 1e-3, mask: Any = None
) -> Transformation:
    """Lion, with decoupled weight decay of the parameters that `mask` names: optax.lion."""
    return _named(rules.lion, locals(), _MOMENTS, dtypes=_mean_in(mu_dtype), mask=mask)
