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
FORMS = ("update", "training step")
FLOORS = {("adadelta", "update"): 3.0}
FLOOR = 0.95


def main(quick: bool = False) -> list[Row]:
    """Ratios of step times; 20 million float32 parameters, a tenth of that if quick."""
    size = 2_000_000 if quick else 20_000_000
    return [_row(case, form, size, 5 if quick else 21) for form in FORMS for case in CASES]


def _row(case: str, form: str, size: int, rounds: int) -> Row:
    name, options = case.partition(",")[0], {"learning_rate": 1.0 if form == "update" else 1e-6} | CASES[case]
    make = _update if form == "update" else _training_step
    sides = {side: make(getattr(home, name)(**options), size) for side, home in (("ours", ours), ("optax", optax))}
    times = medians(sides | {"add": _add(size)}, rounds)
    arrays = _moved(getattr(ours, name)(**options), form, size)
    detail = f"{milliseconds(times['ours'])} against {milliseconds(times['optax'])}"
    return Row(
        name=f"JAX {form}, {case}", ratio=times["optax"] / times["ours"], peer=f"optax.{name}, jit",
        limit=arrays / 3 * times["add"] / times["ours"], floor=FLOORS.get((name, form), FLOOR), detail=detail,
    )  # fmt: skip


def _moved(optimizer: Any, form: str, size: int) -> int:
    """How many arrays one pass reads and writes: the gradient, its update or the parameters, and the state."""
    state = jax.eval_shape(optimizer.init, jnp.zeros(size))
    kept = len([x for x in jax.tree.leaves(state) if x.shape == (size,)])
    return 2 * kept + (2 if form == "update" else 3)


def _update(optimizer: Any, size: int) -> Callable[[], object]:
    """The optimizer's own step: gradients become updates in their place. The next gradients are these updates."""
    params = jax.random.normal(jax.random.key(0), (size,))
    update = jax.jit(optimizer.update, donate_argnums=(0, 1))
    kept = [jnp.array(params), optimizer.init(params)]

    def run() -> None:
        kept[:] = update(*kept, params)
        jax.block_until_ready(kept)

    return run


def _training_step(optimizer: Any, size: int) -> Callable[[], object]:
    """Update and parameters in one compiled step, as training loops have it; the gradient is given, and stays."""
    gradient = jax.random.normal(jax.random.key(0), (size,))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, gradient: Any) -> Any:
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    params = jnp.array(gradient)
    kept = [params, optimizer.init(params)]

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
