# pyright: reportMissingImports=false
"""One call of the kernel for all dense parameters of a kind; the table is kept, addresses are written in anew."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from stepwell.host.memory import address
from stepwell.kernels import Stages, cpu, norm, pool
from stepwell.kernels.source import ADDRESSES
from stepwell.paddle.entry import Entry, dtype_of


class Batch:
    """Parameters of one rule, with the same stages and dtypes.

    Args:
        stages: what a step does around the rule.
        storage: the dtypes of the target, of the gradient and of each state array.
        entries: the parameters, in order.
        scalars: what each of them reads; those that are one object are one row of the kernel's table of scalars.
    """

    def __init__(self, stages: Stages, storage: tuple[str, ...], entries: list[Entry], scalars: Sequence[Any]):
        self.entries = entries
        self.kernel = cpu.kernel(entries[0].rule, stages, storage)
        self.distinct = list({id(s): s for s in scalars}.values())
        row_of = {id(s): k for k, s in enumerate(self.distinct)}
        self.table = self.kernel.table([e.size for e in entries], [row_of[id(s)] for s in scalars])
        self.clock = self.kernel.clock(len(entries))
        first = ADDRESSES + len(storage)
        for k, name in enumerate(self.kernel.program.scalar_state):
            self.table[:, first + k] = [address(e.numbers[name]) for e in entries]

    def run(self, grads: Sequence[Any], ahead: int = 0) -> None:
        """One step in place.

        Args:
            grads: a gradient for each entry, in one piece and of the storage's dtype.
            ahead: how far the step that the rule is told of lies ahead of the true one.
        """
        entries, program = self.entries, self.kernel.program
        columns = [[e.target.data_ptr() for e in entries], [g.data_ptr() for g in grads]]
        columns += [[e.arrays[name].data_ptr() for e in entries] for name in program.arrays[2:]]
        for k, column in enumerate(columns, ADDRESSES):
            self.table[:, k] = column
        self.clock[:, 0] = [e.step + 1 + ahead for e in entries]
        for k, name in enumerate(program.scalar_state, 1):
            self.clock[:, k] = [float(e.numbers[name]) for e in entries]
        groups = np.array([[one.values[name] for name in program.scalars] for one in self.distinct], np.float64)
        self.kernel.run(self.table, self.clock, groups.reshape(len(self.distinct), -1), pool.cores())
        for entry in entries:
            entry.wrote()


def squares(tensors: Sequence[Any]) -> float:
    """Σx² over dense tensors in host memory, in double precision."""
    total = 0.0
    dtypes = [dtype_of(t) for t in tensors]
    for dtype in dict.fromkeys(dtypes):
        alike = [t for t, own in zip(tensors, dtypes, strict=True) if own == dtype]
        table = cpu.layout([prod(t.shape) for t in alike], [0] * len(alike), ADDRESSES + 1)
        table[:, ADDRESSES] = [t.data_ptr() for t in alike]
        total += norm.sum_of_squares(table, 0, dtype, pool.cores())
    return total
