"""Printed Triton source as functions.

Triton reads a kernel's source from its file, so there is one: in the folder where compiled kernels are kept, named by
the hash of its text, written whole or not at all.
"""

import functools
import hashlib
import importlib.util
import linecache
from pathlib import Path
from typing import Any

from stepwell import files
from stepwell.kernels import cache


@functools.cache
def usable() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def functions(source: str) -> dict[str, Any]:
    """What a printed source defines.

    What runs is the text given, whatever its file holds. Where none can be written, Python keeps the text in memory.
    """
    path = cache.folder() / f"{hashlib.sha256(source.encode()).hexdigest()[:32]}.py"
    if not _is_kept(path, source):
        try:
            files.write(path, source)
        except OSError as error:
            cache._say_once(path.parent, error)
            linecache.cache[str(path)] = len(source), None, source.splitlines(keepends=True), str(path)
    scope: dict[str, Any] = {"__name__": f"stepwell_{path.stem}", "__file__": str(path)}
    exec(compile(source, str(path), "exec"), scope)
    return scope


def _is_kept(path: Path, source: str) -> bool:
    try:
        return path.read_text() == source
    except (OSError, UnicodeDecodeError):
        return False
