"""Compiled kernels on disk, one file each, named by the hash of all that shaped it.

A file is a checksum and what Numba needs to load the machine code. It is written whole under another name and then
renamed, so readers and racing writers see all of it or nothing; one that is damaged is compiled anew and replaced.
Where nothing can be written, kernels are compiled in memory, and that is said once.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stepwell import files

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "arcp"}}


def folder() -> Path:
    """Where compiled kernels lie: STEPWELL_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("STEPWELL_CACHE"):
        return Path(chosen)
    if platform.system() == "Windows":
        return Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir())) / "stepwell" / "cache"
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "stepwell"
    except RuntimeError:  # no home folder is known
        return _private(Path(tempfile.gettempdir()) / f"stepwell-{os.getuid()}")


def _private(path: Path) -> Path:
    """A folder that nobody else can have put code into; where it is not ours, one that nothing can be kept in."""
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700, exist_ok=True)
        if path.lstat().st_uid == os.getuid() and not path.is_symlink() and not path.stat().st_mode & 0o022:
            return path
    return Path(os.devnull) / "stepwell"


def compiled(source: str, name: str, signature: str, options: dict[str, Any] | None = None) -> Callable[..., Any]:
    """The function `name` of `source`, compiled for `signature`; from the cache where it is there."""
    from numba import njit

    options = OPTIONS if options is None else options
    scope: dict[str, Any] = {"__name__": __name__}  # Numba looks the module up again when it loads the code
    exec(compile(source, f"<stepwell {name}>", "exec"), scope)
    dispatcher = njit(**options)(scope[name])
    path = folder() / f"{_digest(source, name, signature, options)}.kernel"
    if (payload := _read(path)) is None or not _revive(dispatcher, payload):
        dispatcher.compile(signature)
        _write(path, _payload(dispatcher))
    dispatcher.disable_compile()
    return dispatcher


def _digest(source: str, name: str, signature: str, options: dict[str, Any]) -> str:
    ordered = sorted((key, sorted(v) if isinstance(v, set) else v) for key, v in options.items())
    return hashlib.sha256(repr((source, name, signature, ordered, _machine())).encode()).hexdigest()[:32]


@functools.cache
def _machine() -> tuple[str, ...]:
    """What shapes machine code beside the source: versions, processor, the code that emits loads and stores."""
    import llvmlite
    import llvmlite.binding as llvm
    import numba
    from numba.core import config

    chosen = {name: getattr(config, name, None) for name in ("CPU_NAME", "CPU_FEATURES", "OPT", "DEBUGINFO_DEFAULT")}
    processor = (llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    emitter = "".join(
        Path(__file__).with_name(f"{name}.py").read_text() for name in ("memory", "narrow", "dither", "codes")
    )
    return platform.python_version(), numba.__version__, llvmlite.__version__, *processor, repr(chosen), emitter


def _payload(dispatcher: Any) -> bytes:
    from numba.core.serialize import dumps

    (result,) = dispatcher.overloads.values()
    return dumps(result._reduce())


def _revive(dispatcher: Any, payload: bytes) -> bool:
    from numba.core.compiler import CompileResult
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.runtime import rtsys

    try:
        with global_compiler_lock:
            context = dispatcher.targetctx
            rtsys.initialize(context)  # machine code may name symbols of Numba's run time
            result = CompileResult._rebuild(context, *pickle.loads(payload))
            context.insert_user_function(result.entry_point, result.fndesc, [result.library])
            dispatcher.add_overload(result)
    except Exception:  # whatever a file of another make holds, compiling anew is right
        return False
    return True


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, payload = content[:32], content[32:]
    return payload if _checksum(path, payload) == checksum else None


def _checksum(path: Path, payload: bytes) -> bytes:
    """Of the name, too: a file that was copied onto another's place is not taken for it."""
    return hashlib.sha256(path.name.encode() + payload).digest()


def _write(path: Path, payload: bytes) -> None:
    try:
        files.write(path, _checksum(path, payload) + payload)
    except OSError as error:
        _say_once(path.parent, error)


_said: set[Path] = set()


def _say_once(where: Path, error: OSError) -> None:
    if where in _said:  # not by the words of the error, which name a new temporary file each time
        return
    _said.add(where)
    warnings.warn(
        f"stepwell cannot keep compiled kernels in {where} ({error}); each process will compile them again. "
        "STEPWELL_CACHE chooses another folder.",
        RuntimeWarning,
        stacklevel=2,
    )
