"""One rule over many arrays in place: through a kernel where they lie densely in memory, eagerly elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.host import eager
from stepwell.host.dense import Dense
from stepwell.host.scattered import Scattered
from stepwell.host.sparse import Sparse
from stepwell.kernels import Stages, cpu, pool, table
from stepwell.kernels.merge import Merged
from stepwell.rule import Rule

Key = Any  # what a door calls a parameter by


@dataclass(frozen=True)
class Slot:
    """One parameter in one step.

    Attributes:
        key: what the parameter is called by, the same at each step.
        p: the parameter, of float16, float32 or float64.
        g: its gradient, an array of its shape and dtype, or `Sparse`.
        state: what `Engine.start` makes, or the door's own arrays under the same names; updated in place.
        scalars: every hyperparameter and the stages' scalars; read when the step is made, so they may be filled in
            after the gradients were looked at.
    """

    key: Key
    p: np.ndarray
    g: Any
    state: dict[str, Any]
    scalars: Mapping[str, float]


class Engine:
    """Steps of a rule with its stages.

    Args:
        rule, stages: what a step does.
        mode: what sparse gradients mean for the rows that they do not name, "lazy" or "exact": see `kernels.table`.
    """

    def __init__(self, rule: Rule, stages: Stages, mode: str = table.MODES[0]):
        self.rule, self.stages, self.mode = rule, stages, mode
        self.program = cpu.program(rule, stages)
        self.names = self.program.arrays[2:]  # after p and g: the state, and the average
        self.dense = Dense(rule, stages)
        self._tables: dict[Key, Scattered] = {}

    def start(self, p: np.ndarray, hyper: Mapping[str, float]) -> dict[str, Any]:
        """The state of a parameter before its first step, its average too if there is one, and `step`, which is 0."""
        made: dict[str, Any] = {name: self.room(p, name) for name in self.rule.state}
        for name, array in made.items():
            array[...] = self.rule.start_of(name, hyper)
        if self.stages.ema:
            made["ema"] = p.copy(order="K")
        return {**made, "step": 0}

    def room(self, p: np.ndarray, name: str) -> np.ndarray:
        """An unfilled array for a state of `p`, or its average: a number in float64, or in p's dtype and order."""
        if name in self.program.scalar_state:
            return np.empty((), np.float64)
        shape = self.program.shape_of(name, p.shape)
        return np.empty(shape, p.dtype) if name in self.program.row_state else np.empty_like(p)

    def read(self, slots: Sequence[Slot]) -> "Reading":
        """The gradients of a step, checked; nothing is changed before `Reading.step`.

        Raises:
            ValueError: an array took the place of one of another shape or dtype, its state is of before.
            IndexError: a sparse gradient names a row that its parameter does not have.
            RuntimeError: an array whose rows are behind, or its state, was replaced.
        """
        for slot in slots:
            self._refuse_other_state(slot)
        for slot in slots:
            if slot.key in self._tables:
                self._tables[slot.key].refuse_moved(slot.p, slot.state)
        fresh = [slot.key for slot in slots if slot.key not in self._tables]
        try:
            merged = {s.key: self._scattered(s).merge(s.g) for s in slots if isinstance(s.g, Sparse)}
        except (IndexError, RuntimeError):
            for key in fresh:
                self._tables.pop(key, None)
            raise
        return Reading(self, slots, merged)

    def step(self, slots: Sequence[Slot]) -> None:
        """Read the gradients, and update every parameter and its state in place."""
        self.read(slots).step()

    def catch_up(self, key: Key, indices: np.ndarray) -> None:
        """Let these rows of a parameter see every step so far."""
        if key in self._tables:
            self._tables[key].catch_up(indices)

    def flush(self, key: Key = None) -> None:
        """Let every row of a parameter see every step so far; of all parameters where none is named."""
        for name, scattered in self._tables.items():
            if key is None or name == key:
                scattered.flush()

    def forget(self, key: Key) -> None:
        """A parameter's gradients are no longer sparse, or its arrays are others: settle its rows, drop its table."""
        if key in self._tables:
            self._tables.pop(key).flush()

    def refuse_moved(self, found: Mapping[Key, tuple[np.ndarray | None, dict[str, Any] | None]]) -> None:
        """Refuse what took the place of parameters whose rows are behind, or of their state."""
        for key, scattered in self._tables.items():
            scattered.refuse_moved(*found.get(key, (None, None)))

    def _scattered(self, slot: Slot) -> Scattered:
        old = self._tables.get(slot.key)
        if old is None or old.p is not slot.p or old.state is not slot.state:
            self._tables[slot.key] = Scattered(slot.p, slot.state, self.rule, self.stages, self.mode)
        return self._tables[slot.key]

    def _refuse_other_state(self, slot: Slot) -> None:
        for name in self.names:
            own, wanted = slot.state[name], self.program.shape_of(name, slot.p.shape)
            if own.shape != wanted or own.dtype != slot.p.dtype:
                raise ValueError(
                    f"params[{slot.key!r}] is now {slot.p.dtype} of shape {slot.p.shape}; its state {name} is "
                    f"{own.dtype} of shape {own.shape}"
                )


@dataclass(frozen=True)
class Reading:
    """The gradients of one step, each row of a sparse one once."""

    engine: Engine
    slots: Sequence[Slot]
    merged: Mapping[Key, Merged]

    def squares(self) -> float:
        """Σg² over all gradients, in double precision."""
        with np.errstate(over="ignore"):
            given = [s.g for s in self.slots if isinstance(s.g, np.ndarray)]
            total = sum(float(np.square(g, dtype=np.float64).sum()) for g in given)
        return total + sum(table.sum_of_squares(each, pool.cores()) for each in self.merged.values())

    def odd(self) -> Key | None:
        """The first parameter whose gradient has a NaN or an infinity."""
        for slot in self.slots:
            numbers = self.merged[slot.key].gradients if isinstance(slot.g, Sparse) else slot.g
            if not np.isfinite(numbers).all():
                return slot.key
        return None

    def step(self) -> None:
        """Update every parameter and its state in place."""
        engine = self.engine
        whole = [slot for slot in self.slots if not isinstance(slot.g, Sparse)]
        for slot in whole:
            engine.forget(slot.key)
        for slot in engine.dense.step(whole):
            eager.update(engine.rule, engine.stages, slot.p, slot.g, slot.state, slot.scalars)
        for slot in self.slots:
            if isinstance(slot.g, Sparse):
                engine._tables[slot.key].step(self.merged[slot.key], slot.scalars)
