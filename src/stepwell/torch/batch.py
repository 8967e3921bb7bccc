"""Tensors that one kernel call updates: where they lie, their clocks, and the scalars of their groups."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

import torch
from stepwell.kernels import Stages, cpu, norm
from stepwell.kernels.cache import OPTIONS, compiled
from stepwell.kernels.source import ADDRESSES
from stepwell.rule import Rule
from torch import Tensor

DTYPES = {getattr(torch, name): name for name in cpu.DTYPES} | {
    torch.complex64: "float32",
    torch.complex128: "float64",
}
GRADIENT = 1  # its position among a kernel's arrays

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
def _locate() -> Callable[[np.ndarray, Sequence[Sequence[Tensor]], np.ndarray], bool]:
    """torch's own C function reads an address in nanoseconds; where a version has none, Python asks each tensor."""
    from torch._C._dynamo import guards

    address_of = getattr(guards, "_torchinductor_pyobject_tensor_data_ptr", None)
    if isinstance(address_of, int):
        fast = compiled(_SOURCE, "locate", "boolean(int64, int64[:, ::1], int64[:, ::1])", _HOLDING)
        return lambda tensors, rows, table: fast(address_of, tensors, table)
    return lambda tensors, rows, table: locate_slowly(rows, table)


def locate_slowly(rows: Sequence[Sequence[Tensor]], table: np.ndarray) -> bool:
    """What the compiled `locate` does, with nothing but data_ptr()."""
    now = np.array([[t.data_ptr() for t in row] for row in rows], np.int64)
    moved = now != table[:, ADDRESSES:]
    moved[:, GRADIENT] = False
    if moved.any():
        return False
    table[:, ADDRESSES:] = now
    return True


@cache
def _tick() -> Callable[[np.ndarray, np.ndarray], None]:
    return compiled(_SOURCE, "tick", "void(int64[:, ::1], float64[:, ::1])", _HOLDING)


_HOLDING = OPTIONS | {"nogil": False}  # they read Python objects


@dataclass
class Batch:
    """Parameters of one rule, dtype and set of stages.

    `rows` has, for each parameter, its tensors in the kernel's order (p, g, state, EMA, scalar state) and its step;
    they are held here, so an address cannot be given to another tensor unnoticed.
    """

    rule: Rule
    stages: Stages
    dtype: str
    rows: list[list[Tensor]]
    groups_of: list[int]  # the row of `groups` that each parameter reads
    groups: np.ndarray
    kernel: cpu.Kernel = field(init=False)
    anchors: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        arrays = len(cpu.program(self.rule, self.stages).arrays)
        self.kernel = cpu.kernel(self.rule, self.stages, (self.dtype,) * arrays)
        numbers = [p.numel() * (2 if p.is_complex() else 1) for p, *_ in self.rows]
        table = self.kernel.table(numbers, self.groups_of)
        self.table = np.ascontiguousarray(np.pad(table, ((0, 0), (0, 1))))  # a last column: the step
        self.table[:, ADDRESSES:] = [[t.data_ptr() for t in row] for row in self.rows]
        self.clock = self.kernel.clock(len(self.rows))
        self.ids = np.array([list(map(id, row)) for row in self.rows], np.int64)
        self.anchors = [row[0].detach() for row in self.rows]
        self.parameters = [row[0] for row in self.rows]

    def locate(self) -> bool:
        """Follow gradients that moved; False if a parameter or its state did, and the batch must be made anew."""
        return _locate()(self.ids, self.rows, self.table)

    def take_gradients(self, gradients: Sequence[Tensor]) -> None:
        """Let these be the gradients, in the order of the parameters."""
        for row, g in zip(self.rows, gradients, strict=True):
            row[GRADIENT] = g
        self.ids[:, GRADIENT] = list(map(id, gradients))

    def sum_of_squares(self, threads: int) -> float:
        """Σg² over the batch."""
        return norm.sum_of_squares(self.table, GRADIENT, self.dtype, threads)

    def all_finite(self, threads: int) -> bool:
        """Whether no gradient has a NaN or an infinity."""
        return norm.all_finite(self.table, GRADIENT, self.dtype, threads)

    def run(self, threads: int) -> None:
        """One step of every parameter, in place."""
        _tick()(self.table, self.clock)
        self.kernel.run(self.table, self.clock, self.groups, threads)
        torch._C._increment_version(self.parameters)


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


def scalars(values: Any) -> np.ndarray:
    """Rows of scalars as a kernel reads them."""
    return np.ascontiguousarray(values, np.float64)
