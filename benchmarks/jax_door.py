"""A compiled step on JAX beside optax's own transformation of that name."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

import stepwell.jax as ours
from _measure import Row, medians, milliseconds

CASES: dict[str, dict[str, Any]] = {
    "sgd": {}, "sgd, momentum": {"momentum": 0.9}, "sgd, nesterov": {"momentum": 0.9, "nesterov": True}, "adagrad": {},
    "rmsprop": {}, "rmsprop, momentum": {"momentum": 0.9}, "rmsprop, centered": {"centered": True}, "adadelta": {},
    "adam": {}, "adam, eps_root": {"eps_root": 1e-8}, "adamw": {}, "nadam": {}, "nadamw": {}, "adamax": {},
    "adamaxw": {}, "amsgrad": {}, "radam": {}, "yogi": {}, "lion": {},
}  # fmt: skip
FLOORS = {"adadelta": 3.0}
FLOOR = 0.95


def main(quick: bool = False) -> list[Row]:
    """Ratios of step times; 20 million float32 parameters, a tenth of that if quick."""
    size = 2_000_000 if quick else 20_000_000
    return [_row(case, size, 5 if quick else 11) for case in CASES]


def _row(case: str, size: int, rounds: int) -> Row:
    name, options = case.partition(",")[0], {"learning_rate": 1e-6} | CASES[case]
    sides = {side: _step(getattr(home, name)(**options), size) for side, home in (("ours", ours), ("optax", optax))}
    times = medians(sides | {"add": _add(size)}, rounds)
    state = jax.eval_shape(getattr(ours, name)(**options).init, jnp.zeros(size))
    arrays = 2 + 2 * len([x for x in jax.tree.leaves(state) if x.shape == (size,)]) + 2  # g, p, state; state, p, update
    reached = arrays / 3 * times["add"] / times["ours"]
    detail = f"{milliseconds(times['ours'])} against {milliseconds(times['optax'])}"
    return Row(
        name=f"JAX step, {case}", ratio=times["optax"] / times["ours"], peer=f"optax.{name}, jit", limit=reached,
        floor=FLOORS.get(name, FLOOR), detail=detail,
    )  # fmt: skip


def _step(optimizer: Any, size: int) -> Callable[[], object]:
    """A step as training loops have it, the arrays of the last one given up for those of the next."""
    gradient = jax.random.normal(jax.random.key(0), (size,))

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2), keep_unused=True)
    def step(params: Any, state: Any, old: Any, gradient: Any) -> Any:
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, updates

    params = jnp.array(gradient)
    kept = [params, optimizer.init(params), jnp.zeros(size)]

    def run() -> None:
        kept[:] = step(*kept, gradient)
        jax.block_until_ready(kept)

    return run


def _add(size: int) -> Callable[[], object]:
    """a += b, the limit: it moves 12 bytes an element."""
    kept, one = [jnp.zeros(size)], jnp.full((size,), 1e-9)
    add = jax.jit(lambda a, b: a + b, donate_argnums=0)

    def run() -> None:
        kept[0] = jax.block_until_ready(add(kept[0], one))

    return run
