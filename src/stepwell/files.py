"""Files that are whole or not there: written under another name, then renamed."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write(path: Path, content: bytes | str) -> None:
    """Put `content` (text as UTF-8) into `path`, making its folder: a reader sees the old file or all of the new."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """An empty file, by path, that takes the place of `path` when the block ends, and never does if it fails.

    It lies in the same folder; the block may write into it, or put another file in its place.
    With `durable`, also a crash of the machine leaves the old file or all of the new: the content is on the disk before
    it has the name, and the name when the block has ended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    os.close(handle)
    try:
        yield Path(name)
        if durable:
            _sync(name, os.O_RDWR)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp's own mode shuts out everybody else
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    if durable:
        with contextlib.suppress(OSError):  # some systems and file systems open no folders
            _sync(path.parent, os.O_RDONLY)


def _sync(path: str | Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
