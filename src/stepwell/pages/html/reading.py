"""Result files: which there are at a path, of which kind they are, and what is wrong with those that cannot be read."""

import functools
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stepwell.pages.html.blocks import Section
from stepwell.pages.html.shape import Misshapen, check


class Unreadable(ValueError):
    """A file is not there, or holds nothing that a report can show; the message says why, without the file's name."""


@dataclass(frozen=True)
class Kind:
    """A kind of result.

    Attributes:
        schema, version: as its files have them. file: its file's name in a folder of results. word: what it is called.
        shape: what its files hold (see `stepwell.pages.html.shape`).
        sections: what a report says about such a file, whose content has that shape.
    """

    schema: str
    version: int
    file: str
    word: str
    shape: Mapping[str, Any]
    sections: Callable[[Path], Sequence[Section]]


@functools.cache
def known() -> dict[str, Kind]:
    """The kinds of results by their schema: the `KIND` of every module of `stepwell.pages.html.kinds`."""
    from stepwell.pages.html import kinds as room

    modules = (importlib.import_module(f"{room.__name__}.{each.name}") for each in pkgutil.iter_modules(room.__path__))
    found = [module.KIND for module in modules]
    return {kind.schema: kind for kind in found}


def files(path: Path) -> list[Path]:
    """The result files that are meant: the file itself, or those of a folder. Errors: `Unreadable` if there is none."""
    if not path.exists():
        raise Unreadable("there is no such file or folder")
    if not path.is_dir():
        return [path]
    names = [kind.file for kind in known().values()]
    if found := [path / name for name in names if (path / name).is_file()]:
        return found
    raise Unreadable(f"the folder has no {', '.join(names[:-1])} or {names[-1]}")


def read(path: Path) -> list[Section]:
    """What a report says about a file. Errors: `Unreadable`, in words."""
    content = _content(path)
    kind = _kind_of(content)
    try:
        check(content, kind.shape)
        return [replace(section, source=str(path)) for section in kind.sections(path)]
    except Misshapen as error:
        raise Unreadable(f"the file is damaged: {error}") from error
    except (ArithmeticError, LookupError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise Unreadable(f"the file is damaged: its parts do not fit together ({why})") from error


def _content(path: Path) -> Any:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Unreadable(f"the file cannot be opened: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Unreadable("the file is no text, so it is no result of the lab") from error
    if not text.strip():
        raise Unreadable("the file is empty")
    try:
        return json.loads(text, parse_constant=_refuse)
    except (json.JSONDecodeError, RecursionError) as error:
        if isinstance(error, RecursionError) or not text.lstrip().startswith("{"):
            raise Unreadable("the file is no JSON, so it is no result of the lab") from error
        cut = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated")
        state = "it ends in the middle, as if it had been cut off" if cut else error.msg
        raise Unreadable(f"the file is damaged: {state} (line {error.lineno}, column {error.colno})") from error


def _refuse(constant: str) -> Any:
    raise Unreadable(f"the file is damaged: it has {constant}, for which JSON has no word")


def _kind_of(content: Any) -> Kind:
    schema = content.get("schema") if isinstance(content, dict) else None
    names = ", ".join(known())
    if not isinstance(schema, str):
        raise Unreadable(f"the file is no result of the lab: it names no schema. Known are: {names}")
    if schema not in known():
        raise Unreadable(f"the file is no result of the lab: its schema is {schema!r}. Known are: {names}")
    kind, version = known()[schema], content.get("version")
    if version != kind.version:
        older = isinstance(version, int) and version < kind.version
        cure = "make it anew" if older else "a newer Stepwell reads it"
        by = f", by Stepwell {content['stepwell']}" if isinstance(content.get("stepwell"), str) else ""
        raise Unreadable(
            f"the file has version {version!r} of {schema}{by}, and this Stepwell reads version {kind.version}; {cure}"
        )
    return kind


def every(paths: Sequence[Path]) -> Iterator[tuple[Path, list[Section] | Unreadable]]:
    """Each file once, with its sections or with what is wrong with it."""
    seen: set[Path] = set()
    for path in paths:
        try:
            found = files(path)
        except Unreadable as error:
            yield path, error
            continue
        for file in found:
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            try:
                yield file, read(file)
            except Unreadable as error:
                yield file, error
