"""What a step will do, prepared once and kept while nothing it rests on changes."""

import operator
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from stepwell.kernels import Stages, cpu
from stepwell.kernels.lossy import beside
from stepwell.kernels.rest import rest
from stepwell.rule import Rule
from stepwell.torch import narrow, native, rows, sharding, state, watched
from stepwell.torch.agreement import Slot
from stepwell.torch.batch import DTYPES, Batch, fits, lies_plain
from stepwell.torch.eager import Loose, LooseRows
from stepwell.torch.forms import SPARSE, all_alike, form_of
from stepwell.torch.gpu import capture, device, signals
from stepwell.torch.gpu import rows as gpu_rows
from stepwell.torch.gpu.batch import GpuBatch
from stepwell.torch.gpu.rows import GpuRows
from stepwell.torch.native import GONE, MOVED, OTHER, SAME
from stepwell.torch.rows import Rows

if TYPE_CHECKING:
    from stepwell.torch.contract import Contract


_GRADIENT = operator.attrgetter("grad")
WATCHED_EVERY = 16  # steps with new gradients; at these it is seen whether they have begun to be the same ones


Member = tuple[int, Tensor, dict[str, Tensor]]  # a parameter with its group's number and its state


class Plan:
    """The batches of kernel work, the parameters that no kernel takes, and the facts they were made for.

    Parameters with sparse gradients are `tables`.

    A parameter with state but no gradient at present has its place too, and rests until it has one. Gradients are held
    between steps only while they turn out to be the same tensors each time; where the user lets them go after a step
    (set_to_none), their memory goes.
    """

    def __init__(self, owner: "Contract", signatures: list[tuple[Rule, Stages]], shares: sharding.Shares):
        self.signatures = signatures
        self.shares, self.params = shares, shares.params
        self.forms = [[form_of(p, whole, owner) for p, whole in pairs] for pairs in shares.pairs()]
        self.held: list[np.ndarray] | None = None
        self.seen: list[list[weakref.ref[Tensor] | None]] | None = None
        self.steps = 0
        self.batches: list[Batch] = []
        self.loose: list[Loose] = []
        self.tables: list[Rows] = []
        self.values: list[list[float] | None] = [None] * len(signatures)
        self.rows: list[list[tuple[Batch, int]]] = [[] for _ in signatures]  # where each group's scalars are wanted
        self._build(owner)
        self.device_batches = [batch for batch in self.batches if isinstance(batch, GpuBatch)]
        others = self.loose or self.tables or len(self.device_batches) < len(self.batches)
        self.on_device = bool(self.device_batches) and not others
        self.all_batched = sum(len(batch.parameters) for batch in self.batches) == sum(map(len, self.params))
        self.changes = watched.changes

    def _build(self, owner: "Contract") -> None:
        kinds: dict[tuple[Rule, Stages, str, torch.device, Slot | None], list[Member]] = {}
        for k, (pairs, (rule, stages)) in enumerate(zip(self.shares.pairs(), self.signatures, strict=True)):
            for (p, whole), form in zip(pairs, self.forms[k], strict=True):
                if form is None:
                    continue
                own = sharding.shares_of(state.ready(owner, whole, owner.param_groups[k], rule, stages))
                if form[-1] is SPARSE:
                    self._add_sparse(owner, k, p, own, whole)
                    continue
                owner.settle(whole)
                by_element = cpu.usable() and not cpu.program(rule, stages).by_rows
                fit = lies_plain if device.takes(p) else fits
                if by_element and fit(p, p.detach() if p.grad is None else p.grad):
                    if device.takes(p):
                        narrow.refuse(owner, p, rule, stages, f"is on {p.device}")
                    kind = rule, stages, DTYPES[p.dtype], p.device, self.shares.slots.get(p)
                    kinds.setdefault(kind, []).append((k, p, own))
                else:
                    narrow.refuse(owner, p, rule, stages, f"is of {p.layout} on {p.device}, and no kernel takes it")
                    self.loose.append(Loose(p, own, rule, stages, k))
        for (rule, stages, dtype, *_), members in kinds.items():
            self._add_batch(owner, rule, stages, dtype, members)

    def _add_sparse(self, owner: "Contract", k: int, p: Tensor, own: dict[str, Tensor], whole: Tensor) -> None:
        rule, stages = self.signatures[k]
        narrow.refuse(owner, p, rule, stages, "has a sparse gradient")
        still = owner.sparse == "lazy" or not rest(rule, stages, lazy=False).moves
        touched = replace(stages, zero=False)
        if not device.takes(p) and rows.fits(p, rule, stages):
            table = Rows(p, own, rule, touched, k, owner.sparse, stages.zero)
            table.continue_from(owner.tables.get(whole))
            owner.tables[whole] = table
            self.tables.append(table)
        elif still and gpu_rows.fits(p, rule, stages):
            self.loose.append(GpuRows(p, own, rule, stages, k))
        else:
            self.loose.append(LooseRows(p, own, rule, stages, k, still=still))

    def _add_batch(
        self, owner: "Contract", rule: Rule, stages: Stages, dtype: str, members: list[Member]
    ) -> None:  # fmt: skip
        program = cpu.program(rule, stages)
        kept = narrow.kinds(owner, members[0][1], rule, stages)
        named = {"p": members[0][1], "g": members[0][1], **members[0][2]}
        storage = [kept[name] if kept else DTYPES[named[name].dtype] for name in program.arrays]
        wanted = (*program.arrays, *beside(program.arrays, storage), *program.scalar_state, "step")
        used = sorted({k for k, _, _ in members})
        rows = []
        for _, p, own in members:
            named = {"p": p, "g": p, **own}
            rows.append([named[name] for name in wanted])
        groups = np.zeros((len(used), len(program.scalars)))
        kind = GpuBatch if device.takes(members[0][1]) else Batch
        batch = kind(rule, stages, dtype, storage, rows, [used.index(k) for k, _, _ in members], groups)
        batch.take_gradients([p.grad for _, p, _ in members])
        batch.locate()
        self.batches.append(batch)
        for row, k in enumerate(used):
            self.rows[k].append((batch, row))

    def is_of(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        """Whether these groups have the parameters and the state still that the plan was made for."""
        return self.changes == watched.changes and self.shares.are_those_of(groups)

    def still_holds(self, signatures: list[tuple[Rule, Stages]]) -> bool:
        """Whether the plan is good for the gradients as they are now; new ones of the old kind are taken in."""
        if signatures != self.signatures or not all(table.is_as_made() for table in self.tables):
            return False
        watched_by_code = self.held is not None and self.all_batched and native.watches()
        found = self._located(watch=True) if watched_by_code else OTHER
        if found == SAME:
            return True
        now = [np.fromiter(map(_GRADIENT, params), object, len(params)) for params in self.params]
        if self.held is not None and all(map(_identical, now, self.held)):
            found = found if watched_by_code else self._located(watch=False)
            return found == SAME or (found == MOVED and all(map(all_alike, self.params, now, self.forms)))
        if not all(map(all_alike, self.params, now, self.forms)):
            return False
        for batch in self.batches:
            batch.take_gradients([p.grad for p in batch.parameters])
        self.held = now if self.seen is not None and all(map(_seen, now, self.seen)) else None
        if any(batch.locate() == GONE for batch in self.batches):
            return False
        for batch in self.batches if self.held is not None else ():
            batch.anchor()
        return True

    def _located(self, *, watch: bool) -> int:
        return max((batch.locate(self.steps, watch=watch) for batch in self.batches), default=SAME)

    def prepare(self, threads: int) -> None:
        """Look at sparse gradients before anything is changed, and merge those that the kernels take."""
        for loose in self.loose:
            loose.check()
        for table in self.tables:
            table.merge(threads)

    def run(self, threads: int) -> None:
        """One step of everything."""
        for batch in self.batches:
            batch.run(threads)
        for loose in self.loose:
            loose.run(self.named_scalars(loose.group))
        for table in self.tables:
            table.run(list(self.named_scalars(table.group).values()), threads)

    def let_go(self) -> None:
        """After a step: hold no gradient that was new in it."""
        self.seen = None
        if self.held is None:
            for batch in self.batches:
                batch.let_go()
            if self.steps < 3 or self.steps % WATCHED_EVERY == 0:
                self.seen = [[p.grad if p.grad is None else weakref.ref(p.grad) for p in ps] for ps in self.params]
            self.shares.let_go()
        self.steps += 1

    def forget_gradients(self) -> None:
        """Hold no gradient at all: the user lets them go."""
        self.held = self.seen = None
        self.shares.let_go()
        for batch in self.batches:
            batch.let_go()

    @property
    def shares_gradients(self) -> bool:
        """Whether one gradient is that of several parameters, as far as their first addresses tell."""
        loose = [x.p.grad.data_ptr() for x in self.loose if x.p.grad is not None and x.p.grad.layout is torch.strided]
        found = np.concatenate([np.array(loose, np.int64), *(batch.gradient_addresses() for batch in self.batches)])
        return len(np.unique(found)) < len(found)

    def is_alone(self, owner: Any, found_inf: Tensor | None) -> bool:
        """Whether a GPU settles by itself what a step does: nothing is sharded, and the host need not know."""
        whole = self.shares.agreement is None
        alone = whole and bool(self.device_batches) and signals.left_to_device(owner, self, found_inf)
        capture.check(owner, self, alone)
        return alone

    def average_resting(self, decay: float, found: Tensor | None = None) -> None:
        """The averages of parameters that had no gradient move too, unless the device has found that nothing shall."""
        for p, average in (pair for each in (*self.batches, *self.loose, *self.tables) for pair in each.resting()):
            state.follow(average, p, decay, found)

    def all_finite(self, threads: int) -> bool:
        """Whether no gradient has a NaN or an infinity."""
        return (
            all(b.all_finite(threads) for b in self.batches)
            and all(x.gradient_is_finite() for x in self.loose)
            and all(x.is_finite(threads) for x in self.tables)
        )

    def rows_are_finite(self, threads: int) -> bool:
        """Whether no merged row of a sparse gradient has a NaN or an infinity."""
        loose = (x for x in self.loose if isinstance(x, LooseRows))
        return all(x.is_finite(threads) for x in self.tables) and all(x.gradient_is_finite() for x in loose)

    def squares(self, threads: int) -> dict[Slot | None, float]:
        """Σg² over all parameters, as far as this process has them: apart for each way in which they are spread."""
        sums: dict[Slot | None, float] = {}
        for part in (*self.batches, *self.tables, *self.loose):
            slot = self.shares.slots.get(part.parameters[0] if isinstance(part, Batch) else part.p)
            own = part.sum_of_squares() if isinstance(part, Loose) else part.sum_of_squares(threads)
            sums[slot] = sums.get(slot, 0.0) + own
        return sums

    def named_scalars(self, k: int) -> dict[str, float]:
        """Group k's scalars by name."""
        rule, stages = self.signatures[k]
        return dict(zip((*rule.hyperparameters, *stages.scalars), map(float, self.values[k] or ()), strict=True))

    def set_scalars(self, k: int, values: list[float]) -> None:
        """Give group k its scalars for this step; one that lies on a GPU may have changed where it is."""
        if any(isinstance(x, Tensor) for x in values) or values != self.values[k]:
            self.values[k] = values
            for batch, row in self.rows[k]:
                batch.set_scalars(row, values)


def _identical(now: np.ndarray, before: np.ndarray) -> bool:
    """Whether two arrays of objects hold the very same ones: whether their pointers are equal, byte for byte."""
    return now.tobytes() == before.tobytes()


def _seen(now: np.ndarray, before: "list[weakref.ref[Tensor] | None]") -> bool:
    return all(g is (r and r()) for g, r in zip(now, before, strict=True))
