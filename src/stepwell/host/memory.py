"""Where arrays lie in memory."""

import ctypes
from typing import Any

import numpy as np


def address(a: np.ndarray) -> int:
    """Where an array's first element lies."""
    return a.__array_interface__["data"][0]


def view(at: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """A writable array, in C order, over memory that its owner keeps alive for as long as the array is used."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    if not size:
        return np.empty(shape, kind)
    owned: Any = (ctypes.c_byte * size).from_address(at)
    return np.frombuffer(owned, kind).reshape(shape)


def span(a: np.ndarray) -> tuple[int, int]:
    """The first address of an array and the one after its last."""
    low = high = address(a)
    if a.size == 0:
        return low, low
    for length, stride in zip(a.shape, a.strides, strict=True):
        reach = (length - 1) * stride
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high + a.itemsize


def dense(p: np.ndarray, *others: np.ndarray) -> bool:
    """Whether equal positions in memory are equal elements, and a kernel may read them there."""
    same = any(all(a.flags[order] for a in (p, *others)) for order in ("C_CONTIGUOUS", "F_CONTIGUOUS"))
    return same and all(a.flags.aligned for a in (p, *others))
