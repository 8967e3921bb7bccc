"""In JAX, with optax."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from stepwell.book.loops import Loop
from stepwell.lab.task import Task
from stepwell.rule import Rule


def from_scratch(task: Task, weights: np.ndarray, rule: Rule, hyper: Mapping[str, float]) -> Loop:
    """Two arrays, their gradients, and the rule."""

    def start(p: Any) -> dict[str, Any]:
        return {name: jnp.full_like(p, rule.start_of(name, hyper)) for name in rule.state}

    def one(p: Any, g: Any, state: dict[str, Any], t: Any) -> tuple[Any, dict[str, Any]]:
        step, *fresh = rule.bind({"p": p, "g": g, "t": t, **state}, hyper)
        return p - step, dict(zip(rule.state, fresh, strict=True))

    def update(params: Any, gradients: Any, carried: Any) -> tuple[Any, Any]:
        states, t = carried
        pairs = [one(*each, t + 1.0) for each in zip(params, gradients, states, strict=True)]
        return tuple(p for p, _ in pairs), (tuple(state for _, state in pairs), t + 1.0)

    params = (jnp.asarray(weights), jnp.zeros(1))
    return _loop(params, (tuple(map(start, params)), jnp.zeros(())), update)


def concise(task: Task, weights: np.ndarray, optimizer: Callable[..., Any], hyper: Mapping[str, Any]) -> Loop:
    """The same two arrays, and the optimizer."""
    params, trainer = (jnp.asarray(weights), jnp.zeros(1)), optimizer(**hyper)

    def update(params: Any, gradients: Any, state: Any) -> tuple[Any, Any]:
        updates, state = trainer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return _loop(params, trainer.init(params), update)


def _loop(params: Any, carried: Any, update: Callable[[Any, Any, Any], tuple[Any, Any]]) -> Loop:
    @jax.jit
    def loss_of(params: Any, x: Any, y: Any) -> Any:
        w, b = params
        return ((x @ w + b - y) ** 2).mean() / 2

    @jax.jit
    def stepped(params: Any, carried: Any, x: Any, y: Any) -> tuple[Any, Any]:
        return update(params, jax.grad(loss_of)(params, x, y), carried)

    def step(x: np.ndarray, y: np.ndarray) -> None:
        nonlocal params, carried
        params, carried = stepped(params, carried, x, y)

    return Loop(step, lambda x, y: float(loss_of(params, x, y)))
