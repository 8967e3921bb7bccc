# pyright: reportMissingImports=false
"""A group's step, prepared: entries, scalars and the tables of the kernels, kept while all that is the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any

from stepwell.host.engine import Engine, Slot
from stepwell.kernels import Stages, cpu
from stepwell.kernels.rest import rest
from stepwell.paddle import gradients, loose
from stepwell.paddle.batch import Batch
from stepwell.paddle.entry import HOST_ONLY, Entry, dtype_of, forms, is_host, view_of

_IN_ONE_PIECE, _OF_ROWS = methodcaller("is_contiguous"), methodcaller("is_selected_rows")


@dataclass(slots=True, eq=False)
class Scalars:
    """What several parameters read alike: every hyperparameter and the stages' scalars.

    Attributes:
        stages: those that the step of these parameters has.
        values: by name; the rate and the gradient's factor are set anew at each step.
        rate: the factor on the optimizer's learning rate.
        clip: which of the step's clipping factors is theirs, if any is.
    """

    stages: Stages
    values: dict[str, float]
    rate: float
    clip: int | None


@dataclass(slots=True)
class Part:
    """One parameter's part of a step; `ahead`: how far the step that the rule is told of lies ahead of the true one."""

    entry: Entry
    scalars: Scalars
    g: Any
    ahead: int = 0


@dataclass
class Plan:
    """The parameters of a group that have gradients, and what each reads."""

    entries: list[Entry]
    scalars: list[Scalars]
    engines: dict[Any, Engine]
    distinct: list[Scalars] = field(init=False)
    _tensors: list[Any] = field(init=False)
    _kept: list[Any] = field(init=False)
    _forms: list[Any] = field(init=False)
    _batches: list[tuple[list[int], Batch]] | None = None
    _dtypes: Sequence[Any] = ()

    def __post_init__(self) -> None:
        self.distinct = list({id(s): s for s in self.scalars}.values())
        self._tensors = [t for e in self.entries for t in e.tensors]
        self._kept = [t for e in self.entries for t in e.kept]
        self._forms = forms(self._kept)

    def holds(self) -> bool:
        """Whether parameters and state are still of the shapes and dtypes that this was made for."""
        return forms(self._kept) == self._forms

    def set(self, lr: float, scale: float, factors: Sequence[float]) -> None:
        """This step's rate, the factor on all gradients, and those of clipping."""
        for one in self.distinct:
            if "lr" in one.values:
                one.values["lr"] = lr * one.rate
            one.values["grad_scale"] = scale if one.clip is None else scale * factors[one.clip]

    def run(self, grads: list[Any], ahead: list[int], lazy: bool) -> None:
        """The step of all parameters, in place.

        Args:
            grads: a gradient for each, clipped and decayed as far as the stages do not do it.
            ahead: see `Part`.
            lazy: what gradients of rows mean for all others.
        """
        if self._batches is not None and self._as_before(grads):
            for indices, batch in self._batches:
                batch.run([grads[k] for k in indices])
            return
        self._batches = self._prepared(grads)
        if self._batches is not None:
            self._dtypes = [g.dtype for g in grads]
            self.run(grads, ahead, lazy)
            return
        for entry, scalars, g, steps in zip(self.entries, self.scalars, grads, ahead, strict=True):
            self._single(Part(entry, scalars, g, steps), lazy)

    def _as_before(self, grads: list[Any]) -> bool:
        return (
            [g.dtype for g in grads] == self._dtypes
            and all(map(_IN_ONE_PIECE, grads))
            and not any(map(_OF_ROWS, grads))
            and all(map(_IN_ONE_PIECE, self._tensors))
            and (HOST_ONLY or all(map(is_host, [*grads, *self._tensors])))
        )

    def _prepared(self, grads: list[Any]) -> list[tuple[list[int], Batch]] | None:
        """The kernel's tables, and whose gradients each takes; None where not all can go through one."""
        kinds: dict[Any, list[int]] = {}
        for k, (entry, g) in enumerate(zip(self.entries, grads, strict=True)):
            stages = self.scalars[k].stages
            storage = entry.dtypes[0], dtype_of(g), *entry.dtypes[1:]
            mixed = "float64" in storage and len(set(storage)) > 1
            plain = entry.is_dense and gradients.is_plain(g)
            if mixed or not plain or cpu.program(entry.rule, stages).by_rows or not cpu.usable():
                return None
            kinds.setdefault((stages, storage), []).append(k)
        return [
            (at, Batch(stages, storage, [self.entries[k] for k in at], [self.scalars[k] for k in at]))
            for (stages, storage), at in kinds.items()
        ]

    def _single(self, part: Part, lazy: bool) -> None:
        """The step of one parameter: of single rows, through a kernel, or with Paddle's own operations."""
        entry, stages = part.entry, part.scalars.stages
        if part.g.is_selected_rows():
            if _takes_rows(part, lazy):
                self._by_engine(part, gradients.rows(part.g))
                return
            part.g = gradients.dense(entry.param, part.g)
        if "float64" in entry.dtypes and dtype_of(part.g) != "float64":
            part.g = part.g.astype("float64")
        alike = len({*entry.dtypes, dtype_of(part.g)}) == 1 and entry.dtypes[0] != "bfloat16"
        if entry.is_dense and is_host(part.g):
            part.g = part.g.contiguous()
            if cpu.usable() and not cpu.program(entry.rule, stages).by_rows:
                storage = entry.dtypes[0], dtype_of(part.g), *entry.dtypes[1:]
                Batch(stages, storage, [entry], [part.scalars]).run([part.g], part.ahead)
                return
            if alike:
                self._by_engine(part, view_of(part.g))
                return
        loose.step(entry, part.g, stages, part.scalars.values, part.ahead)

    def _by_engine(self, part: Part, g: Any) -> None:
        entry, stages = part.entry, part.scalars.stages
        engine = self.engines.setdefault((entry.rule, stages), Engine(entry.rule, stages))
        p, state = entry.views()
        state["step"] = entry.step + part.ahead
        engine.step([Slot(entry.param.name, p, g, state, part.scalars.values)])
        entry.wrote()


def _takes_rows(part: Part, lazy: bool) -> bool:
    """Whether the rows named are all that a step changes, and the host engine can change them."""
    entry = part.entry
    if not entry.is_dense or set(entry.dtypes) not in ({"float32"}, {"float64"}):
        return False
    moves = rest(entry.rule, part.scalars.stages, lazy=False).moves
    return dtype_of(part.g) == entry.dtypes[0] and (lazy or not moves)
