"""Files that are whole or not there: written under another name, then renamed."""

import contextlib
import os
import tempfile
from pathlib import Path


def write(path: Path, content: bytes | str) -> None:
    """Put `content` (text as UTF-8) into `path`, making its folder: a reader sees the old file or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's own mode shuts out everybody else
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
