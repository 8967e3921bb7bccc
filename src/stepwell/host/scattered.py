"""An array whose gradients are sparse: its table, and steps of single rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepwell.host import eager
from stepwell.host.memory import address
from stepwell.host.sparse import Sparse, by_rows, merged
from stepwell.kernels import Stages, cpu, pool
from stepwell.kernels.merge import Merged
from stepwell.kernels.rest import rest
from stepwell.kernels.table import Table
from stepwell.rule import Rule


@dataclass
class Scattered:
    """One array with sparse gradients, its state, and the table that the kernel of rows updates, if one can."""

    p: np.ndarray
    state: dict[str, Any]
    rule: Rule
    stages: Stages
    mode: str
    table: Table | None = None
    axes: int = 1  # those that the last gradient named

    @property
    def arrays(self) -> list[np.ndarray]:
        """p, its state arrays and its average, in the program's order."""
        names = cpu.program(self.rule, self.stages).arrays
        return [self.p if name == "p" else self.state[name] for name in names if name != "g"]

    @property
    def numbers(self) -> list[np.ndarray]:
        """Its scalar state."""
        return [self.state[name] for name in cpu.program(self.rule, self.stages).scalar_state]

    @property
    def addresses(self) -> list[int]:
        """Where they lie, as a table wants it."""
        return [address(x) for x in (*self.arrays, *self.numbers)]

    def refuse_moved(self, p: np.ndarray | None, state: dict[str, Any] | None) -> None:
        """Refuse what took the place of an array whose rows are behind, or of its state."""
        if self.table is not None and self.table.is_behind:
            same = p is self.p and state is self.state and self.p.size == self.table.count * self.table.width
            self.table.refuse_moved(self.addresses if same else [])

    def merge(self, g: Sparse) -> Merged:
        """The gradient with each row once; nothing of the array is written."""
        if cpu.program(self.rule, self.stages).by_rows:
            g = by_rows(g, self.p)
        self.axes = g.axes
        flat = cpu.program(self.rule, self.stages).by_rows and self.p.ndim != 2
        if flat or not cpu.usable() or not all(a.flags.c_contiguous and a.flags.aligned for a in self.arrays):
            self.flush()
            self.table = None
            return merged(g, self.p, None, 1)
        count, width = (int(np.prod(part)) for part in (self.p.shape[: g.axes], self.p.shape[g.axes :]))
        storage = tuple(a.dtype.name for a in self.arrays)
        if self.table is None or self.table.kind != (self.rule, self.stages, self.mode, storage, count, width):
            self.flush()
            self.table = Table(self.rule, self.stages, self.mode, storage, count, width)
        self.table.refuse_moved(self.addresses)
        return merged(g, self.p, self.table, pool.cores())

    def step(self, gradient: Merged, scalars: Mapping[str, float]) -> None:
        """One step in place."""
        if self.table is None:
            self._step_eagerly(gradient, scalars)
            return
        program = cpu.program(self.rule, self.stages)
        clock = np.array([[float(self.state["step"] + 1), *map(float, self.numbers)]])
        groups = np.array([[scalars[name] for name in program.scalars]], np.float64)
        self.table.step(gradient, self.addresses, clock, groups, pool.cores())
        self.state["step"] += 1

    def _step_eagerly(self, gradient: Merged, scalars: Mapping[str, float]) -> None:
        p, state = self.p, self.state
        part = np.unravel_index(gradient.rows, p.shape[: self.axes])
        broken = cpu.program(self.rule, self.stages).by_rows and self.axes == p.ndim  # single numbers are no rows
        if not broken and (self.mode == "lazy" or not rest(self.rule, self.stages, lazy=False).moves):
            eager.update(self.rule, replace(self.stages, ema=False), p, gradient.gradients, state, scalars, part)
            if self.stages.ema:
                state["ema"][...] = scalars["ema_decay"] * state["ema"] + (1 - scalars["ema_decay"]) * p
        else:  # as a dense gradient that is 0 elsewhere
            g = np.zeros(p.shape, gradient.gradients.dtype)
            g[part] = gradient.gradients
            eager.update(self.rule, self.stages, p, g, state, scalars)

    def catch_up(self, indices: np.ndarray) -> None:
        """Let these rows see every step so far."""
        if self.table is not None:
            self.table.catch_up(indices, self.addresses, pool.cores())

    def flush(self) -> None:
        """Let all rows see every step so far."""
        if self.table is not None:
            self.table.flush(self.addresses, pool.cores())
