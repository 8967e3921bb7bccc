"""What a step asks of every tensor, asked in machine code: torch's and CPython's own C functions, called in a loop.

Python takes a tenth of a microsecond to look at one attribute of one tensor; with thousands of small tensors that is
most of a step. Where a version of torch or Python does not offer these functions, the same is asked in Python.
"""

import ctypes
import platform
import sysconfig
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch._C._dynamo import guards

from stepwell.kernels.cache import OPTIONS, compiled
from stepwell.kernels.source import ADDRESSES, LENGTH

GRADIENT = 1  # its position among a kernel's arrays
SAME, MOVED, GONE, OTHER = range(4)  # what locate finds

_SOURCE = f'''\
from stepwell.kernels.memory import accessors, call_address, call_getter

load_step, store_step = accessors("float32", 0, 2)
load_number, _ = accessors("float64", 1, 2)


def locate(address_of, gradient_of, release, forget_error, tensors, gradients, table, turn, turns):
    """Read addresses anew, of parameters and gradients all, of state one in `turns`.

    {SAME} if they are what they were, {MOVED} if gradients have moved, {GONE} if another tensor has, {OTHER} if a
    gradient is another object than in `gradients`; that is not looked at where `gradient_of` is 0.
    """
    found = {SAME}
    for i in range(tensors.shape[0]):
        if gradient_of:
            gradient = call_getter(gradient_of, tensors[i, 0])
            if gradient == 0:  # an error, which Python will meet again when it asks
                call_address(forget_error, 0)
                return {OTHER}
            call_address(release, gradient)
            if gradient != gradients[i]:
                return {OTHER}
        columns = tensors.shape[1] if i % turns == turn else {GRADIENT} + 1
        for k in range(columns):
            address = call_address(address_of, tensors[i, k])
            if address != table[i, {ADDRESSES} + k]:
                if k != {GRADIENT}:
                    return {GONE}
                table[i, {ADDRESSES} + k] = address
                found = {MOVED}
    return found


def tick(table, clock):
    """Count a step of every tensor that does not rest: add 1 to it, and copy it and the scalar state to the clock."""
    step = table.shape[1] - 1
    numbers = clock.shape[1] - 1
    for i in range(table.shape[0]):
        if table[i, {LENGTH}] >= 0:
            t = load_step(table[i, step], 0) + 1
            store_step(table[i, step], 0, t)
            clock[i, 0] = t
            for k in range(numbers):
                clock[i, 1 + k] = load_number(table[i, step - numbers + k], 0)
'''


@cache
def _compiled(name: str, signature: str) -> Callable[..., Any]:
    return compiled(_SOURCE, name, signature, OPTIONS | {"nogil": False})  # they read Python objects


def locate(*args: Any, watch: bool) -> int:
    """`locate` above, from `tensors` on; where `watch` is not set, gradients are not asked for."""
    words = "int64(int64, int64, int64, int64, int64[:, ::1], int64[::1], int64[:, ::1], int64, int64)"
    return _compiled("locate", words)(ADDRESS_OF, GRADIENT_OF if watch else 0, RELEASE, FORGET_ERROR, *args)


def tick(table: Any, clock: Any) -> None:
    """`tick` above."""
    _compiled("tick", "void(int64[:, ::1], float64[:, ::1])")(table, clock)


def _getter(cls: type, name: str) -> int:
    """The C function behind an attribute that is written in C, `PyObject *get(PyObject *, void *)`; 0 if none is found.

    A getset_descriptor of CPython is its object's head, the class, two names, and the address of a record that begins
    with the name in C and the function.
    """
    descriptor: Any = vars(cls).get(name)
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    if platform.python_implementation() != "CPython" or free_threaded or ctypes.sizeof(ctypes.c_void_p) != 8:
        return 0
    if type(descriptor).__name__ != "getset_descriptor":
        return 0
    words = (ctypes.c_void_p * 6).from_address(id(descriptor))
    if words[1] != id(type(descriptor)) or words[2] != id(cls) or words[3] != id(descriptor.__name__):
        return 0
    record = (ctypes.c_void_p * 5).from_address(words[5] or 0)
    return (record[1] or 0) if ctypes.string_at(record[0] or 0) == name.encode() else 0


ADDRESS_OF: int | None = getattr(guards, "_torchinductor_pyobject_tensor_data_ptr", None)  # of a C function
GRADIENT_OF = _getter(torch._C.TensorBase, "grad")
RELEASE, FORGET_ERROR = (
    ctypes.cast(function, ctypes.c_void_p).value or 0
    for function in (ctypes.pythonapi.Py_DecRef, ctypes.pythonapi.PyErr_Clear)
)


def watches() -> bool:
    """Whether `locate` can tell one gradient from another."""
    return ADDRESS_OF is not None and GRADIENT_OF != 0
