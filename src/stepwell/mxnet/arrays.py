"""NDArrays in the machine's own memory: where they lie, and when they may be read and written.

MXNet runs operations behind the program's back. An array is read here when all that writes it is done, and written when
all that reads or writes it is.
"""

# pyright: reportMissingImports=false

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mxnet.base import _LIB, check_call
from mxnet.ndarray import NDArray

from stepwell.host import memory
from stepwell.host.engine import Slot
from stepwell.host.sparse import Sparse
from stepwell.mxnet.state import State

DTYPES = ("float16", "float32", "float64")
HERE = ("cpu", "cpu_pinned", "cpu_shared")


@dataclass(frozen=True)
class Held:
    """An NDArray, kept alive, where its numbers lie, and those as a writable array."""

    array: NDArray
    at: int
    numbers: np.ndarray


NOTHING = ctypes.cast(ctypes.pythonapi.Py_GetVersion, ctypes.c_void_p)  # for MXNet's threads, which hold no lock
CPU = (ctypes.c_int32 * 2)(1, 0)


def claim(array: Any) -> None:
    """Queue up to write an array: it may be written when it may next be read.

    MXNet's own wait sends for another thread and waits for that, array by array; several that queue up wait once.
    It also counts as a write for those that keep what they once made of the array (a layout of the weights that suits
    their kernels): they make it anew.
    """
    if isinstance(array, NDArray):
        handles = (ctypes.c_void_p * 1)(array.handle)
        check_call(_LIB.MXEnginePushSyncND(NOTHING, None, None, ctypes.byref(CPU), None, 0, handles, 1, None, 0, None))


def wait_to_write(arrays: Iterable[NDArray]) -> None:
    """Wait for every operation that reads or writes these arrays."""
    for array in (waited := list(arrays)):
        claim(array)
    for array in waited:
        array.wait_to_read()


def held(name: str, array: Any, old: Held | None) -> Held:
    """A parameter that was claimed, ready to be written; with the `old` view of it, if it lies where it did.

    Raises:
        TypeError, ValueError: it is no NDArray, of another dtype, on another device, or has rows that are not stored.
    """
    dtype, shape = _form(name, array)
    array.wait_to_read()
    if array.stype != "default" and array.indices.shape[0] != array.shape[0]:
        raise ValueError(
            f"{name} has {array.shape[0]} rows and stores {array.indices.shape[0]}; all must be there to be trained"
        )
    at = _address(array)
    if old is not None and (old.at, old.numbers.shape, old.numbers.dtype) == (at, shape, dtype):
        return Held(array, at, old.numbers)
    return Held(array, at, memory.view(at, shape, dtype))


def gradient(name: str, array: Any, p: np.ndarray, wide: bool) -> np.ndarray | Sparse:
    """A gradient, ready to be read.

    Args:
        wide: whether it is of float16 and its parameter's numbers are a copy in float32; then it is one too.

    Raises:
        TypeError, ValueError: it is none of the parameter `p`.
    """
    dtype, shape = _form(name, array)
    array.wait_to_read()
    if shape != p.shape or (np.float32 if wide else dtype) != p.dtype:
        raise ValueError(f"{name} must be {p.dtype} of shape {p.shape}; got {dtype} of shape {shape}")
    if array.stype == "default":
        dense = memory.view(_address(array), shape, dtype)
        return dense.astype(np.float32) if wide else dense
    indices = array.indices.asnumpy()
    stored = (len(indices), *shape[1:])
    values = memory.view(_address(array), stored, dtype) if len(indices) else np.empty(stored, dtype)
    return Sparse(indices, values.astype(np.float32) if wide else values)


@dataclass(frozen=True)
class Known:
    """A parameter, a dense gradient and a state that were looked at before, and what the engine was told of them."""

    weight: NDArray
    grad: NDArray
    state: State
    slot: Slot

    def again(self, weight: Any, grad: Any, state: Any) -> Slot | None:
        """The same, if these are the same NDArrays and lie where they did, the weight claimed; ready for a step."""
        if weight is not self.weight or grad is not self.grad or state is not self.state:
            return None
        weight.wait_to_read()
        grad.wait_to_read()
        there = _address(weight) == memory.address(self.slot.p) and _address(grad) == memory.address(self.slot.g)
        return self.slot if there else None


def _form(name: str, array: Any) -> tuple[str, tuple[int, ...]]:
    """The dtype and shape of an array of which an optimizer can make use."""
    if not isinstance(array, NDArray) or array.stype not in ("default", "row_sparse"):
        kind = array.stype if isinstance(array, NDArray) else type(array).__name__
        raise TypeError(f"{name} must be an NDArray, dense or row_sparse; got {kind}")
    if array.context.device_type not in HERE:
        raise ValueError(f"{name} must lie in the CPU's memory; it is on {array.context}")
    dtype = np.dtype(array.dtype).name
    if dtype not in DTYPES:
        raise TypeError(f"{name} must be {', '.join(DTYPES)}; got {dtype}")
    return dtype, tuple(array.shape)


def _address(array: NDArray) -> int:
    pointer = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return pointer.value or 0
