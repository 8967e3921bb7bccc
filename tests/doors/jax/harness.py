"""How transformations are run and compared."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

STEPS = 50
SHAPES = {"number": (), "empty": (0, 3), "vector": (5,), "layer": {"weight": (7, 5), "bias": (5,)}}
Tree = Any


def _made(shapes: Any, draw: Callable[[tuple[int, ...]], jax.Array]) -> Tree:
    return jax.tree.map(draw, shapes, is_leaf=lambda x: isinstance(x, tuple))


def _rounded(x: np.ndarray, dtype: str) -> jax.Array:
    """Numbers of single precision, the same ones in any wider type."""
    return jnp.asarray(np.asarray(x, np.float32), dtype)


def parameters(dtype: str, shapes: Any = SHAPES) -> Tree:
    """Normal numbers."""
    rng = np.random.default_rng(99)
    return _made(shapes, lambda shape: _rounded(rng.standard_normal(shape), dtype))


def gradients(dtype: str, shapes: Any = SHAPES, steps: int = STEPS, seed: int = 0) -> list[Tree]:
    """Normal numbers whose size runs through eight decades, again and again."""
    rng = np.random.default_rng(seed)
    return [
        _made(shapes, lambda shape, size=10.0 ** (i % 8 - 4): _rounded(rng.standard_normal(shape) * size, dtype))
        for i in range(steps)
    ]


def train(optimizer: Any, params: Tree, given: Sequence[Tree], compiled: bool = True) -> list[Tree]:
    """The parameters after each step."""

    def step(params: Tree, state: Any, g: Tree) -> tuple[Tree, Any]:
        updates, state = optimizer.update(g, state, params)
        return optax.apply_updates(params, updates), state

    step = jax.jit(step) if compiled else step
    state, path = optimizer.init(params), []
    for g in given:
        params, state = step(params, state, g)
        path.append(params)
    return path


def distance(found: Sequence[Tree], expected: Sequence[Tree]) -> float:
    """The largest difference on the way, of any array, relative to the largest element that the array ever had."""
    worst = 0.0
    for mine, theirs in zip(_columns(found), _columns(expected), strict=True):
        assert np.isfinite(theirs).all()
        if theirs.size:
            assert not np.array_equal(theirs[0], theirs[-1]), "nothing was trained"
            worst = max(worst, float(abs(mine - theirs).max() / abs(theirs).max()))
    return worst


def _columns(path: Sequence[Tree]) -> list[np.ndarray]:
    return [
        np.stack([np.asarray(x, np.float64) for x in leaf]) for leaf in zip(*map(jax.tree.leaves, path), strict=True)
    ]
