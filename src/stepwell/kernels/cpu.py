"""Rules as machine code: a kernel for each rule, stages and dtypes, over all tensors in one call."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.kernels import cache, pool
from stepwell.kernels.lossy import LOSSY, beside, lossy_source
from stepwell.kernels.source import ADDRESSES, BLOCK, FIRST_BLOCK, GROUP, LENGTH, kernel_source
from stepwell.kernels.stages import Stages
from stepwell.kernels.trace import Program, trace
from stepwell.rule import Rule

DTYPES = ("float32", "float64", "float16", "bfloat16")
SIGNATURE = "void(int64[:, ::1], float64[:, ::1], float64[:, ::1], int64, int64)"
ALONE = 1 << 20  # elements; work up to this size stays on the calling thread, waking another costs more


@dataclass(frozen=True)
class Kernel:
    """A compiled step. `program.arrays`, `beside` and `program.scalar_state` order the table's address columns."""

    program: Program
    function: Callable[..., None]
    beside: tuple[str, ...] = ()

    def table(self, lengths: Sequence[int], groups: Sequence[int]) -> np.ndarray:
        """A table for tensors of these lengths, each in a group; the addresses are the caller's to fill in."""
        columns = ADDRESSES + len(self.program.arrays) + len(self.beside) + len(self.program.scalar_state)
        return layout(lengths, groups, columns)

    def clock(self, tensors: int) -> np.ndarray:
        """Room for t and the scalar state of that many tensors."""
        return np.zeros((tensors, 1 + len(self.program.scalar_state)))

    def run(self, table: np.ndarray, clock: np.ndarray, groups: np.ndarray, threads: int) -> None:
        """One step of every tensor in the table, in place."""
        over_blocks(functools.partial(self.function, table, clock, groups), table, threads)


def layout(lengths: Sequence[int], groups: Sequence[int], columns: int) -> np.ndarray:
    """A table of tensors whose first columns are filled in."""
    table = np.zeros((len(lengths), columns), np.int64)
    table[:, LENGTH] = lengths
    table[:, GROUP] = groups
    blocks = np.maximum(-(-table[:, LENGTH] // BLOCK), 1)  # an empty tensor has a block too, for its scalar state
    table[1:, FIRST_BLOCK] = np.cumsum(blocks)[:-1]
    return table


def blocks_of(table: np.ndarray) -> int:
    """How many blocks the tensors of a table have."""
    return int(table[-1, FIRST_BLOCK] + max(-(-table[-1, LENGTH] // BLOCK), 1)) if len(table) else 0


def over_blocks(work: Callable[[int, int], None], table: np.ndarray, threads: int, alone: int | None = None) -> None:
    """Do `work(low, high)` over the blocks of a table, on several threads if it has over `alone` (ALONE) elements."""
    blocks = blocks_of(table)
    if threads > 1 and table[:, LENGTH].sum() > (ALONE if alone is None else alone):
        pool.run(work, blocks, threads, grain=max(1, blocks // (threads * 8)))
    else:
        work(0, blocks)


@functools.cache
def kernel(rule: Rule, stages: Stages, storage: tuple[str, ...]) -> Kernel:
    """The kernel of a rule and its stages for arrays stored as `storage` says: p, g, the state, then the EMA.

    `storage` has one of DTYPES, or of `lossy.LOSSY`, for each array of the traced program; float64 goes with float64
    only.
    """
    traced = program(rule, stages)
    if traced.by_rows:
        raise ValueError(f"{rule.name} reads whole rows; this kernel takes every element by itself")
    printed = lossy_source if set(storage) & set(LOSSY) else kernel_source
    source = printed(f"{rule.name}, {stages}, {storage}", traced, storage, stages.zero)
    return Kernel(traced, cache.compiled(source, "kernel", SIGNATURE), tuple(beside(traced.arrays, storage)))


@functools.cache
def program(rule: Rule, stages: Stages) -> Program:
    """The traced step, without compiling it."""
    return trace(rule, stages)


def source(rule: Rule, stages: Stages = Stages(), dtype: str = "float32") -> str:
    """The kernel's source for arrays all of one dtype: what a reader may look at."""
    traced = program(rule, stages)
    return kernel_source(rule.name, traced, [dtype] * len(traced.arrays), stages.zero)


def usable() -> bool:
    """Whether kernels can be compiled here: not where Numba's compiler is switched off."""
    from numba.core import config

    return not getattr(config, "DISABLE_JIT", False)


__all__: list[Any] = ["ALONE", "DTYPES", "Kernel", "kernel", "layout", "over_blocks", "program", "source", "usable"]
