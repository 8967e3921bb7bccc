"""Which types arrays may have."""

from typing import Any

import jax
import jax.numpy as jnp


def floating(name: str, dtype: Any) -> Any:
    """`dtype` as JAX has it, None where it is None; TypeError if it is of no real floating type."""
    if dtype is None:
        return None
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise TypeError(f"{name} must be a real floating type or None; got {dtype!r}")
    return jax.dtypes.canonicalize_dtype(found)


def real(x: Any) -> jax.Array:
    """A parameter or gradient as an array; TypeError if it is of no real floating type."""
    if x is None:
        raise TypeError("the gradients have a leaf where the parameters have None")
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        cure = "optax.contrib.split_real_and_imaginary" if jnp.iscomplexobj(x) else "optax.masked leaves others alone"
        raise TypeError(
            f"parameters and gradients must be of real floating types; got {x.dtype} of shape {x.shape} ({cure})"
        )
    return x
