"""Sparse gradients with every row once: values of equal indices are added, in the order in which they stand.

The order of the sums is that of the positions, whatever the number of threads: those share the columns, not the rows.
Memory is proportional to the gradient, never to the table.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.kernels import cache, pool
from stepwell.kernels.cpu import ALONE
from stepwell.kernels.source import SIZES

INDICES = ("int32", "int64")
LINE = 16  # columns that a thread takes at a time
_AHEAD = 16  # rows; far enough for a line of memory to arrive, near enough to stay

_NUMBER = """\
def number(indices, limit, slots, rows, ids):
    mask = slots.shape[0] - 1
    shift = 64
    while mask >> (64 - shift):
        shift -= 1
    slots[:] = -1
    count = 0
    for i in range(indices.shape[0]):
        row = int64(indices[i])
        if row < 0 or row >= limit:
            return -1 - i
        at = int64(uint64(row) * uint64(0x9E3779B97F4A7C15) >> uint64(shift))
        while slots[at] >= 0 and rows[slots[at]] != row:
            at = (at + 1) & mask
        if slots[at] < 0:
            slots[at] = count
            rows[count] = row
            count += 1
        ids[i] = slots[at]
    return count
"""

_ADD = f"""\
from numba import {{real}}

from stepwell.kernels.memory import accessors, prefetch

load, _ = accessors({{dtype!r}}, 0, 2)
sum_of, store = accessors({{real!r}}, 1, 2)


def add(ids, values, sums, width, low, high):
    first, last = low * {LINE}, min(high * {LINE}, width)
    seen = 0
    for i in range(ids.shape[0]):
        value, total = i * width, ids[i] * width
        for j in range(first, last, {LINE}):
            prefetch(values + (value + {_AHEAD} * width + j) * {{size}})
        if ids[i] == seen:
            seen += 1
            for j in range(first, last):
                store(sums, total + j, {{real}}(load(values, value + j)))
        else:
            for j in range(first, last):
                store(sums, total + j, sum_of(sums, total + j) + {{real}}(load(values, value + j)))
"""


@dataclass(frozen=True)
class Merged:
    """A gradient of `gradients[k]` in row `rows[k]`, each row once, in the order of first appearance."""

    rows: np.ndarray
    gradients: np.ndarray


class Scratch:
    """Memory that is used again at each step: pages fresh from the system cost more than the work done in them."""

    def __init__(self) -> None:
        self._kept: dict[str, np.ndarray] = {}

    def room(self, name: str, size: int, dtype: str) -> np.ndarray:
        """An unfilled array of that size, good until the same name is asked for again."""
        kept = self._kept.get(name)
        if kept is None or len(kept) < size or kept.dtype != dtype or len(kept) > 8 * size + (1 << 20):
            kept = self._kept[name] = np.empty(size + size // 4, dtype)
        return kept[:size]


def merge(
    indices: np.ndarray, values: int, dtype: str, width: int, limit: int, threads: int, real: str,
    scratch: Scratch | None = None,
) -> Merged:  # fmt: skip
    """The sum of the values of each row.

    Args:
        indices: rows of a table, int32 or int64, in any order, repeated or not.
        values: the address of as many rows of `width` numbers of `dtype`, one after the other.
        limit: how many rows the table has.
        real: float32 or float64, what sums are made in.
        scratch: where the result and all else lies; the result is then good until the next merge in it.

    Raises:
        IndexError: an index that the table does not have.
    """
    n, scratch = len(indices), scratch or Scratch()
    slots = scratch.room("slots", 1 << max(2 * n - 1, 1).bit_length(), "int32")
    rows, ids = scratch.room("rows", n, "int64"), scratch.room("ids", n, "int32")
    count = _number(indices.dtype.name)(indices, limit, slots, rows, ids)
    if count < 0:
        refuse(indices, -1 - count, limit)
    sums = scratch.room("sums", count * width, real).reshape(count, width)
    add = functools.partial(_add(dtype, real), ids, values, sums.__array_interface__["data"][0], width)
    lines = -(-width // LINE)
    if threads > 1 and n * width > ALONE:
        pool.run(add, lines, threads, grain=max(1, lines // threads))
    else:
        add(0, lines)
    return Merged(rows[:count], sums)


def refuse(indices: np.ndarray, position: int, limit: int) -> None:
    """Say that an index is outside its table."""
    raise IndexError(
        f"indices[{position}] must be a row of the table, from 0 to {limit - 1}; got {int(indices[position])}"
    )


@functools.cache
def _number(dtype: str) -> Callable[..., int]:
    words = f"int64({dtype}[::1], int64, int32[::1], int64[::1], int32[::1])"
    return cache.compiled("from numba import int64, uint64\n\n\n" + _NUMBER, "number", words)


@functools.cache
def _add(dtype: str, real: str) -> Callable[..., None]:
    words = "void(int32[::1], int64, int64, int64, int64, int64)"
    return cache.compiled(_ADD.format(dtype=dtype, real=real, size=SIZES[dtype]), "add", words)


__all__: list[Any] = ["INDICES", "Merged", "merge", "refuse"]
