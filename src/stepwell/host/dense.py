"""Dense arrays, stepped in one call of a kernel; its tables are kept while the arrays are the same."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True)
class _Kept:
    """The tables of a step, what they were made of, and the places of those that no kernel can read.

    No array is held: they are the caller's to let go.
    """

    states: Sequence[Sequence[weakref.ref]]
    forms: Sequence[Any]  # of each parameter and its gradient
    tables: Sequence[_Table]
    others: Sequence[int]

    def suits(self, rows: Sequence[Row]) -> bool:
        """Whether these are the same states, in the same order, of parameters and gradients of the same form."""
        return _forms(rows) == self.forms and all(
            ref() is array
            for refs, (_, _, *state) in zip(self.states, rows, strict=True)
            for ref, array in zip(refs, state, strict=True)
        )


def _forms(rows: Sequence[Row]) -> list[Any]:
    """All of a parameter and a gradient that a table depends on, but where they lie."""
    return [(p.shape, p.strides, p.dtype, g.shape, g.strides, g.dtype) for p, g, *_ in rows]


class Dense:
    """The steps of a rule with its stages on dense gradients.

    Args:
        rule, stages: what a step does.
    """

    def __init__(self, rule: Rule, stages: Stages):
        self.rule, self.stages = rule, stages
        self.program = cpu.program(rule, stages)
        self.names = (*self.program.arrays[2:], *self.program.scalar_state)
        self._kept: _Kept | None = None

    def step(self, slots: Sequence["Slot"]) -> list["Slot"]:
        """Step all that a kernel can, and give the others."""
        if not cpu.usable() or self.program.by_rows:
            return list(slots)
        rows = [(slot.p, slot.g, *(slot.state[name] for name in self.names)) for slot in slots]
        kept, self._kept = self._kept, None  # no other thread has it now, and nobody after an interrupt
        if kept is None or not kept.suits(rows) or not _follow(kept, rows):
            kept = self._made(rows)
        for table in kept.tables:
            self._run(table, [slots[k] for k in table.places])
        self._kept = kept
        return [slots[k] for k in kept.others]

    def _made(self, rows: Sequence[Row]) -> _Kept:
        width = len(self.program.arrays)
        fits = [dense(*row[:width]) for row in rows]
        kinds = dict.fromkeys(row[0].dtype for row, fit in zip(rows, fits, strict=True) if fit)
        tables = [
            self._table(rows, dtype, [k for k, row in enumerate(rows) if fits[k] and row[0].dtype == dtype])
            for dtype in kinds
        ]
        states = [tuple(map(weakref.ref, state)) for _, _, *state in rows]
        return _Kept(states, _forms(rows), tables, [k for k, fit in enumerate(fits) if not fit])

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


def _follow(kept: _Kept, rows: Sequence[Row]) -> bool:
    """Write down where parameters and gradients lie now; False where one is no longer aligned."""
    for table in kept.tables:
        there = table.layout[:, ADDRESSES : ADDRESSES + 2]
        there[...] = [[address(array) for array in rows[k][:2]] for k in table.places]
        if (there % rows[table.places[0]][0].dtype.alignment).any():
            return False
    return True
