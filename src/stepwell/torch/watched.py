"""Containers that tell when they change, so that a prepared step notices what was replaced by hand."""

from collections import defaultdict
from typing import Any

_MUTATORS = (
    "__delitem__", "__iadd__", "__imul__", "__ior__", "__setitem__", "append", "clear", "extend", "insert", "pop",
    "popitem", "remove", "reverse", "setdefault", "sort", "update",
)  # fmt: skip
changes = 0  # of any watched container; a prepared step remembers the count it was made at


def _watch(cls: type) -> type:
    def telling(name: str) -> Any:
        inherited = getattr(cls, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            global changes
            changes += 1
            return inherited(self, *args, **kwargs)

        return method

    for name in _MUTATORS:
        if hasattr(cls, name):
            setattr(cls, name, telling(name))
    return cls


@_watch
class Parameters(list[Any]):
    """The parameters of a group."""


@_watch
class ParameterState(dict[str, Any]):
    """The state of one parameter."""


@_watch
class State(defaultdict[Any, ParameterState]):
    """The state of all parameters, keyed by parameter."""

    def __init__(self, entries: Any = ()):
        super().__init__(ParameterState, {key: _adopted(value) for key, value in dict(entries).items()})

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, _adopted(value))

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def setdefault(self, key: Any, default: Any = None) -> Any:
        return super().setdefault(key, _adopted(default))

    def update(self, *args: Any, **kwargs: Any) -> None:
        super().update({key: _adopted(value) for key, value in dict(*args, **kwargs).items()})

    def __reduce__(self) -> Any:
        return State, (dict(self),)


def _adopted(value: Any) -> Any:
    return ParameterState(value) if isinstance(value, dict) and not isinstance(value, ParameterState) else value
