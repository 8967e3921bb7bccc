"""Large tables on large pages of memory, where Linux has them.

Rows lie far apart, so with pages of 4 KiB nearly each row costs a walk through the page tables beside its own lines. On
pages of 2 MiB those walks all but vanish. The addresses stay what they are.
"""

import contextlib
import ctypes
import platform
from functools import cache
from typing import Any

PAGE = 1 << 21
WORTH = 1 << 25  # bytes; smaller arrays have few enough pages
_HUGEPAGE, _COLLAPSE = 14, 25  # MADV_HUGEPAGE: may be; MADV_COLLAPSE (Linux 6.1): now


@cache
def _madvise() -> Any:
    if platform.system() != "Linux":
        return None
    with contextlib.suppress(OSError, AttributeError):
        function = ctypes.CDLL(None).madvise
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        return function
    return None


def prefer(address: int, size: int) -> None:
    """Ask that `size` bytes at an address be put on large pages; where that cannot be, nothing happens."""
    first, last = -(-address // PAGE) * PAGE, (address + size) // PAGE * PAGE
    if size >= WORTH and last > first and (madvise := _madvise()) is not None:
        madvise(first, last - first, _HUGEPAGE)
        madvise(first, last - first, _COLLAPSE)
