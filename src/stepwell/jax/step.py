"""One step of one array: the rule's program, its scalars in double precision whatever the arrays are."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from stepwell.jax import native
from stepwell.kernels import interpret
from stepwell.kernels.trace import updates
from stepwell.rule import Rule

Arrays = Mapping[str, Any]
Step = Callable[[Arrays, Arrays], tuple[Any, dict[str, Any]]]


@functools.lru_cache(maxsize=1024)
def compiled(rule: Rule, fixed: tuple[tuple[str, float], ...]) -> Step:
    """The step of a rule with some of its hyperparameters fixed; run it in `jax.enable_x64(True)`.

    It takes arrays (`g`, `p` if the rule reads it, the state) and scalars (`t`, the other hyperparameters), and gives
    the update and the new state. The update has the type that the arrays promote to, each new state that of the old.
    """

    def step(arrays: Arrays, scalars: Arrays) -> tuple[Any, dict[str, Any]]:
        return _step(rule, dict(fixed), arrays, scalars)

    step.__name__ = rule.name
    return jax.jit(step, inline=True)


def _step(rule: Rule, fixed: Arrays, arrays: Arrays, scalars: Arrays) -> tuple[Any, dict[str, Any]]:
    numbers = {name: arrays[name] for name in updates(rule).scalar_state}
    large = {name: x for name, x in arrays.items() if name not in numbers}
    result = jnp.result_type(*(x.dtype for x in large.values()))  # not of the arrays, which may be weak
    precision = jnp.result_type(result, jnp.float32)
    wide = {name: jnp.asarray(x, jnp.float64) for name, x in {**scalars, **numbers}.items()}
    way = native.body if native.suits(rule, large) else _by_xla
    scalars = interpret.prologue(updates(rule), {**fixed, **wide})
    outcome = way(rule, {name: x.astype(precision) for name, x in large.items()}, scalars)
    outcome |= interpret.numbers(updates(rule), scalars)
    update = jnp.broadcast_to(jnp.asarray(outcome.pop("update"), result), arrays["g"].shape)
    return update, {name: jnp.asarray(x, arrays[name].dtype) for name, x in outcome.items()}


def _by_xla(rule: Rule, arrays: Arrays, scalars: Arrays) -> dict[str, Any]:
    return interpret.body(updates(rule), arrays, interpret.narrowed(scalars, lambda x: x.astype(arrays["g"].dtype)))
