"""One rule over arrays in place: through a kernel where they lie densely in memory, eagerly elsewhere."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from stepwell.domain import Rate, check
from stepwell.door import class_name, signature
from stepwell.kernels import cpu, eager, norm, pool
from stepwell.kernels.trace import Program
from stepwell.numpy.arrays import Key, Parameters, address, dense
from stepwell.numpy.options import KEYWORDS, Options
from stepwell.numpy.saved import Saved, check_fits, unpacked
from stepwell.rule import Rule


class Optimizer:
    """A rule applied to a dict or a list of arrays of float16, float32 or float64.

    Args:
        params: the arrays, updated in place; the same dict or list is read again at each step.
        lr and the rule's other hyperparameters; `lr` may be a schedule, a function from the step, from 0, to the rate.
        weight_decay, unless the rule has a decay of its own, maximize, clip_norm, ema (kept in `state[key]["ema"]`),
            check_finite: see `Options`.

    Attributes:
        state: by key, the state arrays by the rule's names, and `step`, the number of updates.
        updates: how many steps were made; a schedule is a function of it.
    """

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

    def step(self, grads: Mapping[Key, Any] | Sequence[Any]) -> None:
        """Update every array whose gradient is not None.

        Args:
            grads: gradients under the parameters' own keys or positions, each of its parameter's shape and dtype.

        Raises:
            KeyError, TypeError, ValueError: a gradient that is missing, unknown, or of another shape or dtype.
            FloatingPointError: with check_finite, a NaN or an infinity. Nothing has changed in any of these cases.
        """
        parameters = self._current()
        arrays, found = parameters.arrays, parameters.gradients(grads)
        if self.options.check_finite:
            for key, g in found.items():
                if not np.isfinite(g).all():
                    raise FloatingPointError(f"the gradient of {key!r} has a NaN or an infinity; nothing was changed")
        for key in found:
            if key in self.state:
                check_fits(key, self.state[key], arrays[key], self._array_names())
        scalars = self._scalars(found)
        kinds: dict[str, list[Key]] = {}
        loose: list[Key] = []
        for key, g in found.items():
            p, state = arrays[key], self._state_of(key, arrays[key])
            if cpu.usable() and dense(p, g, *(state[s] for s in self._array_names())):
                kinds.setdefault(p.dtype.name, []).append(key)
            else:
                loose.append(key)
        for dtype, keys in kinds.items():
            self._update(dtype, {key: arrays[key] for key in keys}, found, scalars)
        for key in loose:
            self._update_eagerly(arrays[key], found[key], self.state[key], scalars)
        self.updates += 1

    def _current(self) -> Parameters:
        if self._parameters is None or not self._parameters.still(self.params):
            self._parameters = Parameters(self.params)
        return self._parameters

    @property
    def _program(self) -> Program:
        return cpu.program(self.rule, self.options.stages)

    def _array_names(self) -> tuple[str, ...]:
        return self._program.arrays[2:]  # after p and g: the state, and the average

    def _scalars(self, found: Mapping[Key, np.ndarray]) -> dict[str, float]:
        if self.schedule is not None:
            rate = self.schedule(self.updates)
            self.hyper["lr"] = check(Rate, f"lr, the schedule's value at step {self.updates},", rate)
        scale = -1.0 if self.options.maximize else 1.0
        if self.options.clip_norm is not None:
            with np.errstate(over="ignore"):
                squares = sum(float(np.square(g, dtype=np.float64).sum()) for g in found.values())
            scale *= norm.clip_factor(math.sqrt(squares), self.options.clip_norm)
        surround = {"grad_scale": scale, "l2_decay": self.options.weight_decay, "ema_decay": self.options.ema or 0.0}
        return {**self.hyper, **surround}

    def _state_of(self, key: Key, p: np.ndarray) -> dict[str, Any]:
        if key not in self.state:
            arrays = self._array_names()
            starts = {s: self.rule.start_of(s, self.hyper) for s in self.rule.state}
            made: dict[str, Any] = {s: np.full_like(p, x) if s in arrays else np.full((), x) for s, x in starts.items()}
            if self.options.ema is not None:
                made["ema"] = p.copy(order="K")
            self.state[key] = {**made, "step": 0}
        return self.state[key]

    def _update(
        self, dtype: str, params: Mapping[Key, np.ndarray], found: Mapping[Key, np.ndarray], scalars: dict[str, float]
    ) -> None:
        program = self._program
        kernel = cpu.kernel(self.rule, self.options.stages, (dtype,) * len(program.arrays))
        table = kernel.table([p.size for p in params.values()], [0] * len(params))
        clock = kernel.clock(len(params))
        pointers = (*program.arrays, *program.scalar_state)
        for row, times, (key, p) in zip(table, clock, params.items(), strict=True):
            state = self.state[key]
            named = {"p": p, "g": found[key], **state}
            row[-len(pointers) :] = [address(named[name]) for name in pointers]
            times[:] = [state["step"] + 1, *(float(state[s]) for s in program.scalar_state)]
        groups = np.array([[scalars[name] for name in program.scalars]], np.float64)
        kernel.run(table, clock, groups, pool.cores())
        for key in params:
            self.state[key]["step"] += 1

    def _update_eagerly(self, p: np.ndarray, g: np.ndarray, state: dict[str, Any], scalars: dict[str, float]) -> None:
        wide = np.float32 if p.dtype.itemsize == 2 else p.dtype
        arrays = {"p": p.astype(wide), "g": g.astype(wide)} | {s: state[s].astype(wide) for s in self._array_names()}
        arrays |= {s: float(state[s]) for s in self.rule.state if s not in arrays}
        with np.errstate(all="ignore"):  # as silent as the kernels
            new = eager.step(self.rule, arrays, {**scalars, "t": state["step"] + 1}, self.options.stages)
            for name, value in new.items():
                (p if name == "p" else state[name])[...] = value
        state["step"] += 1

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything a later run needs, beside the arrays themselves and the schedule."""
        return Saved(self.rule.name, self.hyper, self.options, self.updates, self.state).packed()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, with the hyperparameters and options that it had.

        Raises:
            ValueError: it is of another rule, or does not fit these arrays; nothing has changed.
        """
        taken = unpacked(self.rule, self._program.scalar_state, self._current().arrays, state_dict)
        self.hyper, self.options, self.updates, self.state = taken.hyper, taken.options, taken.updates, taken.state

    def __reduce__(self) -> Any:
        made = type(self) is from_rule(self.rule)  # a class that pickle finds by the rule's name, not by its own
        return _blank, (self.rule if made else type(self),), {**self.__dict__, "_parameters": None}


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
