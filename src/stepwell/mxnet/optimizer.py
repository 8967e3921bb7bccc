"""The base of every MXNet optimizer here: all parameters of an update in one pass over memory."""

# pyright: reportMissingImports=false

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepwell.domain import Rate, check
from stepwell.host.engine import Engine, Slot
from stepwell.host.sparse import Sparse
from stepwell.mxnet import portable
from stepwell.mxnet.arrays import Known, claim, gradient, held, wait_to_write
from stepwell.mxnet.contract import Contract, Key
from stepwell.mxnet.state import MASTER, refuse_other
from stepwell.rule import Rule


class Optimizer(Contract):
    """A `mxnet.optimizer.Optimizer` that runs a rule; for `gluon.Trainer`, `Module` and a `KVStore`, on the CPU.

    Its arguments are those of MXNet's own: rescale_grad, clip_gradient, learning_rate, lr_scheduler, wd,
    multi_precision and so on. Either of learning_rate and lr_scheduler may be a schedule of stepwell.
    """

    _portable = portable  # what stepwell.checkpoint calls

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Update one parameter in place, or with lists of each argument several; all is checked before any changes.

        Raises:
            TypeError, ValueError: a parameter, gradient or state that is not this optimizer's.
            IndexError: a sparse gradient names a row that its parameter does not have.
        """
        several = isinstance(index, (list, tuple))
        given = zip(index, weight, grad, state, strict=True) if several else [(index, weight, grad, state)]
        self._step(list(given))

    update_multi_precision = update

    def _step(self, given: Sequence[tuple[Any, Any, Any, Any]]) -> None:
        engine = self._engine_now()
        for _, weight, _, _ in given:
            claim(weight)
        slots = [self._slot(engine.rule, *one) for one in given]
        reading = engine.read(slots)
        for slot, scalars in zip(slots, self._counted([index for index, *_ in given]), strict=True):
            slot.scalars.update(scalars)  # pyright: ignore[reportAttributeAccessIssue]
        reading.step()
        for slot in slots:
            if isinstance(slot.g, Sparse) and self.rows == "every":
                engine.flush(slot.key)
            self.stepped(slot)
            if MASTER in slot.state:
                self._held[slot.key].numbers[...] = slot.p

    def stepped(self, slot: Slot) -> None:
        """What is still to do with a parameter after its step: nothing."""

    def catch_up(self, index: Any, rows: Any = None, device: int = 0) -> None:
        """Let these rows of a parameter see every step so far; all rows where none are given.

        With sparse="exact" the rows that no gradient names are behind until they are needed: whoever reads rows calls
        this first, or `flush` for all parameters.

        Args:
            index: what the trainer calls the parameter: its position.
            rows: int32 or int64, of any shape.
            device: the number of the CPU context, where there are several.

        Raises:
            TypeError, IndexError: rows of another dtype, or that the parameter does not have.
        """
        key = (device, index)
        found = None if rows is None else np.asarray(rows.asnumpy() if hasattr(rows, "asnumpy") else rows)
        if found is not None and found.dtype.name not in ("int32", "int64"):
            raise TypeError(f"rows must be int32 or int64; got {found.dtype}")
        if self._engine is not None and key in self._held:
            wait_to_write([self._held[key].array])
            self._engine.flush(key) if found is None else self._engine.catch_up(key, found.reshape(-1))

    def _engine_now(self) -> Engine:
        wanted = self.rule_of(), self.stages(), "lazy" if self.rows == "lazy" else "exact"
        old = self._engine
        if old is None or (old.rule, old.stages, old.mode) != wanted:
            self.flush()
            self._engine = Engine(*wanted)
            self._known.clear()
        return self._engine  # pyright: ignore[reportReturnType]

    def _slot(self, rule: Rule, index: Any, weight: Any, grad: Any, state: Any) -> Slot:
        key: Key = (weight.context.device_id, index)
        known = self._known.get(key)
        if known is not None and (slot := known.again(weight, grad, state)) is not None:
            return slot
        name = f"parameter {index!r}"
        refuse_other(name, rule, state)
        self._held[key] = parameter = held(name, weight, self._held.get(key))
        wide = MASTER in state
        p = state[MASTER] if wide else parameter.numbers
        slot = Slot(key, p, gradient(f"the gradient of {name}", grad, p, wide), state, {})
        if not wide and weight.stype == grad.stype == "default":
            self._known[key] = Known(weight, grad, state, slot)
        return slot

    def _counted(self, indices: Sequence[Any]) -> list[dict[str, float]]:
        """Count an update of each parameter, as rates want it, and give its scalars; an error takes the count back."""
        before, latest = dict(self._index_update_count), self.num_update
        try:
            self._update_count(list(indices))
            pairs = list(zip(self._get_lrs(indices), self._get_wds(indices), strict=True))
            first = dict(zip(reversed(pairs), reversed(indices), strict=True))  # of those alike; an error names it
            found = {pair: self._scalars(first[pair], *pair) for pair in dict.fromkeys(pairs)}
            return [found[pair] for pair in pairs]
        except Exception:
            self._index_update_count.clear()
            self._index_update_count.update(before)
            self.num_update = latest
            raise

    def _scalars(self, index: Any, lr: float, wd: float) -> dict[str, float]:
        clip = 0.0 if self.clip_gradient is None else float(self.clip_gradient)
        surround = {"grad_scale": float(self.rescale_grad), "clip_value": clip, "clip_decayed_value": clip}
        rate = check(Rate, f"the learning rate of parameter {index!r}", lr)
        return self.hyperparameters(rate, wd) | surround | {"l2_decay": float(wd)}
