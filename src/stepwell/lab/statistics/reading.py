"""Reading what the statistics are given: losses, options and shares, each with an error that says what is wrong."""

import math
from typing import Annotated, Any

import numpy as np

from stepwell.domain import Domain

Array = np.ndarray

BETWEEN = Annotated[float, Domain("a number in (0, 1)", lambda x: 0 < x < 1)]
FLOOR = Annotated[float, Domain("a number ≥ 0", lambda x: x >= 0)]
STATISTIC = Annotated[str, Domain('"mean" or "median"', lambda x: x in ("mean", "median"), lambda x: x)]


def numbers(name: str, values: Any, dimensions: int = 1) -> Array:
    """`values` as a new array of float64 with that many dimensions and at least one element.

    Errors: TypeError if they are no numbers; ValueError for another number of dimensions or none at all.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers with {dimensions} dimension(s); got {values!r}") from None
    if array.ndim != dimensions or not array.size:
        raise ValueError(f"{name} must have {dimensions} dimension(s) and an element; its shape is {array.shape}")
    return array


def losses(name: str, values: Any, dimensions: int = 1) -> Array:
    """Losses as an array; NaN becomes +∞: a run that diverged is worse than any that did not.

    Errors: as `numbers`; ValueError for −∞, which no loss is.
    """
    array = numbers(name, values, dimensions)
    array[np.isnan(array)] = math.inf
    if (array == -math.inf).any():
        raise ValueError(f"{name} must be finite, +∞ or NaN (both: diverged); got -inf")
    return array
