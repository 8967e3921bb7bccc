"""Optimizers over NumPy arrays, in place: `Adam(params)`, then `step(grads)`.

>>> import numpy as np
>>> from stepwell.numpy import Adam
>>> params = {"w": np.zeros(2), "b": np.zeros(1)}
>>> optimizer = Adam(params, lr=0.1)
>>> optimizer.step({"w": np.array([3.0, -5.0]), "b": None})  # None: no gradient this time
>>> params["w"].round(6), params["b"]
(array([-0.1,  0.1]), array([0.]))

Every rule of `stepwell.rules` has a class here, under the rule's own names; `from_rule` makes one from the user's rule.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from stepwell import rules
from stepwell.door import class_name, signature
from stepwell.kernels import Stages, cpu, eager, norm, pool
from stepwell.rule import Decay, Domain, NonNegative, Positive, Rate, Rule

Key = Any  # a name in a dict of parameters, or a position in a list
OPTIONS = {"maximize": False, "clip_norm": None, "ema": None, "check_finite": False}


def _domain(annotation: Any) -> Domain:
    return annotation.__metadata__[0]


class Optimizer:
    """A rule applied to a dict or a list of arrays of float16, float32 or float64.

    Args:
        params: the arrays, updated in place; the same dict or list is read again at each step.
        lr and the rule's other hyperparameters; `lr` may be a schedule, a function from the step, from 0, to the rate.
        weight_decay: added to the gradient times the parameter (L2), unless the rule has a decay of its own.
        maximize: ascend instead.
        clip_norm: scale all gradients so that their global L2 norm is at most this.
        ema: keep an average of the arrays with this decay, in `state[key]["ema"]`.
        check_finite: refuse gradients with a NaN or an infinity before anything changes.

    Attributes:
        state: by key, the state arrays by the rule's names, and `step`, the number of updates.
        updates: how many steps were made; a schedule is a function of it.
    """

    rule: ClassVar[Rule]

    def __init__(self, *args: Any, **kwargs: Any):
        bound = inspect.signature(type(self)).bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        self.params = given.pop("params")
        options = {name: given.pop(name) for name in OPTIONS}
        self.maximize, self.check_finite = bool(options["maximize"]), bool(options["check_finite"])
        self.clip_norm = _optional("clip_norm", options["clip_norm"], Positive)
        self.ema = _optional("ema", options["ema"], Decay)
        self.l2 = 0.0
        if "weight_decay" not in self.rule.hyperparameters:
            self.l2 = _domain(NonNegative).check("weight_decay", given.pop("weight_decay"))
        self.schedule: Callable[[int], float] | None = given["lr"] if callable(given.get("lr")) else None
        if self.schedule is not None:
            given["lr"] = self.schedule(0)
        self.hyper = self.rule.complete(given)
        self.state: dict[Key, dict[str, Any]] = {}
        self.updates = 0
        if not _keys(self.params):
            raise ValueError("params must hold at least one array; got none")
        for key in _keys(self.params):
            _check_parameter(key, self.params[key])
        _check_distinct(self.params)

    @property
    def stages(self) -> Stages:
        """What surrounds the rule in each step."""
        return Stages(self.maximize or self.clip_norm is not None, self.l2 != 0, self.ema is not None, False)

    def step(self, grads: Mapping[Key, Any] | Sequence[Any]) -> None:
        """Update every array whose gradient is not None.

        Args:
            grads: gradients under the parameters' own keys or positions, each of its parameter's shape and dtype.

        Raises:
            KeyError, TypeError, ValueError: a gradient that is missing, unknown, or of another shape or dtype.
            FloatingPointError: with check_finite, a NaN or an infinity. Nothing has changed in any of these cases.
        """
        found = _gradients(self.params, grads)
        if self.check_finite:
            for key, g in found.items():
                if not np.isfinite(g).all():
                    raise FloatingPointError(f"the gradient of {key!r} has a NaN or an infinity; nothing was changed")
        scalars = self._scalars(found)
        kinds: dict[str, list[Key]] = {}
        for key, g in found.items():
            p, state = self.params[key], self._state_of(key)
            if cpu.usable() and _dense(p, g, *(state[s] for s in self._arrays())):
                kinds.setdefault(p.dtype.name, []).append(key)
            else:
                self._update_eagerly(key, g, scalars)
        for dtype, keys in kinds.items():
            self._update(dtype, keys, found, scalars)
        self.updates += 1

    def _arrays(self) -> list[str]:
        numbers = cpu.program(self.rule, self.stages).scalar_state
        return [*(s for s in self.rule.state if s not in numbers), *(["ema"] if self.ema is not None else [])]

    def _scalars(self, found: Mapping[Key, np.ndarray]) -> dict[str, float]:
        if self.schedule is not None:
            rate = self.schedule(self.updates)
            self.hyper["lr"] = _domain(Rate).check(f"lr, the schedule's value at step {self.updates},", rate)
        scale = -1.0 if self.maximize else 1.0
        if self.clip_norm is not None:
            squares = sum(float(np.square(g, dtype=np.float64).sum()) for g in found.values())
            scale *= norm.clip_factor(math.sqrt(squares), self.clip_norm)
        return {**self.hyper, "grad_scale": scale, "l2_decay": self.l2, "ema_decay": self.ema or 0.0}

    def _state_of(self, key: Key) -> dict[str, Any]:
        if key not in self.state:
            p = self.params[key]
            numbers = cpu.program(self.rule, self.stages).scalar_state
            starts = {s: self.rule.start_of(s, self.hyper) for s in self.rule.state}
            made: dict[str, Any] = {
                s: np.full((), x) if s in numbers else np.full_like(p, x) for s, x in starts.items()
            }
            if self.ema is not None:
                made["ema"] = p.copy(order="K")
            self.state[key] = {**made, "step": 0}
        return self.state[key]

    def _update(self, dtype: str, keys: list[Key], found: Mapping[Key, np.ndarray], scalars: dict[str, float]) -> None:
        program = cpu.program(self.rule, self.stages)
        kernel = cpu.kernel(self.rule, self.stages, (dtype,) * len(program.arrays))
        table = kernel.table([self.params[key].size for key in keys], [0] * len(keys))
        clock = kernel.clock(len(keys))
        for row, times, key in zip(table, clock, keys, strict=True):
            state = self.state[key]
            state["step"] += 1
            named = {"p": self.params[key], "g": found[key], **state}
            row[-len(program.arrays) - len(program.scalar_state) :] = [
                named[name].__array_interface__["data"][0] for name in (*program.arrays, *program.scalar_state)
            ]
            times[:] = [state["step"], *(float(state[s]) for s in program.scalar_state)]
        groups = np.array([[scalars[name] for name in program.scalars]], np.float64)
        kernel.run(table, clock, groups, pool.cores())

    def _update_eagerly(self, key: Key, g: np.ndarray, scalars: dict[str, float]) -> None:
        p, state = self.params[key], self.state[key]
        state["step"] += 1
        wide = np.float32 if p.dtype == np.float16 else p.dtype
        arrays = {"p": p.astype(wide), "g": g.astype(wide)} | {s: state[s].astype(wide) for s in self._arrays()}
        arrays |= {s: float(state[s]) for s in self.rule.state if s not in arrays}
        new = eager.step(self.rule, arrays, {**scalars, "t": state["step"]}, self.stages)
        p[...] = new.pop("p")
        for name, value in new.items():
            state[name][...] = value

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything a later run needs, beside the arrays themselves."""
        copied = {key: {s: np.copy(x) if s != "step" else x for s, x in own.items()} for key, own in self.state.items()}
        return {"rule": self.rule.name, "hyper": dict(self.hyper), "updates": self.updates, "state": copied}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            ValueError: it is of another rule, or does not fit these arrays; nothing has changed.
        """
        if not isinstance(saved, Mapping) or not {"rule", "hyper", "updates", "state"} <= set(saved):
            raise ValueError(f"state_dict must have the keys rule, hyper, updates and state; got {saved!r:.200}")
        if saved["rule"] != self.rule.name:
            raise ValueError(f"state_dict is of the rule {saved['rule']!r}; this optimizer's is {self.rule.name!r}")
        wanted = {*self.rule.state, "step", *(["ema"] if self.ema is not None else [])}
        for key, own in saved["state"].items():
            if key not in _keys(self.params):
                raise ValueError(f"state_dict has state for {key!r}, which is not a parameter")
            if missing := wanted - set(own):
                raise ValueError(f"state_dict: the state of {key!r} lacks {sorted(missing)[0]!r}")
            for name in self._arrays():
                if np.shape(own[name]) != self.params[key].shape:
                    raise ValueError(
                        f"state_dict: {name} of {key!r} has shape {np.shape(own[name])}; "
                        f"the parameter has {self.params[key].shape}"
                    )
        hyper = self.rule.complete(saved["hyper"])
        arrays = set(self._arrays())
        self.state = {
            key: {
                s: int(x) if s == "step" else _copied(x, self.params[key] if s in arrays else None)
                for s, x in own.items()
            }
            for key, own in saved["state"].items()
        }
        self.hyper, self.updates = hyper, int(saved["updates"])

    def __reduce__(self) -> Any:
        return _blank, (self.rule,), self.__dict__


def _blank(rule: Rule) -> Optimizer:
    return Optimizer.__new__(from_rule(rule))


def _copied(x: Any, like: np.ndarray | None) -> np.ndarray:
    if like is None:
        return np.array(x, np.float64)
    copy = np.empty_like(like)
    copy[...] = x
    return copy


def _optional(name: str, value: Any, domain: Any) -> float | None:
    return None if value is None else _domain(domain).check(name, value)


def _keys(params: Any) -> list[Key]:
    if isinstance(params, Mapping):
        return list(params)
    if isinstance(params, Sequence) and not isinstance(params, str):
        return list(range(len(params)))
    raise TypeError(f"params must be a dict or a list of arrays; got {type(params).__name__}")


def _check_parameter(key: Key, p: Any) -> None:
    if not isinstance(p, np.ndarray) or p.dtype.name not in cpu.DTYPES or not p.dtype.isnative:
        kind = f"dtype {p.dtype}" if isinstance(p, np.ndarray) else type(p).__name__
        raise TypeError(f"params[{key!r}] must be an array of float16, float32 or float64; got {kind}")
    if not p.flags.writeable:
        raise ValueError(f"params[{key!r}] is read-only; it must be writeable, since steps are made in place")


def _check_distinct(params: Any) -> None:
    seen: dict[int, Key] = {}
    for key in _keys(params):
        if (first := seen.setdefault(id(params[key]), key)) is not key and first != key:
            raise ValueError(f"params[{key!r}] is the same array as params[{first!r}]; each may be given once")


def _gradients(params: Any, grads: Any) -> dict[Key, np.ndarray]:
    keys = _keys(params)
    if _keys_of_gradients(grads) != set(keys):
        odd = sorted(map(repr, set(keys) ^ _keys_of_gradients(grads)))[0]
        raise KeyError(f"grads must have the parameters' keys (None where there is no gradient); {odd} is in one only")
    found = {}
    for key in keys:
        p, g = params[key], grads[key]
        _check_parameter(key, p)
        if g is None:
            continue
        if not isinstance(g, np.ndarray) or g.shape != p.shape or g.dtype != p.dtype:
            got = f"{g.dtype} of shape {g.shape}" if isinstance(g, np.ndarray) else type(g).__name__
            raise ValueError(f"grads[{key!r}] must be an array of {p.dtype} of shape {p.shape}; got {got}")
        found[key] = g
    return found


def _keys_of_gradients(grads: Any) -> set[Key]:
    try:
        return set(_keys(grads))
    except TypeError:
        raise TypeError(f"grads must be a dict or a list of arrays; got {type(grads).__name__}") from None


def _dense(p: np.ndarray, *others: np.ndarray) -> bool:
    return any(all(a.flags[order] for a in (p, *others)) for order in ("C_CONTIGUOUS", "F_CONTIGUOUS"))


@functools.cache
def from_rule(rule: Rule) -> type[Optimizer]:
    """The optimizer class of a rule."""
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be made by @stepwell.rule.rule; got {rule!r}")
    doc = f"{rule.summary}\n\nSee `Optimizer` for the arguments, `rule.latex()` for the formula."
    members = {"rule": rule, "__signature__": signature(rule, OPTIONS), "__doc__": doc, "__module__": __name__}
    return type(class_name(rule), (Optimizer,), members)


_classes = {class_name(rule): rule for rule in rules.named.values()}
__all__ = ["Optimizer", "from_rule", *_classes]


def __getattr__(name: str) -> type[Optimizer]:
    if name in _classes:
        return from_rule(_classes[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
