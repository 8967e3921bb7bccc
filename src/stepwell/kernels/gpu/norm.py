"""Sums over all tensors of a table, on the device: a partial sum a block, in float64, always in the same order."""

import functools
from typing import Any

from stepwell.kernels.gpu import modules
from stepwell.kernels.gpu.expressions import POINTERS, loaded
from stepwell.kernels.source import FIRST_BLOCK, LENGTH, RESTING

_SOURCE = '''\
"""Partial sums over gradients stored as {dtype}."""

import triton
import triton.language as tl


@triton.jit
def block_sums(table, gradients, which, sums, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    block = tl.program_id(0)
    tensor = tl.load(which + block).to(tl.int64)
    row = table + tensor * COLUMNS
    at_g = tl.load(gradients + tensor)
    start = (block - tl.load(row + {FIRST_BLOCK})) * BLOCK
    here = tl.minimum(tl.load(row + {LENGTH}) - start, BLOCK)
    here = tl.where(at_g == {RESTING}, 0, here).to(tl.int32)
    p_g = at_g.to(tl.pointer_type(tl.{pointer})) + start
    j = tl.arange(0, BLOCK)
    if (here == BLOCK) & (at_g % 16 == 0):
        p_g = tl.multiple_of(p_g, 16)
        x = ({whole}).to(tl.float64)
    else:
        x = ({part}).to(tl.float64)
    tl.store(sums + block, tl.sum({term}, axis=0))
'''
TERMS = {"squares": "x * x", "finite": "x * 0.0"}  # the second sums to 0 if all are finite, else to NaN


@functools.cache
def block_sums(dtype: str, term: str) -> Any:
    """The kernel of one of TERMS for gradients stored so."""
    source = _SOURCE.format(
        dtype=dtype, term=TERMS[term], pointer=POINTERS[dtype],
        whole=loaded(dtype, "p_g + j", None), part=loaded(dtype, "p_g + j", "j < here"),
        FIRST_BLOCK=FIRST_BLOCK, LENGTH=LENGTH, RESTING=RESTING,
    )  # fmt: skip
    return modules.functions(source)["block_sums"]
