"""Optimizers for JAX: optax's own names with its numbers, every other rule beside them: transformations of optax.

>>> import jax.numpy as jnp, optax
>>> from stepwell.jax import adam
>>> optimizer = adam(learning_rate=0.5)
>>> params = jnp.zeros(3)
>>> state = optimizer.init(params)
>>> updates, state = optimizer.update(2 * (params - 1), state)
>>> optax.apply_updates(params, updates).tolist()
[0.5, 0.5, 0.5]
"""

try:
    import optax as _optax
except ImportError as _error:
    from stepwell.door import needs as _needs

    raise _needs("jax", "optax") from _error

from collections.abc import Callable as _Callable

from stepwell import rules as _rules
from stepwell.jax.from_rule import from_rule
from stepwell.jax.named import (
    adadelta,
    adagrad,
    adam,
    adamax,
    adamaxw,
    adamw,
    amsgrad,
    lion,
    nadam,
    nadamw,
    radam,
    rmsprop,
    sgd,
    yogi,
)
from stepwell.jax.snapshot import restored, snapshot
from stepwell.jax.state import RuleState

__all__ = [
    "RuleState", "adadelta", "adagrad", "adam", "adamax", "adamaxw", "adamw", "amsgrad", "from_rule", "lion", "nadam",
    "nadamw", "radam", "restored", "rmsprop", "sgd", "snapshot", "yogi",
]  # fmt: skip

_others = [name for name in _rules.named if name not in __all__]
__all__ += sorted(_others)


def __getattr__(name: str) -> "_Callable[..., _optax.GradientTransformationExtraArgs]":
    if name in _others:
        return from_rule(_rules.named[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
