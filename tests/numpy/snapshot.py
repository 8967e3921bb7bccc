"""All of an optimizer, to the bit: what an error must leave as it was."""

from typing import Any

import numpy as np

import stepwell.numpy as door


def frozen(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return str(x.dtype), x.shape, x.tobytes()
    if isinstance(x, dict):
        return {key: frozen(value) for key, value in x.items()}
    return repr(x)


def of(optimizer: door.Optimizer) -> Any:
    """Arrays, state, hyperparameters, options and count of steps."""
    params = optimizer.params if isinstance(optimizer.params, dict) else dict(enumerate(optimizer.params))
    return frozen({"params": params, "saved": optimizer.state_dict()})
