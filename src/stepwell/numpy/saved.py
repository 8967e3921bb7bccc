"""What an optimizer over arrays keeps from one run to the next, and what it refuses to take over."""

import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stepwell.host.engine import Engine, Key
from stepwell.numpy.options import Options

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


def unpacked(engine: Engine, params: Mapping[Key, np.ndarray], packed: Any) -> Saved:
    """`packed` again, checked against the rule of `engine` and its parameters.

    Raises:
        ValueError: it is damaged, of another rule, or does not fit these arrays.
    """
    rule = engine.rule
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
        state[key] = {s: _copied(f"{where}: {s}", own[s], engine.room(params[key], s)) for s in names}
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


def _copied(name: str, value: Any, copy: np.ndarray) -> np.ndarray:
    if np.shape(value) != copy.shape:
        raise ValueError(f"{name} must have the shape {copy.shape}; got {np.shape(value)}")
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" and array.dtype != copy.dtype:
        raise ValueError(f"{name} must hold numbers; got {array.dtype}")
    copy[...] = array
    return copy
