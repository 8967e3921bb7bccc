"""What users hand over, or their functions return: names, and numbers as float64; errors in the words of the caller."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from stepwell.domain import number

T = TypeVar("T")


def one_of(argument: str, name: str, known: Mapping[str, T]) -> T:
    """The thing of that name; a ValueError that has all names, and one that is close, where there is none."""
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"{argument} must be one of {', '.join(known)}; got {name!r}{hint}")
    return known[name]


def reals(words: str, value: Any) -> np.ndarray:
    """`value` as a float64 array of its own; a TypeError of these words for what is not made of real numbers.

    >>> reals("x must be real numbers", [1, 2])
    array([1., 2.])
    >>> reals("x must be real numbers", 1j)
    Traceback (most recent call last):
    TypeError: x must be real numbers; got 1j
    """
    try:
        found = np.asarray(value)
    except (ValueError, RuntimeError, TypeError):  # ragged lists, tensors that ask for their gradient
        raise TypeError(f"{words}; got {value!r}") from None
    if found.dtype.kind not in "iuf":
        raise TypeError(f"{words}; got {value!r}")
    return np.array(found, np.float64)


def returned(name: str, value: Any) -> float:
    """The one real number that the function `name` returned; TypeError for anything else."""
    try:
        return number(value)
    except TypeError:
        raise TypeError(f"{name} must return one real number; got {value!r}") from None


def square(Q: Any) -> np.ndarray:
    """Q as a float64 array; a TypeError or ValueError unless it is a square matrix of finite numbers."""
    words = "Q must be a square matrix of finite numbers"
    matrix = reals(words, Q)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size or not np.isfinite(matrix).all():
        raise ValueError(f"{words}; got {Q!r}")
    return matrix
