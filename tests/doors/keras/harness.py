"""How optimizers are run on the backend of the run, and compared."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

BACKEND = keras.config.backend()
STEPS = 50
SHAPES = [(), (0,), (5,), (7, 5)]
# Keras's own rounding counts here: on TensorFlow it rounds momentum and β to single precision whatever the dtype
LIMITS = {"float32": 1e-5, "float64": 1e-6 if BACKEND == "tensorflow" else 1e-12}
WAYS = {"tensorflow": ["eager", "tf.function", "jit_compile"], "jax": ["jit", "eager"], "torch": ["eager"]}[BACKEND]


def start(dtype: str, shapes: Sequence[tuple[int, ...]] = SHAPES) -> list[np.ndarray]:
    """Normal numbers."""
    rng = np.random.default_rng(99)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


def gradients(
    dtype: str, shapes: Sequence[tuple[int, ...]] = SHAPES, steps: int = STEPS, decades: int = 8
) -> list[list[np.ndarray]]:
    """Normal numbers whose size runs through decades, again and again."""
    rng = np.random.default_rng(0)
    sizes = [10.0 ** (i % decades - decades // 2) for i in range(steps)]
    return [[np.asarray(rng.standard_normal(shape) * size, dtype) for shape in shapes] for size in sizes]


def numpy(x: Any) -> np.ndarray:
    """A tensor or variable as an array."""
    return np.array(keras.ops.convert_to_numpy(x))


def stepper(optimizer: Any, variables: list[Any], way: str) -> Callable[[list[Any]], None]:
    """A function that makes one step with gradients."""
    optimizer.build(variables)

    def step(given: list[Any]) -> None:
        optimizer.apply(given, variables)

    if way == "eager":
        return step
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(step, jit_compile=way == "jit_compile", autograph=False)
    import jax

    stateless = jax.jit(optimizer.stateless_apply)

    def through(given: list[Any]) -> None:
        new = stateless([v.value for v in optimizer.variables], given, [v.value for v in variables])
        for group, values in zip((variables, optimizer.variables), new, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    return through


def train(optimizer: Any, begin: list[np.ndarray], given: Sequence[list[np.ndarray]], way: str = WAYS[0]) -> list[Any]:
    """The variables after each step."""
    variables = [keras.Variable(x, dtype=x.dtype.name) for x in begin]
    step, path = stepper(optimizer, variables, way), []
    for gs in given:
        step([keras.ops.convert_to_tensor(g) for g in gs])
        path.append([numpy(v) for v in variables])
    return path


def distance(found: Sequence[list[np.ndarray]], expected: Sequence[list[np.ndarray]]) -> float:
    """The largest difference on the way, of any array, relative to the largest element that the array ever had."""
    worst = 0.0
    for mine, theirs in zip(zip(*found, strict=True), zip(*expected, strict=True), strict=True):
        a, b = np.stack(mine).astype(np.float64), np.stack(theirs).astype(np.float64)
        assert np.isfinite(b).all()
        if b.size:
            assert not np.array_equal(b[0], b[-1]), "nothing was trained"
            worst = max(worst, float(abs(a - b).max() / abs(b).max()))
    return worst
