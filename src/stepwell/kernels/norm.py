"""Sums over all tensors of a table, one partial sum a block, so the result does not depend on the threads."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from stepwell.kernels import cache
from stepwell.kernels.cpu import blocks_of, over_blocks
from stepwell.kernels.source import ADDRESSES, BLOCK, FIRST_BLOCK, LENGTH
from stepwell.symbolic import minimum

_SOURCE = f"""\
from numba import float32, float64

from stepwell.kernels.memory import accessors

load, _ = accessors({{dtype!r}}, 0, 1)


def block_sums(table, column, sums, low, high):
    tensor = 0
    for block in range(low, high):
        while tensor + 1 < table.shape[0] and table[tensor + 1, {FIRST_BLOCK}] <= block:
            tensor += 1
        address = table[tensor, {ADDRESSES} + column]
        start = (block - table[tensor, {FIRST_BLOCK}]) * {BLOCK}
        stop = min(start + {BLOCK}, table[tensor, {LENGTH}])
        total = float64(0.0)
        for j in range(start, stop):
            x = float64(load(address, j))
            total += {{term}}
        sums[block] = total
"""
_SIGNATURE = "void(int64[:, ::1], int64, float64[::1], int64, int64)"
_OPTIONS = cache.OPTIONS | {"fastmath": {"contract", "reassoc"}}  # reassoc lets a sum use vectors


@functools.cache
def _block_sums(dtype: str, term: str) -> Callable[..., None]:
    return cache.compiled(_SOURCE.format(dtype=dtype, term=term), "block_sums", _SIGNATURE, _OPTIONS)


def _sum(table: np.ndarray, column: int, dtype: str, term: str, threads: int) -> float:
    sums = np.zeros(blocks_of(table))
    over_blocks(functools.partial(_block_sums(dtype, term), table, column, sums), table, threads)
    try:
        return math.fsum(sums)
    except OverflowError:  # fsum refuses a sum beyond the largest number
        with np.errstate(over="ignore"):
            return float(sums.sum())


def sum_of_squares(table: np.ndarray, column: int, dtype: str, threads: int) -> float:
    """Σx² in double precision over the arrays at the column-th address of each tensor."""
    return _sum(table, column, dtype, "x * x", threads)


def all_finite(table: np.ndarray, column: int, dtype: str, threads: int) -> bool:
    """Whether no element is NaN or infinite: x·0 is NaN for those, and 0 for all others."""
    return _sum(table, column, dtype, "x * 0.0", threads) == 0.0


def clip_factor(norm: Any, limit: float) -> Any:
    """The factor that brings a gradient of this norm inside the L2 ball of radius `limit`; NaN for a NaN norm.

    torch.nn.utils.clip_grad_norm_'s own: limit / (norm + 1e-6), at most 1. The norm is a number, or one of an array
    library's own; so is the factor.
    """
    return minimum(limit / (norm + 1e-6), 1.0)
