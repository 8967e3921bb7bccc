"""A snapshot as arrays and a document, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import stepwell
from stepwell.checkpoint.layout import from_json, to_json
from stepwell.checkpoint.snapshot import CheckpointError, Entry, Snapshot, count, same_names

VALUE = "p"  # as rules call the parameter; no state can have this name
ABOUT = {"rule": str, "formula": str, "step": int, "hyper": dict, "state": list}


def packed(snapshot: Snapshot, extra: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays under `<array>/<parameter>`, `p/…` for the parameter itself, and all else."""
    arrays, about = {}, {}
    for name, entry in snapshot.entries.items():
        arrays |= {f"{key}/{name}": array for key, array in {VALUE: entry.value, **entry.state}.items()}
        about[name] = {
            "rule": entry.rule, "formula": entry.formula, "step": int(entry.step),
            "hyper": {key: float(x) for key, x in entry.hyper.items()}, "state": list(entry.state),
        }  # fmt: skip
    document = {"stepwell": stepwell.__version__, "updates": int(snapshot.updates), "parameters": about, "extra": extra}
    return arrays, document


def unpacked(arrays: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> tuple[Snapshot, dict[str, Any]]:
    """The snapshot and the user's own part of a file; what is said of its parameters is of the right kind.

    Raises:
        CheckpointError: something is missing, too much, or no such thing.
    """
    kinds = {"stepwell": str, "updates": int, "parameters": dict, "extra": dict}
    _check_kinds("its description", document, kinds)
    for name, about in document["parameters"].items():
        _check_parameter(f"parameter {name!r}", about)
    listed = {n: (VALUE, *about["state"]) for n, about in document["parameters"].items()}
    same_names("array", arrays, [f"{key}/{name}" for name, keys in listed.items() for key in keys])
    entries = {}
    for name, about in document["parameters"].items():
        state = {key: arrays[f"{key}/{name}"] for key in about["state"]}
        rest = {key: about[key] for key in ("rule", "formula", "step", "hyper")}
        entries[name] = Entry(arrays[f"{VALUE}/{name}"], state=state, **rest)
    return Snapshot(entries, count("updates", document["updates"])), document["extra"]


def checked_extra(extra: Any) -> dict[str, Any]:
    """`extra`, if JSON gives back what it is given.

    Raises:
        ValueError: it is no dict of what JSON has.
    """
    wanted = (
        "extra must be a dict of what JSON has (text as keys; text, finite numbers, True, False, None, lists, dicts)"
    )
    if not isinstance(extra, dict):
        raise ValueError(f"{wanted}; got {type(extra).__name__}")
    try:
        again = from_json("extra", to_json(extra))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{wanted}; {error}") from None
    if again != extra:
        raise ValueError(f"{wanted}; {extra!r:.200} would come back as {again!r:.200}")
    return extra


def _check_kinds(what: str, found: Any, kinds: Mapping[str, type]) -> None:
    if not isinstance(found, dict) or set(found) != set(kinds):
        names = ", ".join(map(repr, found)) if isinstance(found, dict) else repr(found)
        raise CheckpointError(f"{what} must have {', '.join(map(repr, kinds))}; it has {names:.200}")
    for name, kind in kinds.items():
        if type(found[name]) is not kind:
            raise CheckpointError(f"{what}: {name!r} must be a {kind.__name__}; got {found[name]!r:.100}")


def _check_parameter(what: str, about: Any) -> None:
    _check_kinds(what, about, ABOUT)
    count(f"{what}: step", about["step"])
    for key, value in about["hyper"].items():
        if type(value) is not float:
            raise CheckpointError(f"{what}: the hyperparameter {key!r} must be a float; got {value!r:.100}")
    names = about["state"]
    if not all(type(key) is str and key.isidentifier() for key in names) or len({*names, VALUE}) != 1 + len(names):
        raise CheckpointError(f"{what}: its state must be names, each once; got {names!r:.200}")
