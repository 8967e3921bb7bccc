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
from stepwell.kernels.source import ADDRESSES, LENGTH, RESTING
from stepwell.rule import Rule

DTYPES = {getattr(torch, name): name for name in cpu.DTYPES} | {
    torch.complex64: "float32",
    torch.complex128: "float64",
}
GRADIENT = 1  # its position among a kernel's arrays
ADDRESS_OF: int | None = getattr(guards, "_torchinductor_pyobject_tensor_data_ptr", None)  # of a C function

SAME, MOVED, GONE = range(3)  # what locate finds
TURNS, MANY = 8, 256

_SOURCE = f'''\
from stepwell.kernels.memory import accessors, call_address

load_step, store_step = accessors("float32", 0, 2)
load_number, _ = accessors("float64", 1, 2)


def locate(address_of, tensors, table, turn, turns):
    """Read addresses anew, of parameters and gradients all, of state one in `turns`.

    {SAME} if they are what they were, {MOVED} if gradients have moved, {GONE} if another tensor has.
    """
    found = {SAME}
    for i in range(tensors.shape[0]):
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
        self.dtype, self.groups, self.stages = dtype, groups, stages
        names = cpu.program(rule, stages).arrays
        self.kernel = cpu.kernel(rule, stages, tuple(DTYPES[tensor.dtype] for tensor in rows[0][: len(names)]))
        self.lengths = np.array([p.numel() * (2 if p.is_complex() else 1) for p, *_ in rows], np.int64)
        table = self.kernel.table(self.lengths.tolist(), groups_of)
        self.table = np.ascontiguousarray(np.pad(table, ((0, 0), (0, 1))))  # a last column: the step
        self.table[:, ADDRESSES:] = [[t.data_ptr() for t in row] for row in rows]
        self.clock = self.kernel.clock(len(rows))
        self.ids = np.array([list(map(id, row)) for row in rows], np.int64)
        self.parameters = [row[0] for row in rows]
        self.gradients: list[Tensor | None] = []
        self.state = [row[GRADIENT + 1 :] for row in rows]
        self.averages = [row[names.index("ema")] for row in rows] if stages.ema else []
        self.written = self.parameters + self.averages
        self.anchors: list[Tensor] = []

    def anchor(self) -> None:
        """Keep the memory of all tensors from being given to others, while not every address is read at every step."""
        self.anchors = [t.detach() for p, state in zip(self.parameters, self.state, strict=True) for t in (p, *state)]

    def let_go(self) -> None:
        """Hold no gradient, and no memory that the user may want back."""
        self.gradients, self.anchors = [], []

    def locate(self, step: int | None = None) -> int:
        """Follow gradients that moved; GONE if a parameter or its state did, and the batch must be made anew.

        Given a step, and where there are many tensors, state is looked at in turns: it is the optimizer's own, and
        whoever replaces it does so through `optimizer.state`, which tells at once; assigning `.data` of a state tensor
        is noticed within TURNS steps.

        torch's own C function reads an address in nanoseconds; where a version has none, Python asks each tensor.
        """
        if ADDRESS_OF is None:
            return self.locate_slowly()
        locate = _compiled("locate", "int64(int64, int64[:, ::1], int64[:, ::1], int64, int64)")
        turns = 1 if step is None or len(self.ids) <= MANY else TURNS
        return locate(ADDRESS_OF, self.ids, self.table, (step or 0) % turns, turns)

    def locate_slowly(self) -> int:
        """`locate` with nothing but data_ptr()."""
        gradients = (p if g is None else g for p, g in zip(self.parameters, self.gradients, strict=True))
        rows = zip(self.parameters, gradients, self.state, strict=True)
        now = np.array([[t.data_ptr() for t in (p, g, *state)] for p, g, state in rows], np.int64)
        moved = now != self.table[:, ADDRESSES:]
        if np.delete(moved, GRADIENT, axis=1).any():
            return GONE
        self.table[:, ADDRESSES:] = now
        return MOVED if moved.any() else SAME

    def take_gradients(self, gradients: Sequence[Tensor | None]) -> None:
        """Let these be the gradients, in the order of the parameters; one that has none rests."""
        self.gradients = list(gradients)
        self.rests = [g is None for g in gradients]
        stand_ins = [p if g is None else g for p, g in zip(self.parameters, gradients, strict=True)]
        self.ids[:, GRADIENT] = list(map(id, stand_ins))
        self.table[:, LENGTH] = np.where(self.rests, RESTING, self.lengths)
        self.some_rest = any(self.rests)

    def resting(self) -> list[tuple[Tensor, Tensor]]:
        """Parameters without a gradient, and their averages."""
        if not self.some_rest:
            return []
        return [(p, e) for p, e, rests in zip(self.parameters, self.averages, self.rests, strict=True) if rests]

    def gradient_addresses(self) -> np.ndarray:
        """Where the gradients begin that have any element."""
        return self.table[self.table[:, LENGTH] > 0, ADDRESSES + GRADIENT]

    def sum_of_squares(self, threads: int) -> float:
        """Σg² over the batch."""
        return norm.sum_of_squares(self.table, GRADIENT, self.dtype, threads)

    def all_finite(self, threads: int) -> bool:
        """Whether no gradient has a NaN or an infinity."""
        return norm.all_finite(self.table, GRADIENT, self.dtype, threads)

    def run(self, threads: int) -> None:
        """One step of every parameter, in place."""
        torch._C._increment_version(self._changed())  # now, while the tensors that locate looked at are near
        _compiled("tick", "void(int64[:, ::1], float64[:, ::1])")(self.table, self.clock)
        self.kernel.run(self.table, self.clock, self.groups, threads)

    def _changed(self) -> list[Tensor]:
        if not (self.some_rest or self.stages.zero):
            return self.written
        rests = [*self.rests, *self.rests] if self.averages else self.rests
        changed = [t for t, rest in zip(self.written, rests, strict=True) if not rest]
        return changed + [g for g in self.gradients if g is not None] if self.stages.zero else changed


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
