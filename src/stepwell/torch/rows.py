"""The step of one parameter whose gradient is sparse, through the kernel of rows; and its rows that are behind."""

import numpy as np
import torch
from torch import Tensor

from stepwell.kernels import Stages, cpu, table
from stepwell.kernels.merge import Merged
from stepwell.rule import Rule
from stepwell.torch.batch import DTYPES
from stepwell.torch.coo import by_whole_rows, coo, rows_of


class Rows:
    """A parameter with sparse gradients, its state, and the group that it reads.

    A gradient in COO form names its first `sparse_dim` axes; a row is what lies along the others.
    """

    def __init__(
        self, p: Tensor, state: dict[str, Tensor], rule: Rule, stages: Stages, group: int, mode: str, zero: bool
    ):  # fmt: skip
        self.p, self.state, self.group, self.zero = p, state, group, zero
        program = cpu.program(rule, stages)
        self.arrays = [p if name == "p" else state[name] for name in program.arrays if name != "g"]
        self.numbers = [state[name] for name in program.scalar_state]
        self.forms = [_form(x) for x in self.arrays]
        self.kind = rule, stages, mode
        self.gradient: Merged | None = None
        self.storage = [DTYPES[x.dtype] for x in self.arrays]
        self.table: table.Table | None = None
        self.next: table.Table | None = None  # what the merged gradient is for: another, if it names other axes

    def continue_from(self, before: "Rows | None") -> None:
        """Take over the table of an earlier plan, or settle it where it was made for something else."""
        if before is None or before.table is None:
            return
        size = before.table.count * before.table.width
        if (before.kind, before.storage, size) == (self.kind, self.storage, self._numbers_of(self.p)):
            self.table = before.table
            self.refuse_moved()
        else:
            before.flush()

    def is_as_made(self) -> bool:
        """Whether the arrays have the shapes and the order in memory that they had; `.data` may have been replaced."""
        return all(_form(x) == form for x, form in zip(self.arrays, self.forms, strict=True))

    def addresses(self) -> list[int]:
        """Where the arrays lie, in the order in which a table wants them."""
        return [x.data_ptr() for x in (*self.arrays, *self.numbers)]

    def refuse_moved(self) -> None:
        """Refuse a table or state that was replaced while rows were behind."""
        if self.table is not None:
            self.table.refuse_moved(self.addresses())

    def merge(self, threads: int) -> None:
        """Read the gradient: check it, and add up what it says of the same row. Nothing is written.

        Raises:
            IndexError, ValueError: a row that the table does not have; values of another width.
            RuntimeError: the table was replaced while rows were behind.
        """
        g = self.p.grad
        if g is None:
            self.gradient = None
            return
        rule, stages, mode = self.kind
        g = coo(g)
        g = by_whole_rows(g) if cpu.program(rule, stages).by_rows and g.sparse_dim() != 1 else g
        values, dims = g._values().contiguous().resolve_conj().resolve_neg(), g.sparse_dim()
        count, factor = int(np.prod(self.p.shape[:dims], dtype=np.int64)), 2 if self.p.is_complex() else 1
        width = factor * int(np.prod(self.p.shape[dims:], dtype=np.int64))
        self.refuse_moved()
        self.next = self.table
        if self.next is None or (self.next.count, self.next.width) != (count, width):
            self.next = table.Table(rule, stages, mode, self.storage, count, width)
        self.gradient = self.next.merged(rows_of(g), values.data_ptr(), DTYPES[values.dtype], threads)

    def run(self, scalars: list[float], threads: int) -> None:
        """One step, in place, of the gradient that was merged."""
        if self.gradient is None:
            return
        assert self.next is not None
        if self.next is not self.table:
            self.flush()
        self.table = self.next
        torch._C._increment_version([self.p, *self._average()])
        t = float(self.state["step"]) + 1
        clock = np.array([[t, *map(float, self.numbers)]])
        self.table.step(self.gradient, self.addresses(), clock, np.array([scalars], np.float64), threads)
        self.state["step"].fill_(t)
        self.gradient = None
        if self.zero and self.p.grad is not None:
            self.p.grad.zero_()

    def catch_up(self, indices: np.ndarray, threads: int) -> None:
        """Let these rows see every step so far.

        The tensor's version stays: no graph has read the rows that are written, for it would have caught them up.
        """
        if self.table is not None:
            self.table.catch_up(indices, self.addresses(), threads)

    def flush(self) -> None:
        """Let all rows see every step so far."""
        if self.table is None or not self.table.is_behind:
            return
        if self.table.flush(self.addresses(), torch.get_num_threads()):
            torch._C._increment_version([self.p, *self._average()])

    def resting(self) -> list[tuple[Tensor, Tensor]]:
        """The parameter and its average, if it has no gradient."""
        if self.p.grad is not None or not self._average():
            return []
        self.flush()
        return [(self.p, self.state["ema"])]

    def sum_of_squares(self, threads: int) -> float:
        """Σg² of the merged rows."""
        return 0.0 if self.gradient is None else table.sum_of_squares(self.gradient, threads)

    def is_finite(self, threads: int) -> bool:
        """Whether no merged row has a NaN or an infinity."""
        return self.gradient is None or table.all_finite(self.gradient, threads)

    def _average(self) -> list[Tensor]:
        return [self.state["ema"]] if self.kind[1].ema else []

    @staticmethod
    def _numbers_of(p: Tensor) -> int:
        return p.numel() * (2 if p.is_complex() else 1)


def _form(x: Tensor) -> tuple[torch.dtype, torch.Size, tuple[int, ...]]:
    return x.dtype, x.shape, x.stride()


def fits(p: Tensor, rule: Rule, stages: Stages) -> bool:
    """Whether the kernel of rows can take this parameter."""
    program = cpu.program(rule, stages)
    return (
        p.dtype in DTYPES
        and p.device.type == "cpu"
        and p.layout is torch.strided
        and p.is_contiguous()
        and not (p.is_conj() or p.is_neg())
        and type(p) in (Tensor, torch.nn.Parameter)
        and not (program.by_rows and (p.dim() != 2 or p.is_complex()))
        and cpu.usable()
    )
