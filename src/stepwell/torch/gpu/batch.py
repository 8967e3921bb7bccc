"""Tensors on a GPU that one launch updates."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepwell.kernels import Stages, gpu
from stepwell.kernels.gpu import norm
from stepwell.kernels.source import ADDRESSES, RESTING
from stepwell.rule import Rule
from stepwell.torch.batch import Batch
from stepwell.torch.gpu import device
from stepwell.torch.native import GRADIENT


class GpuBatch(Batch):
    """Parameters of one rule, dtype, set of stages and device; their steps are counted there too.

    `factor` and `found`, where they are set, lie on the device: what `grad_scale` is multiplied by, and a number that
    is other than 0 where there shall be no step.
    """

    def __init__(
        self, rule: Rule, stages: Stages, dtype: str, storage: Sequence[str], rows: list[list[Tensor]],
        groups_of: list[int], groups: np.ndarray,
    ):  # fmt: skip
        super().__init__(rule, stages, dtype, storage, rows, groups_of, groups)
        self.device = rows[0][0].device
        self.where = device.filled(self.device, self.table)  # with every length, also of those that will rest
        which = self.kernel.which(self.lengths.tolist())
        self.which, self.blocks = torch.from_numpy(which).to(self.device), len(which)
        self.scalars = torch.zeros(len(rows), self.kernel.scalars, dtype=torch.float64, device=self.device)
        self.sums = torch.zeros(self.blocks, dtype=torch.float64, device=self.device)
        self.one = torch.ones((), dtype=torch.float64, device=self.device)
        self.never = torch.zeros(1, device=self.device)  # of the dtype of a GradScaler's, or it were another kernel
        self.factor: Tensor | None = None
        self.found: Tensor | None = None
        self.live: dict[tuple[int, int], Tensor] = {}  # scalars that the device has itself
        self.sent: dict[str, tuple[np.ndarray, Tensor]] = {}

    def kernel_of(self, rule: Rule, stages: Stages, storage: tuple[str, ...]) -> Any:
        """The kernel for a GPU."""
        return gpu.kernel(rule, stages, storage)

    def set_scalars(self, row: int, values: Sequence[float | Tensor]) -> None:
        """Give a group its scalars; what lies on the device is read there at each step."""
        self.groups[row] = [0.0 if isinstance(x, Tensor) else x for x in values]
        self.live = {place: x for place, x in self.live.items() if place[0] != row}
        self.live |= {(row, k): x for k, x in enumerate(values) if isinstance(x, Tensor)}

    def run(self, threads: int) -> None:
        """One step of every parameter, in place; the host waits for nothing."""
        torch._C._increment_version(self._changed())
        gradients, groups = self._gradients(), self._groups()
        found = self.never if self.found is None else self.found
        factor = self.one if self.factor is None else self.factor
        with device.on(self.device):
            self.kernel.tick(self.where, gradients, groups, factor, found, self.scalars, len(self.parameters))
            self.kernel.run(self.where, gradients, self.which, self.scalars, found, self.blocks)

    def total(self, term: str) -> Tensor:
        """The sum of one of norm.TERMS over the gradients, a float64 number on the device."""
        gradients, sums = self._gradients(), norm.block_sums(self.dtype, term)
        with device.on(self.device):
            if self.blocks:
                sums[(self.blocks,)](
                    self.where, gradients, self.which, self.sums, COLUMNS=self.table.shape[1], BLOCK=self.kernel.block,
                    num_warps=gpu.WARPS, **gpu.OPTIONS,
                )  # fmt: skip
            return self.sums.sum()

    def sum_of_squares(self, threads: int) -> float:
        """Σg² over the batch; the host waits for it."""
        return float(self.total("squares"))

    def all_finite(self, threads: int) -> bool:
        """Whether no gradient has a NaN or an infinity; the host waits for it."""
        return float(self.total("finite")) == 0.0

    def _gradients(self) -> Tensor:
        addresses = self.table[:, ADDRESSES + GRADIENT].copy()
        addresses[self.rests] = RESTING
        return self._on_device("gradients", addresses)

    def _groups(self) -> Tensor:
        groups = self._on_device("groups", self.groups)
        for place, x in self.live.items():
            groups[place].copy_(x)
        return groups

    def _on_device(self, name: str, array: np.ndarray) -> Tensor:
        """These numbers on the device: those sent before if they are the same. A graph keeps its own."""
        captured = device.capturing()
        if name in self.sent and not captured and np.array_equal(self.sent[name][0], array):
            return self.sent[name][1]
        made = device.filled(self.device, array)
        if not captured:
            self.sent[name] = array.copy(), made
        return made
