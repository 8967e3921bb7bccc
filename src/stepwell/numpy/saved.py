"""What an optimizer over arrays keeps from one run to the next, and what it refuses to take over."""

import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stepwell.kernels.trace import Program
from stepwell.numpy.arrays import Key
from stepwell.numpy.options import Options
from stepwell.rule import Rule

State = dict[str, Any]


@dataclass(frozen=True)
class Saved:
    """All that a later run needs beside the arrays themselves and the schedule."""

    rule: str
    hyper: dict[str, float]
    options: Options
    updates: int
    state: dict[Key, State]

    def packed(self) -> dict[str, Any]:
        """A plain dict, its arrays copied."""
        state = {
            key: {name: np.copy(x) if name != "step" else x for name, x in own.items()}
            for key, own in self.state.items()
        }
        return {
            "rule": self.rule, "hyper": dict(self.hyper), "options": asdict(self.options), "updates": self.updates,
            "state": state,
        }  # fmt: skip


def unpacked(rule: Rule, program: Program, params: Mapping[Key, np.ndarray], packed: Any) -> Saved:
    """`packed` again, checked against the rule and its parameters; `program` knows what its states look like.

    Raises:
        ValueError: it is damaged, of another rule, or does not fit these arrays.
    """
    keys = ("rule", "hyper", "options", "updates", "state")
    if not isinstance(packed, Mapping) or set(packed) != set(keys):
        found = ", ".join(map(repr, packed)) if isinstance(packed, Mapping) else type(packed).__name__
        raise ValueError(f"state_dict must have the keys {', '.join(keys)}; got {found}")
    if packed["rule"] != rule.name:
        raise ValueError(f"state_dict is of the rule {packed['rule']!r}; this optimizer's is {rule.name!r}")
    for name in ("hyper", "options", "state"):
        if not isinstance(packed[name], Mapping):
            raise ValueError(f"state_dict: {name} must be a dict; got {packed[name]!r:.200}")
    try:
        hyper, options = rule.complete(packed["hyper"]), Options(**packed["options"])
    except TypeError as error:
        raise ValueError(f"state_dict: {error}") from None
    names = (*rule.state, *(["ema"] if options.ema is not None else []))
    state = {}
    for key, own in packed["state"].items():
        if key not in params:
            raise ValueError(f"state_dict has state for {key!r}, which is not a parameter")
        where = f"state_dict: the state of {key!r}"
        if not isinstance(own, Mapping) or set(own) != {*names, "step"}:
            found = ", ".join(map(str, own)) if isinstance(own, Mapping) else type(own).__name__
            raise ValueError(f"{where} must have {', '.join((*names, 'step'))}; got {found}")
        state[key] = {s: _copied(f"{where}: {s}", own[s], room(params[key], program, s)) for s in names}
        state[key]["step"] = _count(f"{where}: step", own["step"])
    return Saved(rule.name, hyper, options, _count("state_dict: updates", packed["updates"]), state)


def _count(name: str, value: Any) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        count = -1
    if count < 0:
        raise ValueError(f"{name} must be an integer ≥ 0; got {value!r}")
    return count


def room(p: np.ndarray, program: Program, name: str) -> np.ndarray:
    """An unfilled array for a state of `p`, or its average: a number in float64, or in the dtype of p, in its order."""
    if name in program.scalar_state:
        return np.empty((), np.float64)
    return np.empty(program.shape_of(name, p.shape), p.dtype) if name in program.row_state else np.empty_like(p)


def _copied(name: str, value: Any, copy: np.ndarray) -> np.ndarray:
    if np.shape(value) != copy.shape:
        raise ValueError(f"{name} must have the shape {copy.shape}; got {np.shape(value)}")
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" and array.dtype != copy.dtype:
        raise ValueError(f"{name} must hold numbers; got {array.dtype}")
    copy[...] = array
    return copy


def check_fits(key: Key, state: State, p: np.ndarray, program: Program) -> None:
    """Refuse an array that took the place of one of another shape or dtype."""
    for name in program.arrays[2:]:
        if state[name].shape != program.shape_of(name, p.shape) or state[name].dtype != p.dtype:
            raise ValueError(
                f"params[{key!r}] is now {p.dtype} of shape {p.shape}; its state {name} is {state[name].dtype} "
                f"of shape {state[name].shape}"
            )
