"""Other names, and other orders of axes, in the file than in the optimizer."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepwell.checkpoint.snapshot import CheckpointError, Entry, Snapshot, same_names

Names = Callable[[str], str | tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Place:
    """The name of a parameter in the file, and the order of its axes there: as `np.transpose` takes it."""

    name: str
    axes: tuple[int, ...] | None = None


def places(names: Names | None, own: Iterable[str]) -> dict[str, Place]:
    """Where the file has each of an optimizer's parameters.

    Raises:
        TypeError, ValueError: `names` gives something else than a name, or the same one twice.
    """
    found = {name: _place(name, name if names is None else names(name)) for name in own}
    first: dict[str, str] = {}
    for name, place in found.items():
        if (other := first.setdefault(place.name, name)) != name:
            raise ValueError(f"names must be one-to-one; {other!r} and {name!r} are both {place.name!r} in the file")
    return found


def _place(name: str, given: Any) -> Place:
    match given:
        case str():
            return Place(given)
        case (str() as text, tuple() | list() as axes) if all(type(axis) is int for axis in axes):
            if sorted(axes) != list(range(len(axes))):
                raise ValueError(f"names({name!r}): {axes!r} is no order of {len(axes)} axes")
            return Place(text, tuple(axes))
    raise TypeError(f"names({name!r}) must give a name, or a name and a tuple of axes; got {given!r}")


def to_file(snapshot: Snapshot, at: Mapping[str, Place]) -> Snapshot:
    """A snapshot of an optimizer under the file's names, its axes in the file's order."""
    entries = {at[name].name: _turned(entry, name, at[name].axes) for name, entry in snapshot.entries.items()}
    return replace(snapshot, entries=entries)


def from_file(snapshot: Snapshot, at: Mapping[str, Place]) -> Snapshot:
    """A file's snapshot under the optimizer's names, its axes in the optimizer's order.

    Raises:
        CheckpointError: the file has other names.
    """
    same_names("parameter", snapshot.entries, [place.name for place in at.values()])
    inverse = {name: None if p.axes is None else tuple(map(int, np.argsort(p.axes))) for name, p in at.items()}
    entries = {name: _turned(snapshot.entries[p.name], p.name, inverse[name]) for name, p in at.items()}
    return replace(snapshot, entries=entries)


def _turned(entry: Entry, name: str, axes: tuple[int, ...] | None) -> Entry:
    if axes is None:
        return entry
    shape = entry.value.shape
    if len(axes) != len(shape):
        raise CheckpointError(f"parameter {name!r} has {len(shape)} axes; names gives an order of {len(axes)}")
    for key, array in entry.state.items():
        if array.shape not in (shape, ()):
            raise CheckpointError(
                f"parameter {name!r}: its state {key!r} of shape {array.shape} holds a number for each row along the "
                "last axis, so the axes cannot change places"
            )
    state = {key: array.transpose(axes) if array.shape == shape else array for key, array in entry.state.items()}
    return replace(entry, value=entry.value.transpose(axes), state=state)
