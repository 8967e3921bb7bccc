"""Whether a file's content has the form that it should have, and if not, where and how it has another."""

import json
import types
import typing
from dataclasses import dataclass, fields
from typing import Any

NAMES = {
    str: "text",
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}
LONG = 40  # characters of a wrong value that are shown


@dataclass(frozen=True)
class Maybe:
    """That, or null."""

    shape: Any


class Misshapen(ValueError):
    """Some content has not the form that it should have."""


def check(content: Any, shape: Any, where: str = "") -> None:
    """Compare content with a shape.

    A shape is a type (float: any number), `[shape]`: a list of such, `{"name": shape, …}`: an object with these names
    and perhaps others, `{str: shape}`: an object of such, `Maybe(shape)`: that or null, `Any`: whatever.

    Errors: `Misshapen`, which names the place.

    >>> check({"runs": [{"loss": 0.5}, {"loss": "low"}]}, {"runs": [{"loss": Maybe(float)}]})
    Traceback (most recent call last):
    stepwell.pages.html.shape.Misshapen: runs[1].loss must be a number or null; it is "low"
    """
    if shape is Any:
        return
    if isinstance(shape, Maybe):
        if content is not None:
            check(content, shape.shape, where) if _fits(content, _kind(shape.shape)) else _refuse(content, shape, where)
        return
    if not _fits(content, _kind(shape)):
        _refuse(content, shape, where)
    if isinstance(shape, list):
        for k, each in enumerate(content):
            check(each, shape[0], f"{where}[{k}]")
    elif isinstance(shape, dict) and str in shape:
        for name, each in content.items():
            check(each, shape[str], _below(where, name))
    elif isinstance(shape, dict):
        for name, each in shape.items():
            if name not in content:
                raise Misshapen(f"{_below(where, name)} is missing")
            check(content[name], each, _below(where, name))


def of(record: type, **other: Any) -> dict[str, Any]:
    """The shape of a dataclass as JSON; `other` for what is written in another form than it is held.

    >>> from stepwell.lab.statistics import Basin
    >>> of(Basin)["low_open"]
    <class 'bool'>
    """
    hints = typing.get_type_hints(record)
    return {field.name: other.get(field.name, _shape(hints[field.name])) for field in fields(record)} | other


def _shape(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        (rest,) = (each for each in typing.get_args(hint) if each is not type(None))
        return Maybe(_shape(rest))
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (list, tuple):
        return [_shape(inside[0])]
    return {str: _shape(inside[1])} if origin is dict else hint


def _kind(shape: Any) -> type:
    return shape if isinstance(shape, type) else type(shape)


def _fits(content: Any, kind: type) -> bool:
    if isinstance(content, bool):
        return kind is bool
    return isinstance(content, (int, float) if kind is float else kind)


def _refuse(content: Any, shape: Any, where: str) -> typing.NoReturn:
    inner = shape.shape if isinstance(shape, Maybe) else shape
    wanted = NAMES[_kind(inner)] + (" or null" if isinstance(shape, Maybe) else "")
    shown = json.dumps(content, ensure_ascii=False)
    shown = shown if len(shown) <= LONG else shown[:LONG] + "…"
    raise Misshapen(f"{where or 'all of it'} must be {wanted}; it is {shown}")


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
