"""One step of a rule on the arrays of Keras's backend: scalars in double precision, the rest as the variable is.

Half-precision variables are computed with in single precision and rounded once, when they are stored.
"""
# pyright: reportMissingImports=false

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import keras
from keras import ops

from stepwell import symbolic
from stepwell.kernels.interpret import run
from stepwell.kernels.trace import Program

BACKEND = keras.config.backend()

if BACKEND == "tensorflow":
    from stepwell.keras import vocabulary

    symbolic.LIBRARIES["tensorflow"] = vocabulary


def double_precision() -> AbstractContextManager[Any]:
    """Where scalars may be in double precision: everywhere, but for JAX, which has to be told."""
    if BACKEND != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(True)


def kept_dtype() -> str:
    """The dtype of a variable that holds a scalar between steps: double, where such variables can be."""
    if BACKEND != "jax":
        return "float64"
    import jax

    return "float64" if jax.config.read("jax_enable_x64") else "float32"


def wide(x: Any) -> Any:
    """A scalar of the backend, a variable or a number as a scalar in double precision."""
    if isinstance(x, (int, float)):
        return ops.convert_to_tensor(x, dtype="float64")  # at once: Keras's default dtype would round it
    return ops.cast(ops.convert_to_tensor(x), "float64")


def read(variable: Any) -> Any:
    """What a variable holds now, as a tensor of the backend."""
    tensor = ops.convert_to_tensor(variable)
    return tensor.read_value() if hasattr(tensor, "read_value") else tensor  # a tf.Variable passes for a tensor


def step(
    program: Program, p: Any, g: Any, state: Mapping[str, Any], scalars: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The new parameter and state arrays, of the dtypes of the old.

    Args:
        program: `stepwell.kernels.trace.trace` of a rule without stages.
        p, g, state: the arrays.
        scalars: `t`, the hyperparameters and the scalar state: numbers, or scalars in double precision.
    """
    dtype = keras.backend.standardize_dtype(p.dtype)
    body = "float32" if dtype in ("float16", "bfloat16") else dtype
    arrays = {name: ops.cast(x, body) for name, x in {"p": p, "g": g, **state}.items()}
    with double_precision():
        new = run(program, arrays, scalars, lambda x: ops.cast(x, body))
    stored = {name: _like(new[name], x) for name, x in {"p": p, **state}.items()}
    return stored.pop("p"), stored


def advanced(program: Program, scalars: Mapping[str, Any]) -> dict[str, Any]:
    """The scalar state after the step."""
    alone = Program((), program.scalar_state, (), program.scalars, program.prologue, (), _numbers_of(program))
    with double_precision():
        return {name: ops.cast(x, kept_dtype()) for name, x in run(alone, {}, scalars).items()}


def _numbers_of(program: Program) -> dict[str, str | float]:
    return {name: program.outputs[name] for name in program.scalar_state}


def _like(new: Any, old: Any) -> Any:
    """`new` with the shape and dtype of `old`; rules may give a plain number for an array."""
    if isinstance(new, float) or tuple(new.shape) != tuple(old.shape):
        new = ops.broadcast_to(ops.cast(new, old.dtype), ops.shape(old))
    return ops.cast(new, old.dtype)
