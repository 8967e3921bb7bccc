"""Containers that tell when they change."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from stepwell.torch import watched
from stepwell.torch.watched import Parameters, ParameterState, State

CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "entry set": (lambda: ParameterState(a=1), lambda d: d.__setitem__("a", 2)),
    "entry deleted": (lambda: ParameterState(a=1), lambda d: d.__delitem__("a")),
    "entries updated": (lambda: ParameterState(a=1), lambda d: d.update(a=2)),
    "entries joined": (lambda: ParameterState(a=1), lambda d: d.__ior__({"a": 2})),
    "entry popped": (lambda: ParameterState(a=1), lambda d: d.pop("a")),
    "any popped": (lambda: ParameterState(a=1), lambda d: d.popitem()),
    "default set": (lambda: ParameterState(a=1), lambda d: d.setdefault("b", 2)),
    "cleared": (lambda: ParameterState(a=1), lambda d: d.clear()),
    "parameter set": (lambda: State(), lambda s: s.__setitem__("p", {})),
    "parameters updated": (lambda: State(), lambda s: s.update({"p": {}})),
    "parameters joined": (lambda: State(), lambda s: s.__ior__({"p": {}})),
    "parameter's default": (lambda: State(), lambda s: s.setdefault("p", {})),
    "parameters cleared": (lambda: State({"p": {}}), lambda s: s.clear()),
    "list item set": (lambda: Parameters([1, 2]), lambda x: x.__setitem__(0, 3)),
    "list extended": (lambda: Parameters([1, 2]), lambda x: x.extend([3])),
    "list appended": (lambda: Parameters([1, 2]), lambda x: x.append(3)),
    "list added in place": (lambda: Parameters([1, 2]), lambda x: x.__iadd__([3])),
    "list reversed": (lambda: Parameters([1, 2]), lambda x: x.reverse()),
    "list item removed": (lambda: Parameters([1, 2]), lambda x: x.remove(1)),
}


@pytest.mark.parametrize("case", CHANGES)
def test_every_way_to_change_one_counts(case: str) -> None:
    make, change = CHANGES[case]
    container = make()
    kept, before = copy.copy(list(container.items() if isinstance(container, dict) else container)), watched.changes
    change(container)
    assert list(container.items() if isinstance(container, dict) else container) != kept
    assert watched.changes > before


def test_no_way_to_change_one_is_forgotten() -> None:
    """Every public method of dict and list that is not known to only read must be among those that count."""
    reading = {
        "copy", "count", "fromkeys", "get", "index", "items", "keys", "values",
        "__add__", "__class_getitem__", "__contains__", "__getitem__", "__iter__", "__len__", "__mul__", "__or__",
        "__reversed__", "__rmul__", "__ror__", "__missing__", "__copy__",
    }  # fmt: skip
    for cls, base in ((Parameters, list), (ParameterState, dict), (State, dict)):
        names = {n for n in vars(base) if not hasattr(object, n)} - reading - {"__hash__"}
        assert all(getattr(cls, n) is not getattr(base, n) for n in names), names


def test_reading_does_not_count() -> None:
    state = State({"p": {"a": 1}})
    before = watched.changes
    assert state["p"]["a"] == 1
    assert state.get("q") is None
    assert dict(state) == {"p": {"a": 1}}
    assert watched.changes == before


@pytest.mark.parametrize(
    "put",
    [
        lambda s: s.__setitem__("p", {"a": 1}),
        lambda s: s.update({"p": {"a": 1}}),
        lambda s: s.setdefault("p", {"a": 1}),
        lambda s: s.__ior__({"p": {"a": 1}}),
        lambda s: s["p"].update(a=1),
    ],
    ids=["set", "update", "setdefault", "join", "made on demand"],
)
def test_plain_dictionaries_put_into_a_state_are_watched_too(put: Callable[[State], Any]) -> None:
    state = State()
    put(state)
    assert type(state["p"]) is ParameterState
    before = watched.changes
    state["p"]["a"] = 2
    assert watched.changes > before
    assert state == {"p": {"a": 2}}


def test_an_entry_put_in_is_the_one_that_is_held() -> None:
    state, entry = State(), ParameterState(a=1)
    state["p"] = entry
    assert state["p"] is entry


@pytest.mark.parametrize("way", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_copies_are_watched_and_alone(way: Any) -> None:
    state = State({"p": {"a": [1]}})
    other = way(state)
    assert other == state
    assert type(other) is State
    assert type(other["p"]) is ParameterState
    other["p"]["a"].append(2)
    assert state == {"p": {"a": [1]}}
