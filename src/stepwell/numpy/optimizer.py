"""One rule over arrays in place: through a kernel where they lie densely in memory, eagerly elsewhere."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from stepwell.domain import Rate, check
from stepwell.door import class_name, signature
from stepwell.host.engine import Engine, Key, Reading, Slot
from stepwell.host.sparse import plain
from stepwell.kernels import norm
from stepwell.kernels.merge import INDICES
from stepwell.numpy import portable
from stepwell.numpy.arrays import Parameters
from stepwell.numpy.options import KEYWORDS, Options
from stepwell.numpy.saved import Saved, unpacked
from stepwell.rule import Rule


class Optimizer:
    """A rule applied to a dict or a list of arrays of float16, float32 or float64.

    Args:
        params: the arrays, updated in place; the same dict or list is read again at each step.
        lr and the rule's other hyperparameters; `lr` may be a schedule, a function from the step, from 0, to the rate.
        weight_decay, unless the rule has a decay of its own, maximize, clip_norm, ema (kept in `state[key]["ema"]`),
            check_finite, sparse: see `Options`.

    Attributes:
        state: by key, the state arrays by the rule's names, and `step`, the number of updates.
        updates: how many steps were made; a schedule is a function of it.
    """

    _portable = portable  # what stepwell.checkpoint calls

    rule: ClassVar[Rule]

    def __init__(self, *args: Any, **kwargs: Any):
        if not hasattr(type(self), "rule"):
            raise TypeError("Optimizer is a base; use one of stepwell.numpy's optimizers, or from_rule")
        bound = inspect.signature(type(self)).bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        self.params = given.pop("params")
        self._parameters: Parameters | None = Parameters(self.params)
        options = [name for name in Options.__annotations__ if name in given and name not in self.rule.hyperparameters]
        self.options = Options(**{name: given.pop(name) for name in options})
        self.schedule: Callable[[int], float] | None = given["lr"] if callable(given.get("lr")) else None
        if self.schedule is not None:
            given["lr"] = self.schedule(0)
        self.hyper = self.rule.complete(given)
        self.state: dict[Key, dict[str, Any]] = {}
        self.updates = 0
        self._made: Engine | None = None

    def step(self, grads: Mapping[Key, Any] | Sequence[Any]) -> None:
        """Update every array whose gradient is not None.

        Args:
            grads: gradients under the parameters' own keys or positions, each of its parameter's shape and dtype; or
                `Rows` of it, or a sparse matrix of SciPy, whose stored entries are single numbers of the parameter.

        Raises:
            KeyError, TypeError, ValueError: a gradient that is missing, unknown, or of another shape or dtype.
            IndexError: a sparse gradient names a row that its parameter does not have.
            FloatingPointError: with check_finite, a NaN or an infinity. Nothing has changed in any of these cases.
        """
        parameters = self._current()
        arrays = parameters.arrays
        found = parameters.gradients(grads)
        self._refuse_moved(arrays)
        fresh = [key for key in found if key not in self.state]
        scalars = dict(self.hyper)
        slots = [Slot(key, arrays[key], g, self._state_of(key, arrays[key]), scalars) for key, g in found.items()]
        try:
            reading = self._engine.read(slots)
            if self.options.check_finite and (odd := reading.odd()) is not None:
                raise FloatingPointError(f"the gradient of {odd!r} has a NaN or an infinity; nothing was changed")
            scalars.update(self._scalars(reading))
        except Exception:
            for key in fresh:  # a gradient that is refused leaves no state behind
                del self.state[key]
            raise
        reading.step()
        self.updates += 1

    def catch_up(self, key: Key, indices: Any = None) -> None:
        """Let these rows of an array see every step so far; all rows where no indices are given.

        With sparse="exact" the rows that no gradient names are behind until they are needed: before reading rows, call
        this, or `flush` for all arrays. With sparse="lazy" there is nothing to do.

        Args:
            key: the array's name or position.
            indices: int32 or int64, of any shape; rows counted along the first axis.

        Raises:
            KeyError: there is no such array. TypeError, IndexError: indices of another dtype, or outside the array.
        """
        if key not in self._current().arrays:
            raise KeyError(
                f"key must be that of a parameter, {', '.join(map(repr, self._current().arrays))}; got {key!r}"
            )
        rows = None if indices is None else plain(indices).reshape(-1)
        if rows is not None and rows.dtype.name not in INDICES:
            raise TypeError(f"indices must be int32 or int64; got {rows.dtype}")
        self._refuse_moved(self._current().arrays)
        self._engine.flush(key) if rows is None else self._engine.catch_up(key, rows)

    def flush(self) -> None:
        """Let every row of every array see every step so far; saving and copying do so by themselves."""
        self._refuse_moved(self._current().arrays)
        self._engine.flush()

    def _current(self) -> Parameters:
        if self._parameters is None or not self._parameters.still(self.params):
            self._parameters = Parameters(self.params)
        return self._parameters

    @property
    def _engine(self) -> Engine:
        if self._made is None:
            self._made = Engine(self.rule, self.options.stages, self.options.sparse)
        return self._made

    def _refuse_moved(self, arrays: Mapping[Key, Any]) -> None:
        self._engine.refuse_moved({key: (p, self.state.get(key)) for key, p in arrays.items()})

    def _state_of(self, key: Key, p: np.ndarray) -> dict[str, Any]:
        if key not in self.state:
            self.state[key] = self._engine.start(p, self.hyper)
        return self.state[key]

    def _scalars(self, reading: Reading) -> dict[str, float]:
        if self.schedule is not None:
            rate = self.schedule(self.updates)
            self.hyper["lr"] = check(Rate, f"lr, the schedule's value at step {self.updates},", rate)
        scale = -1.0 if self.options.maximize else 1.0
        if self.options.clip_norm is not None:
            scale *= norm.clip_factor(math.sqrt(reading.squares()), self.options.clip_norm)
        surround = {"grad_scale": scale, "l2_decay": self.options.weight_decay, "ema_decay": self.options.ema or 0.0}
        return {**self.hyper, **surround}

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything a later run needs, beside the arrays themselves and the schedule."""
        self.flush()
        return Saved(self.rule.name, self.hyper, self.options, self.updates, self.state).packed()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, with the hyperparameters and options that it had.

        Raises:
            ValueError: it is of another rule, or does not fit these arrays; nothing has changed.
        """
        self.flush()
        taken = unpacked(self._engine, self._current().arrays, state_dict)
        self.hyper, self.options, self.updates, self.state = taken.hyper, taken.options, taken.updates, taken.state
        self._made = None

    def __reduce__(self) -> Any:
        self.flush()
        made = type(self) is from_rule(self.rule)  # a class that pickle finds by the rule's name, not by its own
        return _blank, (self.rule if made else type(self),), {**self.__dict__, "_parameters": None, "_made": None}


def _blank(kind: Rule | type[Optimizer]) -> Optimizer:
    made = from_rule(kind) if isinstance(kind, Rule) else kind
    return made.__new__(made)


def from_rule(rule: Rule) -> type[Optimizer]:
    """The optimizer class of a rule."""
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be made by @stepwell.rule.rule; got {rule!r}")
    return _class_of(rule)


@functools.cache
def _class_of(rule: Rule) -> type[Optimizer]:
    doc = f"{rule.summary}\n\nSee `Optimizer` for the arguments, `rule.latex()` for the formula."
    members = {"rule": rule, "__signature__": signature(rule, KEYWORDS), "__doc__": doc, "__module__": "stepwell.numpy"}
    return type(class_name(rule), (Optimizer,), members)
