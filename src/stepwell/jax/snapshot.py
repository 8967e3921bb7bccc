"""What a checkpoint takes from parameters and a state of JAX, and what it gives back: new ones, nothing is changed."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from stepwell.checkpoint.snapshot import CheckpointError, Entry, Expected, Snapshot, check
from stepwell.jax.state import RuleState
from stepwell.kernels.trace import updates

Paths = Mapping[str, Any]


MOST = 2**31 - 1
"""Where optax's counts stop."""


def snapshot(params: Any, state: Any) -> Snapshot:
    """The parameters that `state` belongs to, by their paths joined with dots ("layer.weight"), with their state.

    Args:
        params: any tree of arrays.
        state: the state of a transformation of this door, alone or within optax.chain, masked, multi_transform …

    Raises:
        TypeError: the state holds arrays of other transformations, which the other doors could not take over.
        ValueError: two parameters have one name, or the state is not of these parameters.
    """
    named = paths(params)
    counts, entries = [0], {}
    for owner, mine in _owners(named, state):
        counts.append(int(owner.count))
        for name in mine:
            value = np.asarray(named[name])
            entries[name] = Entry.of(owner.rule, value, counts[-1], _state_of(owner, name), owner.hyper)
    return Snapshot({name: entries[name] for name in named if name in entries}, max(counts))


def restored(params: Any, state: Any, snapshot: Snapshot) -> tuple[Any, Any]:
    """Parameters and state as a snapshot has them, in the structure, types and places of these ones.

    Hyperparameters stay those of the transformation, which a state cannot change: a snapshot that has
    another number than the transformation was made with is refused, since the next steps would not be those of the
    training that was saved. A rate that is a schedule or an array goes unchecked.

    Raises:
        CheckpointError: the snapshot is not of such a training; nothing was changed.
        TypeError, ValueError: as `snapshot`.
    """
    named = paths(params)
    owners = _owners(named, state)
    expected = {name: _expected(owner, name, named[name]) for owner, mine in owners for name in mine}
    check(snapshot, expected)
    made = iter([_filled(owner, {name: snapshot.entries[name] for name in mine}, snapshot) for owner, mine in owners])
    leaves, structure = jax.tree.flatten(state, is_leaf=_is_ours)
    new = {name: _like(named[name], snapshot.entries[name].value) for name in expected}
    fresh = structure.unflatten([next(made) if _is_ours(leaf) else leaf for leaf in leaves])
    return jax.tree.unflatten(jax.tree.structure(params), [new.get(name, x) for name, x in named.items()]), fresh


def paths(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths joined with dots; a tree that is one leaf has the name "params".

    >>> paths({"layer": {"weight": 1.0}, "scales": [2.0, 3.0]})
    {'layer.weight': 1.0, 'scales.0': 2.0, 'scales.1': 3.0}
    """
    found: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "params"
        if name in found:
            raise ValueError(f"two parameters are both named {name!r}; rename a key that has a dot")
        found[name] = leaf
    return found


def _is_ours(x: Any) -> bool:
    return isinstance(x, RuleState)


def _owners(named: Paths, state: Any) -> list[tuple[RuleState, list[str]]]:
    """Each of our states in a nest of optax's, with the names of its parameters."""
    leaves = jax.tree.leaves(state, is_leaf=_is_ours)
    if others := [leaf for leaf in leaves if not _is_ours(leaf)]:
        raise TypeError(
            f"state must be of transformations of stepwell.jax alone; got one with {len(others)} more arrays, which "
            "another transformation keeps"
        )
    known = [(owner, list(paths(next(iter(owner.arrays.values()))))) for owner in leaves if owner.rule.state]
    taken = [name for _, mine in known for name in mine]
    if strange := [name for name in taken if name not in named]:
        raise ValueError(f"params must be those that the state was made for; got none named {strange[0]!r}")
    if len(set(taken)) < len(taken):
        raise ValueError("state must hold each parameter once; it holds some under two rules")
    if len(known) < len(leaves) - 1:
        raise ValueError("state must have at most one rule without state of its own; it has more")
    free = iter([[name for name in named if name not in taken]])
    named_owners = iter(known)
    return [next(named_owners) if owner.rule.state else (owner, next(free)) for owner in leaves]


def _state_of(owner: RuleState, name: str) -> dict[str, np.ndarray]:
    found = {key: np.asarray(paths(tree)[name]) for key, tree in owner.arrays.items()}
    return found | {key: found[key].astype(np.float64) for key in updates(owner.rule).scalar_state}


def _expected(owner: RuleState, name: str, value: Any) -> Expected:
    traced = updates(owner.rule)
    kept = {key: paths(tree)[name].dtype.name for key, tree in owner.arrays.items() if key not in traced.scalar_state}
    return Expected(value.shape, value.dtype.name, owner.rule, traced, kept)


def _filled(owner: RuleState, entries: Mapping[str, Entry], snapshot: Snapshot) -> RuleState:
    for name, entry in entries.items():
        for key, value in owner.hyper.items():
            if entry.hyper.get(key, value) != value:
                raise CheckpointError(
                    f"parameter {name!r}: its {key} is {entry.hyper[key]!r}; this transformation was made with "
                    f"{value!r}, which a state cannot change"
                )
    trees = [_tree(tree, key, entries) for key, tree in owner.arrays.items()]
    count = np.asarray(min(_count(owner, entries, snapshot), MOST), np.int32)
    return type(owner)(_like(owner.count, count), *trees)


def _count(owner: RuleState, entries: Mapping[str, Entry], snapshot: Snapshot) -> int:
    """The one count of all parameters: t of the last step, which is the position of a schedule too."""
    steps = {entry.step for entry in entries.values()} if owner.rule.reads_time else set()
    scheduled = len(owner.hyper) < len(owner.rule.hyperparameters)
    if len(steps) > 1 or (scheduled and steps and steps != {snapshot.updates}):
        raise CheckpointError(
            f"its parameters have had {sorted(steps)} steps in {snapshot.updates} updates; a state "
            "of optax counts once for all of them"
        )
    return steps.pop() if steps else snapshot.updates


def _tree(tree: Any, key: str, entries: Mapping[str, Entry]) -> Any:
    fresh = [_like(leaf, entries[name].state[key]) for name, leaf in paths(tree).items()]
    return jax.tree.unflatten(jax.tree.structure(tree), fresh)


def _like(old: Any, new: np.ndarray) -> Any:
    """An array of the type and in the place of another."""
    if not isinstance(old, jax.Array):
        return new.astype(old.dtype)
    return jax.device_put(new.astype(old.dtype), old.sharding)
