"""Tensors that one kernel call updates: where they lie, their clocks, and the scalars of their groups."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C._dynamo import guards

from stepwell.kernels import Stages, cpu, norm
from stepwell.kernels.cache import OPTIONS, compiled
from stepwell.kernels.source import ADDRESSES
from stepwell.rule import Rule

DTYPES = {getattr(torch, name): name for name in cpu.DTYPES} | {
    torch.complex64: "float32",
    torch.complex128: "float64",
}
GRADIENT = 1  # its position among a kernel's arrays
ADDRESS_OF: int | None = getattr(guards, "_torchinductor_pyobject_tensor_data_ptr", None)  # of a C function

_SOURCE = f'''\
from stepwell.kernels.memory import accessors, call_address

load_step, store_step = accessors("float32", 0, 2)
load_number, _ = accessors("float64", 1, 2)


def locate(address_of, tensors, table):
    """Read every tensor's address anew; False if one other than a gradient's has moved."""
    for i in range(tensors.shape[0]):
        for k in range(tensors.shape[1]):
            address = call_address(address_of, tensors[i, k])
            if address != table[i, {ADDRESSES} + k]:
                if k != {GRADIENT}:
                    return False
                table[i, {ADDRESSES} + k] = address
    return True


def tick(table, clock):
    """Count a step: add 1 to every tensor's step, and copy it and the scalar state to the clock."""
    step = table.shape[1] - 1
    numbers = clock.shape[1] - 1
    for i in range(table.shape[0]):
        t = load_step(table[i, step], 0) + 1
        store_step(table[i, step], 0, t)
        clock[i, 0] = t
        for k in range(numbers):
            clock[i, 1 + k] = load_number(table[i, step - numbers + k], 0)
'''


@cache
def _compiled(name: str, signature: str) -> Callable[..., Any]:
    return compiled(_SOURCE, name, signature, OPTIONS | {"nogil": False})  # they read Python objects


class Batch:
    """Parameters of one rule, dtype and set of stages.

    Args:
        rule, stages, dtype: what kernel; `dtype` as the arrays lie in memory, real and imaginary parts apart.
        rows: for each parameter its tensors in the kernel's order (p, g, state, EMA, scalar state) and its step.
        groups_of: for each parameter, the row of `groups` that it reads.
        groups: the scalars, a row a parameter group, to be filled in before `run`.
    """

    def __init__(
        self, rule: Rule, stages: Stages, dtype: str, rows: list[list[Tensor]], groups_of: list[int], groups: np.ndarray
    ):
        self.dtype, self.groups = dtype, groups
        self.kernel = cpu.kernel(rule, stages, (dtype,) * len(cpu.program(rule, stages).arrays))
        lengths = [p.numel() * (2 if p.is_complex() else 1) for p, *_ in rows]
        table = self.kernel.table(lengths, groups_of)
        self.table = np.ascontiguousarray(np.pad(table, ((0, 0), (0, 1))))  # a last column: the step
        self.table[:, ADDRESSES:] = [[t.data_ptr() for t in row] for row in rows]
        self.clock = self.kernel.clock(len(rows))
        self.ids = np.array([list(map(id, row)) for row in rows], np.int64)
        self.parameters = [row[0] for row in rows]
        self.gradients = [row[GRADIENT] for row in rows]
        self.state = [row[GRADIENT + 1 :] for row in rows]
        names = self.kernel.program.arrays
        self.written = [row[k] for row in rows for k, name in enumerate(names) if name in ("p", "ema")]
        self.zeroes = stages.zero
        self.anchors = [p.detach() for p in self.parameters]  # while they live, no other memory has these addresses

    def locate(self) -> bool:
        """Follow gradients that moved; False if a parameter or its state did, and the batch must be made anew.

        torch's own C function reads an address in nanoseconds; where a version has none, Python asks each tensor.
        """
        if ADDRESS_OF is None:
            return self.locate_slowly()
        return _compiled("locate", "boolean(int64, int64[:, ::1], int64[:, ::1])")(ADDRESS_OF, self.ids, self.table)

    def locate_slowly(self) -> bool:
        """`locate` with nothing but data_ptr()."""
        rows = zip(self.parameters, self.gradients, self.state, strict=True)
        now = np.array([[t.data_ptr() for t in (p, g, *state)] for p, g, state in rows], np.int64)
        moved = now != self.table[:, ADDRESSES:]
        moved[:, GRADIENT] = False
        self.table[:, ADDRESSES + GRADIENT] = now[:, GRADIENT]
        return not moved.any()

    def take_gradients(self, gradients: Sequence[Tensor]) -> None:
        """Let these be the gradients, in the order of the parameters."""
        self.gradients = list(gradients)
        self.ids[:, GRADIENT] = list(map(id, gradients))

    def sum_of_squares(self, threads: int) -> float:
        """Σg² over the batch."""
        return norm.sum_of_squares(self.table, GRADIENT, self.dtype, threads)

    def all_finite(self, threads: int) -> bool:
        """Whether no gradient has a NaN or an infinity."""
        return norm.all_finite(self.table, GRADIENT, self.dtype, threads)

    def run(self, threads: int) -> None:
        """One step of every parameter, in place."""
        _compiled("tick", "void(int64[:, ::1], float64[:, ::1])")(self.table, self.clock)
        self.kernel.run(self.table, self.clock, self.groups, threads)
        torch._C._increment_version(self.written + self.gradients if self.zeroes else self.written)


def same_layout(a: Tensor, b: Tensor) -> bool:
    """Whether equal positions in memory are equal elements."""
    return (a.is_contiguous() and b.is_contiguous()) or a.stride() == b.stride()


def fits(p: Tensor, g: Tensor) -> bool:
    """Whether a kernel can take this parameter with this gradient: on the CPU, dense, in one dtype and order."""
    return (
        p.dtype in DTYPES
        and p.device.type == "cpu"
        and g.dtype == p.dtype
        and g.layout == torch.strided == p.layout
        and same_layout(p, g)
        and (p.is_contiguous() or torch.empty_like(p).stride() == p.stride())
        and not (p.is_conj() or g.is_conj() or p.is_neg() or g.is_neg())
        and type(g) is Tensor
        and type(p) in (Tensor, torch.nn.Parameter)
    )
