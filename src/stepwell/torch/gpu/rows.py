"""The step of a parameter on a GPU whose gradient is sparse: a launch that merges, one that steps the rows."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepwell.kernels import Stages
from stepwell.kernels.gpu import program, rows
from stepwell.kernels.source import ADDRESSES
from stepwell.rule import Rule
from stepwell.torch.batch import DTYPES
from stepwell.torch.coo import coo
from stepwell.torch.eager import LooseRows
from stepwell.torch.gpu import device


class GpuRows(LooseRows):
    """A parameter with sparse gradients whose unnamed rows stay as they are, but for their average.

    What the host has to know of the rows (their norm, whether they exist) it waits for.
    """

    def __init__(self, p: Tensor, state: dict[str, Tensor], rule: Rule, stages: Stages, group: int):
        super().__init__(p, state, rule, stages, group, still=True)
        self.touched = replace(stages, ema=False, zero=False)
        self.program = program(rule, self.touched)
        self.arrays = [p if name == "p" else state[name] for name in self.program.arrays if name != "g"]
        self.numbers = [*(state[name] for name in self.program.scalar_state), state["step"]]
        storage = [DTYPES[x.dtype] for x in self.arrays]
        self.real = "float64" if "float64" in storage else "float32"
        self.kernel = rows.kernel(rule, self.touched, (storage[0], self.real, *storage[1:]))
        columns = ADDRESSES + 1 + len(self.arrays) + len(self.numbers)
        self.addresses = np.zeros((1, columns), np.int64)
        number = {"dtype": torch.float64, "device": p.device}
        self.table = torch.zeros(1, columns, dtype=torch.int64, device=p.device)
        self.scalars, self.groups = torch.zeros(1, self.kernel.scalars, **number), np.zeros(0)
        self.groups_there = torch.zeros(1, len(self.program.scalars), **number)
        self.nothing, self.one = torch.zeros(1, **number), torch.ones((), **number)

    @torch.no_grad()
    def run(self, scalars: dict[str, float]) -> None:
        """One step in place."""
        g = self.p.grad
        if g is None:
            return
        g = coo(g)
        if self.program.by_rows and g.sparse_dim() != 1:
            super().run(scalars)
            return
        torch._C._increment_version([self.p])
        self._send(scalars)
        with device.on(self.p.device):
            self._launch(g)
        if self.stages.ema:
            average = self.state["ema"]
            average.lerp_(self.p.detach().to(average.dtype), 1 - scalars["ema_decay"])
        if self.stages.zero:
            self.p.grad.zero_()  # pyright: ignore[reportOptionalMemberAccess]

    def _launch(self, g: Tensor) -> None:
        dims = g.sparse_dim()
        width = math.prod(self.p.shape[dims:]) * (2 if self.p.is_complex() else 1)
        values = g._values().contiguous().resolve_conj().resolve_neg()
        named, ends, order = positions(numbered(g))
        merged = torch.empty(len(named), width, dtype=getattr(torch, self.real), device=self.p.device)
        rows.merge(ends, order, plain(values), merged, len(named), width, (DTYPES[values.dtype], self.real))
        resting = self.nothing.view(torch.int64)
        self.kernel.tick(self.table, resting, self.groups_there, self.one, self.nothing, self.scalars, 1)
        self.kernel.run(self.table, named, ends, merged, self.scalars, len(named), width)

    def _send(self, scalars: dict[str, float]) -> None:
        p, *others = (x.data_ptr() for x in (*self.arrays, *self.numbers))
        addresses = np.zeros_like(self.addresses)
        addresses[0, ADDRESSES:] = [p, 0, *others]
        if not np.array_equal(addresses, self.addresses):
            self.addresses = addresses
            device.hand_over(self.table, addresses)
        groups = np.array([scalars[name] for name in self.program.scalars], np.float64)
        if not np.array_equal(groups, self.groups):
            self.groups = groups
            device.hand_over(self.groups_there, groups[None])


def positions(named: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of positions, sorted; where the positions of each row end; where its values stand. See kernels.gpu.rows.

    >>> positions(torch.tensor([7, 2, 7, 2, 0]))
    (tensor([0, 2, 2, 7, 7]), tensor([1, 3, 2, 5, 4]), tensor([4, 1, 3, 0, 2]))
    """
    rows, order = torch.sort(named, stable=True)
    here = torch.arange(len(rows), device=rows.device)
    first = torch.searchsorted(rows, rows) == here
    return rows, torch.where(first, torch.searchsorted(rows, rows, right=True), here), order


def numbered(g: Tensor) -> Tensor:
    """Which rows a gradient in COO form names, counted along the axes that it names."""
    places, lengths = g._indices(), g.shape[: g.sparse_dim()]
    strides = [math.prod(lengths[axis + 1 :]) for axis in range(len(lengths))]
    return sum((places[axis] * stride for axis, stride in enumerate(strides)), torch.zeros_like(places[0]))


def plain(values: Tensor) -> Tensor:
    """Numbers in a form that the kernel that merges takes: complex ones as pairs, bfloat16 as its bits."""
    values = torch.view_as_real(values) if values.is_complex() else values
    return values.view(torch.int16) if values.dtype is torch.bfloat16 else values


def fits(p: Tensor, rule: Rule, stages: Stages) -> bool:
    """Whether the kernels of rows can take this parameter."""
    by_rows = program(rule, stages).by_rows
    kind: Any = type(p)
    return (
        device.takes(p)
        and p.dtype in DTYPES
        and p.layout is torch.strided
        and p.is_contiguous()
        and not (p.is_conj() or p.is_neg())
        and kind in (Tensor, torch.nn.Parameter)
        and not (by_rows and (p.dim() != 2 or p.is_complex()))
    )
