"""Dense arrays, stepped in one call of a kernel; its tables are kept while the arrays are the same."""

import operator
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stepwell.host.memory import address, dense
from stepwell.kernels import Stages, cpu, pool
from stepwell.kernels.source import ADDRESSES, GROUP
from stepwell.rule import Rule

if TYPE_CHECKING:
    from stepwell.host.engine import Slot

Row = tuple[np.ndarray, ...]  # the parameter, its gradient, its state


@dataclass(frozen=True)
class _Table:
    """What one call of a kernel reads of all arrays of a dtype."""

    kernel: cpu.Kernel
    places: Sequence[int]
    layout: np.ndarray
    clock: np.ndarray


class Dense:
    """The steps of a rule with its stages on dense gradients.

    Args:
        rule, stages: what a step does.
    """

    def __init__(self, rule: Rule, stages: Stages):
        self.rule, self.stages = rule, stages
        self.program = cpu.program(rule, stages)
        self.names = (*self.program.arrays[2:], *self.program.scalar_state)
        self._keep([])

    def step(self, slots: Sequence["Slot"]) -> list["Slot"]:
        """Step all that a kernel can, and give the others."""
        if not cpu.usable() or self.program.by_rows:
            return list(slots)
        rows = [(slot.p, slot.g, *(slot.state[name] for name in self.names)) for slot in slots]
        if not self._kept(rows):
            self._keep(rows)
        for table in self._tables:
            self._run(table, [slots[k] for k in table.places])
        return [slots[k] for k in self._others]

    def _kept(self, rows: Sequence[Row]) -> bool:
        """Whether these are the very arrays of the tables, in the same order."""
        if len(rows) != len(self._rows):
            return False
        before = ((p, g(), *state) for p, g, *state in self._rows)
        return all(all(map(operator.is_, *pair)) for pair in zip(rows, before, strict=True))

    def _keep(self, rows: Sequence[Row]) -> None:
        """Make the tables of these arrays; gradients are not held, they are the caller's to let go."""
        width = len(self.program.arrays)
        fits = [dense(*row[:width]) for row in rows]
        kinds = dict.fromkeys(row[0].dtype for row, fit in zip(rows, fits, strict=True) if fit)
        self._tables = [
            self._table(rows, dtype, [k for k, row in enumerate(rows) if fits[k] and row[0].dtype == dtype])
            for dtype in kinds
        ]
        self._others = [k for k, fit in enumerate(fits) if not fit]
        self._rows = [(p, weakref.ref(g), *state) for p, g, *state in rows]

    def _table(self, rows: Sequence[Row], dtype: np.dtype, places: Sequence[int]) -> _Table:
        kernel = cpu.kernel(self.rule, self.stages, (dtype.name,) * len(self.program.arrays))
        layout = kernel.table([rows[k][0].size for k in places], [0] * len(places))
        layout[:, ADDRESSES:] = [[address(array) for array in rows[k]] for k in places]
        return _Table(kernel, places, layout, kernel.clock(len(places)))

    def _run(self, table: _Table, slots: Sequence["Slot"]) -> None:
        """One call of the kernel; those with equal scalars are a group."""
        program = self.program
        groups: dict[tuple[float, ...], int] = {}
        rows = (tuple(map(slot.scalars.__getitem__, program.scalars)) for slot in slots)
        table.layout[:, GROUP] = [groups.setdefault(row, len(groups)) for row in rows]
        table.clock[:, 0] = [slot.state["step"] + 1 for slot in slots]
        for k, name in enumerate(program.scalar_state, 1):
            table.clock[:, k] = [float(slot.state[name]) for slot in slots]
        scalars = np.array(list(groups), np.float64).reshape(len(groups), -1)
        table.kernel.run(table.layout, table.clock, scalars, pool.cores())
        for slot in slots:
            slot.state["step"] += 1
