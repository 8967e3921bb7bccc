"""Tensors that one kernel call updates: where they lie, their clocks, and the scalars of their groups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepwell.kernels import Stages, cpu, norm
from stepwell.kernels.source import ADDRESSES, LENGTH, RESTING
from stepwell.rule import Rule
from stepwell.torch import native
from stepwell.torch.native import GONE, GRADIENT, MOVED, SAME

DTYPES = {getattr(torch, name): name for name in cpu.DTYPES} | {
    torch.complex64: "float32",
    torch.complex128: "float64",
}
TURNS, MANY = 8, 256


class Batch:
    """Parameters of one rule, dtype and set of stages.

    Args:
        rule, stages, dtype, storage: what kernel; `dtype` of p and g as they lie in memory, real and imaginary parts
            apart, and how each array is kept.
        rows: for each parameter its tensors in the kernel's order (p, g, state, EMA, what lies beside them, scalar
            state) and its step.
        groups_of: for each parameter, the row of `groups` that it reads.
        groups: the scalars, a row a parameter group, to be filled in before `run`.
    """

    def __init__(
        self, rule: Rule, stages: Stages, dtype: str, storage: Sequence[str], rows: list[list[Tensor]],
        groups_of: list[int], groups: np.ndarray,
    ):  # fmt: skip
        self.dtype, self.groups, self.stages = dtype, groups, stages
        names = cpu.program(rule, stages).arrays
        self.kernel = self.kernel_of(rule, stages, tuple(storage))
        self.lengths = np.array([p.numel() * (2 if p.is_complex() else 1) for p, *_ in rows], np.int64)
        table = self.kernel.table(self.lengths.tolist(), groups_of)
        self.table = np.ascontiguousarray(np.pad(table, ((0, 0), (0, 1))))  # a last column: the step
        self.table[:, ADDRESSES:] = [[t.data_ptr() for t in row] for row in rows]
        self.clock = np.zeros((len(rows), 1 + len(self.kernel.program.scalar_state)))
        self.ids = np.array([list(map(id, row)) for row in rows], np.int64)
        self.parameters = [row[0] for row in rows]
        self.gradients: list[Tensor | None] = []
        self.state = [row[GRADIENT + 1 :] for row in rows]
        self.averages = [row[names.index("ema")] for row in rows] if stages.ema else []
        self.written = self.parameters + self.averages
        self.anchors: list[Tensor] = []

    def kernel_of(self, rule: Rule, stages: Stages, storage: tuple[str, ...]) -> Any:
        """The kernel for arrays stored so."""
        return cpu.kernel(rule, stages, storage)

    def set_scalars(self, row: int, values: Sequence[float | Tensor]) -> None:
        """Give a group its scalars, by its row of `groups`."""
        self.groups[row] = list(map(float, values))

    def anchor(self) -> None:
        """Keep the memory of all tensors from being given to others, while not every address is read at every step."""
        self.anchors = [t.detach() for p, state in zip(self.parameters, self.state, strict=True) for t in (p, *state)]

    def let_go(self) -> None:
        """Hold no gradient, and no memory that the user may want back."""
        self.gradients, self.anchors = [], []

    def locate(self, step: int | None = None, *, watch: bool = False) -> int:
        """Follow gradients that moved; GONE if a parameter or its state did, and the batch must be made anew. With
        `watch`, OTHER if a gradient is not the object that was taken.

        Given a step, and where there are many tensors, state is looked at in turns: it is the optimizer's own, and
        whoever replaces it does so through `optimizer.state`, which tells at once; assigning `.data` of a state tensor
        is noticed within TURNS steps. A gradient or parameter that is the same object at the same address is taken to
        have its old shape and strides: `p.grad.t_()` between two steps goes unseen while gradients are re-used.

        torch's own C function reads an address in nanoseconds; where a version has none, Python asks each tensor.
        """
        if native.ADDRESS_OF is None:
            return self.locate_slowly()
        turns = 1 if step is None or len(self.ids) <= MANY else TURNS
        return native.locate(self.ids, self.taken, self.table, (step or 0) % turns, turns, watch=watch)

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
        self.taken = np.array(list(map(id, self.gradients)), np.int64)
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
        native.tick(self.table, self.clock)
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
    return p.device.type == "cpu" and lies_plain(p, g)


def lies_plain(p: Tensor, g: Tensor) -> bool:
    """Whether a kernel can read this parameter and this gradient: dense, in one dtype and order."""
    return (
        p.dtype in DTYPES
        and g.dtype == p.dtype
        and g.layout == torch.strided == p.layout
        and same_layout(p, g)
        and (p.is_contiguous() or torch.empty_like(p).stride() == p.stride())
        and not (p.is_conj() or g.is_conj() or p.is_neg() or g.is_neg())
        and type(g) is Tensor
        and type(p) in (Tensor, torch.nn.Parameter)
    )
