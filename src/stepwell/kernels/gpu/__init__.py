"""Rules on a GPU: Triton kernels printed from the same trace as those for the CPU.

Nothing here knows a framework. What the kernels are launched on are objects that Triton takes for arrays: they have
`data_ptr()` and `dtype`, as torch's tensors do.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.kernels import cpu
from stepwell.kernels.gpu.modules import functions, usable
from stepwell.kernels.gpu.source import columns, kernel_source
from stepwell.kernels.source import FIRST_BLOCK, GROUP, LENGTH, scalars_of_body
from stepwell.kernels.stages import Stages
from stepwell.kernels.trace import Program
from stepwell.rule import Rule

DTYPES, program = cpu.DTYPES, cpu.program
BLOCK = 2048  # elements of a program: sixteen a thread, so every thread has 16 bytes of each array on their way at once
WARPS = 4
OPTIONS = {"enable_fp_fusion": False}  # a product and a sum round apart, whichever way a block is read
LANES = 128  # tensors of a program that counts their steps


@dataclass(frozen=True)
class Clocked:
    """What counts the steps of the tensors of a table, and computes their scalars.

    `program.arrays` and `program.scalar_state` order the table's address columns; a last one has that of the step.
    """

    program: Program
    clock: Any

    @property
    def scalars(self) -> int:
        """How many numbers of `scalars` a tensor takes."""
        return max(len(scalars_of_body(self.program)), 1)

    def tick(
        self, table: Any, gradients: Any, groups: Any, factor: Any, found: Any, scalars: Any, tensors: int
    ) -> None:  # fmt: skip
        """Count a step of every tensor that does not rest, and compute its scalars; on the current stream."""
        if tensors:
            self.clock[(-(-tensors // LANES),)](
                table, gradients, groups, factor, found, scalars, tensors, LANES=LANES, num_warps=WARPS, **OPTIONS
            )


@dataclass(frozen=True)
class Kernel(Clocked):
    """A printed step."""

    step: Any
    block: int

    def table(self, lengths: Sequence[int], groups: Sequence[int]) -> np.ndarray:
        """A table for tensors of these lengths, each in a group, but for the last column; the addresses are the
        caller's to fill in."""
        table = np.zeros((len(lengths), columns(self.program) - 1), np.int64)
        table[:, LENGTH], table[:, GROUP] = lengths, groups
        table[1:, FIRST_BLOCK] = np.cumsum(self.blocks(lengths))[:-1]
        return table

    def blocks(self, lengths: Sequence[int]) -> np.ndarray:
        """How many programs each tensor takes."""
        return -(-np.asarray(lengths, np.int64) // self.block)

    def which(self, lengths: Sequence[int]) -> np.ndarray:
        """For each block its tensor."""
        return np.repeat(np.arange(len(lengths), dtype=np.int32), self.blocks(lengths))

    def run(self, table: Any, gradients: Any, which: Any, scalars: Any, found: Any, blocks: int) -> None:
        """The step of every tensor, in place; on the current stream."""
        if blocks:
            self.step[(blocks,)](table, gradients, which, scalars, found, BLOCK=self.block, num_warps=WARPS, **OPTIONS)


@functools.cache
def kernel(rule: Rule, stages: Stages, storage: tuple[str, ...], block: int = BLOCK) -> Kernel:
    """The kernel of a rule and its stages for arrays stored as `storage` says: p, g, the state, then the EMA.

    `storage` has one of DTYPES for each array of the traced program; float64 goes with float64 only. `block` is a power
    of two.
    """
    traced = program(rule, stages)
    if traced.by_rows:
        raise ValueError(f"{rule.name} reads whole rows; this kernel takes every element by itself")
    made = functions(kernel_source(f"{rule.name}, {stages}, {storage}", traced, storage, stages.zero))
    return Kernel(traced, made["clock"], made["step"], block)


__all__ = [
    "BLOCK",
    "DTYPES",
    "LANES",
    "OPTIONS",
    "WARPS",
    "Clocked",
    "Kernel",
    "functions",
    "kernel",
    "program",
    "usable",
]
