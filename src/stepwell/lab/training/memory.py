"""Memory that is left alone while many small steps are made.

A stacked step makes and frees arrays of megabytes. glibc's malloc maps each of them anew, or trims its heap when they
are freed, and then every page is cleared by the kernel once more; and Python's collector looks again and again through
all the objects of torch, none of which is garbage. Together that is up to a third of a step's time.
"""

import contextlib
import ctypes
import functools
import gc
import threading
from collections.abc import Iterator
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's <malloc.h>
KEEP = 1 << 30  # bytes
USUAL = 32 << 20  # bytes: as far as glibc itself raises its thresholds
_inside = [0]
_lock = threading.Lock()


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Inside, freed memory stays with the process, and the collector does not look at what is older than the block.

    After the outermost block the memory goes back to the system.
    """
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(change: int) -> None:
    with _lock:
        _inside[0] += change
        if _inside[0] == 1 and change > 0:
            _begin()
        elif not _inside[0]:
            _end()


def _begin() -> None:
    gc.freeze()
    if malloc := _malloc():
        malloc.mallopt(MMAP_THRESHOLD, KEEP)
        malloc.mallopt(TRIM_THRESHOLD, KEEP)


def _end() -> None:
    gc.unfreeze()
    if malloc := _malloc():
        malloc.mallopt(MMAP_THRESHOLD, USUAL)
        malloc.mallopt(TRIM_THRESHOLD, USUAL)
        malloc.malloc_trim(0)


@functools.cache
def _malloc() -> Any:
    """glibc, or None where there is another library."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.malloc_trim.argtypes = [ctypes.c_size_t]
        return library if library.gnu_get_libc_version else None
    return None
