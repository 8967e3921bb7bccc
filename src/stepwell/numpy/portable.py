"""Arrays and their state by name, for checkpoints that any framework reads."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stepwell.checkpoint.snapshot import Entry, Expected, Snapshot, check, shared_hyper
from stepwell.host.engine import Key

if TYPE_CHECKING:
    from stepwell.numpy.optimizer import Optimizer

Named = dict[str, Key]


def named(optimizer: "Optimizer", params: Any) -> Named:
    """The keys of the optimizer's arrays by name: those of `params`, a mapping to the same arrays, or their own."""
    own = optimizer._current().arrays
    if params is None:
        return {_name(key) if isinstance(optimizer.params, Mapping) else str(key): key for key in own}
    if not isinstance(params, Mapping):
        raise TypeError(f"params must be a mapping from names to the optimizer's arrays; got {type(params).__name__}")
    keys = {id(p): key for key, p in own.items()}
    found = {_name(name): keys.pop(id(p)) for name, p in params.items() if id(p) in keys}
    if keys:
        missing = ", ".join(map(repr, keys.values()))
        raise ValueError(f"params must name every array of the optimizer; it does not hold the array of {missing}")
    return found


def _name(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"parameters are saved by name; {key!r} is no text (params may map names to the same arrays)")
    return key


def snapshot(optimizer: "Optimizer", names: Named) -> Snapshot:
    """All that a later run needs; rows that are behind are settled first."""
    optimizer.flush()
    arrays, rule = optimizer._current().arrays, optimizer.rule
    hyper = {key: x for key, x in optimizer.hyper.items() if key != "lr" or optimizer.schedule is None}
    entries = {}
    for name, key in names.items():
        p, own = arrays[key], optimizer.state.get(key)
        if own is None:
            own = {**_expected(optimizer, p).start(p, optimizer.hyper), "step": 0}
        state = {key: x for key, x in own.items() if key != "step"}
        entries[name] = Entry.of(rule, p, own["step"], state, hyper)
    return Snapshot(entries, optimizer.updates)


def restore(optimizer: "Optimizer", names: Named, taken: Snapshot) -> None:
    """Go on where a snapshot was taken; all of it is checked before anything changes."""
    arrays = optimizer._current().arrays
    check(taken, {name: _expected(optimizer, arrays[key]) for name, key in names.items()})
    hyper = shared_hyper(taken, names)
    optimizer.flush()
    if optimizer.schedule is not None:
        hyper.pop("lr", None)
    optimizer.hyper |= hyper
    optimizer.updates = taken.updates
    optimizer.state, optimizer._made = {}, None
    for name, key in names.items():
        entry = taken.entries[name]
        np.copyto(arrays[key], entry.value)
        if _expected(optimizer, arrays[key]).is_start(entry, optimizer.hyper):
            continue
        own = optimizer._state_of(key, arrays[key])
        for state, array in entry.state.items():
            np.copyto(own[state], array)
        own["step"] = entry.step


def _expected(optimizer: "Optimizer", p: np.ndarray) -> Expected:
    return Expected(p.shape, p.dtype.name, optimizer.rule, optimizer._engine.program)
