"""The kernels for a GPU at the work that those for the CPU are tested with: interpreted, or on a real device."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from stepwell.kernels import gpu
from stepwell.kernels.source import ADDRESSES
from stepwell.rule import Rule
from tests.kernels.harness import SURROUND, Arrays, Work, age, group_of
from tests.kernels.interpreter import DEVICE

BLOCK = 64  # of the interpreter, whose time goes by the program
SIZES = (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5)
STORED = {"float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16}


def on_device(x: Any) -> torch.Tensor:
    """An array's copy where the kernels run."""
    return torch.tensor(np.asarray(x), device=DEVICE)


class Launched:
    """Tensors in one table, stepped by a kernel. `rows` has for each its arrays in the kernel's order (p, g, the state,
    the EMA, then the scalar state), `steps` how many steps it has behind it, `groups` the scalars of each group."""

    def __init__(
        self, kernel: gpu.Kernel, rows: Sequence[Sequence[torch.Tensor]], groups_of: Sequence[int],
        groups: Sequence[Sequence[float]], steps: Sequence[float],
    ):  # fmt: skip
        self.kernel, self.rows = kernel, rows
        self.steps = [on_device(np.float32(n)) for n in steps]
        self.lengths = [row[0].numel() for row in rows]
        table = np.pad(kernel.table(self.lengths, groups_of), ((0, 0), (0, 1)))  # a last column: the step
        for k, (row, step) in enumerate(zip(rows, self.steps, strict=True)):
            table[k, ADDRESSES:] = [x.data_ptr() for x in (*row, step)]
        self.table, self.which = on_device(table), on_device(kernel.which(self.lengths))
        self.groups = on_device(np.array(groups, np.float64).reshape(len(groups), -1))
        self.scalars = on_device(np.zeros((len(rows), kernel.scalars)))
        self.gradients = on_device(np.array([row[1].data_ptr() for row in rows], np.int64))
        self.factor, self.found = on_device(np.float64(1.0)), on_device(np.float32(0.0))

    def step(self) -> None:
        """One step of all."""
        self.kernel.tick(self.table, self.gradients, self.groups, self.factor, self.found, self.scalars, len(self.rows))
        self.kernel.run(self.table, self.gradients, self.which, self.scalars, self.found, len(self.which))


def by_gpu(work: Work, make: Any = gpu.kernel, rule: Rule | None = None, block: int = BLOCK) -> Iterator[list[Arrays]]:
    """The kernel for a GPU, all tensors in one table; `rule` stands in for the work's own."""
    work = replace(work, rule=rule or work.rule)
    arrays = gpu.program(work.rule, work.stages).arrays
    kernel = make(work.rule, work.stages, (work.dtype,) * len(arrays), block)
    tensors = [{name: on_device(x) for name, x in work.start(k).items()} for k in range(len(work.sizes))]
    for own in tensors:
        own["g"] = torch.zeros_like(own["p"])
    names = (*kernel.program.arrays, *kernel.program.scalar_state)
    launched = Launched(
        kernel, [[own[name] for name in names] for own in tensors], [group_of(k) for k in range(len(tensors))],
        [[work.hyper(k)[name] for name in kernel.program.scalars] for k in range(len(SURROUND))],
        [age(k) for k in range(len(tensors))],
    )  # fmt: skip
    for step in range(work.steps):
        for own, g in zip(tensors, work.gradients(step), strict=True):
            own["g"].copy_(on_device(g))
        launched.step()
        for own in tensors:
            assert not (work.stages.zero and own["g"].any())
        yield [{name: x.cpu().numpy().copy() for name, x in own.items() if name != "g"} for own in tensors]
