"""A parameter whose gradients name some of its rows: what a step does to it, and which rows are behind."""

from collections.abc import Sequence

import numpy as np

from stepwell.kernels import cpu, huge, norm, rows
from stepwell.kernels.ledger import Ledger, books
from stepwell.kernels.merge import Merged, Scratch, merge
from stepwell.kernels.rest import rest
from stepwell.kernels.source import ADDRESSES, SIZES
from stepwell.kernels.stages import Stages
from stepwell.rule import Rule

MODES = ("lazy", "exact")


class Table:
    """Rows of numbers under a rule. Where they lie is told anew at each call: `addresses` has that of p, of each state
    array, of the EMA, then of each scalar state.

    Args:
        rule, stages: what a step does to a row that is touched.
        mode: "lazy": a row's state and parameter stay as they are while no gradient touches it; "exact": each step
            happens to each row, as with a dense gradient that is 0 elsewhere, if only when the row is next needed.
            Either way an average of the weights moves at each step.
        storage: the dtypes of p, of each state array, of the EMA.
        count, width: how many rows there are, of how many numbers.
    """

    def __init__(self, rule: Rule, stages: Stages, mode: str, storage: Sequence[str], count: int, width: int):
        self.kind = rule, stages, mode, tuple(storage), count, width
        self.count, self.width = count, width
        self.real = "float64" if "float64" in storage else "float32"
        self.program = cpu.program(rule, stages)
        self.storage = (storage[0], self.real, *storage[1:])
        self.kernel = rows.kernel(rule, stages, self.storage)
        self.books = (
            books(rule, stages, mode == "lazy", self.storage) if rest(rule, stages, mode == "lazy").moves else None
        )
        self.ledger: Ledger | None = None
        self.addresses: list[int] = []
        self._on_large_pages: list[int] = []
        self._scratch = Scratch()

    @property
    def is_behind(self) -> bool:
        """Whether there may be rows that have not yet seen every step."""
        return self.ledger is not None and self.ledger.count > 0

    def refuse_moved(self, addresses: list[int]) -> None:
        """Refuse arrays that took the place of those whose rows are behind."""
        if self.is_behind and addresses != self.addresses:
            raise RuntimeError(
                "a table or its state was replaced while some of its rows had not yet seen every step; "
                "call the optimizer's flush() before replacing it"
            )

    def merged(self, indices: np.ndarray, values: int, dtype: str, threads: int) -> Merged:
        """A gradient with each row once, good until the next; see `merge`."""
        return merge(indices, values, dtype, self.width, self.count, threads, self.real, self._scratch)

    def step(
        self, gradient: Merged, addresses: list[int], clock: np.ndarray, scalars: np.ndarray, threads: int
    ) -> None:  # fmt: skip
        """One step, in place.

        Args:
            clock: t, then the scalar state; one row of float64.
            scalars: the rule's hyperparameters and the stages' scalars; one row of float64.
        """
        table = self._table(addresses, gradient.gradients)
        self._prefer_large_pages(addresses)
        if self.books is not None:
            ledger = self._ledger(int(clock[0, 0]) - 1, addresses, threads)
            ledger.catch_up(table, gradient.rows, threads)
            ledger.advance(clock, scalars)
            ledger.last[gradient.rows] = ledger.step
        rows.run(self.kernel, table, clock, scalars, gradient.rows, self.width, threads)

    def _prefer_large_pages(self, addresses: list[int]) -> None:
        if addresses != self._on_large_pages:
            self._on_large_pages = addresses
            arrays = [name for name in self.program.arrays if name != "g"]
            for name, at, dtype in zip(arrays, addresses, self.kind[3], strict=False):
                width = 1 if name in self.program.row_state else self.width
                huge.prefer(at, self.count * width * SIZES[dtype])

    def _ledger(self, step: int, addresses: list[int], threads: int) -> Ledger:
        """The ledger of a table that has seen that many steps."""
        assert self.books is not None
        self.refuse_moved(addresses)
        if self.ledger is None or self.ledger.step != step or self.ledger.is_full:
            self.flush(addresses, threads)
            self.ledger = Ledger(self.books, self.count, self.width, step)
        self.addresses = addresses
        return self.ledger

    def catch_up(self, indices: np.ndarray, addresses: list[int], threads: int) -> int:
        """Let these rows see every step so far; how many had not."""
        self.refuse_moved(addresses)
        return 0 if self.ledger is None else self.ledger.catch_up(self._table(addresses), indices, threads)

    def flush(self, addresses: list[int], threads: int) -> int:
        """Let all rows see every step so far; how many had not."""
        self.refuse_moved(addresses)
        return 0 if self.ledger is None else self.ledger.flush(self._table(addresses), threads)

    def _table(self, addresses: list[int], gradients: np.ndarray | None = None) -> np.ndarray:
        at = 0 if gradients is None else gradients.__array_interface__["data"][0]
        table = np.zeros((1, ADDRESSES + 1 + len(addresses)), np.int64)
        table[0, ADDRESSES:] = [addresses[0], at, *addresses[1:]]
        return table


def sum_of_squares(gradient: Merged, threads: int) -> float:
    """Σg² of a merged gradient."""
    return norm.sum_of_squares(_flat(gradient), 0, gradient.gradients.dtype.name, threads)


def all_finite(gradient: Merged, threads: int) -> bool:
    """Whether a merged gradient has no NaN or infinity."""
    return norm.all_finite(_flat(gradient), 0, gradient.gradients.dtype.name, threads)


def _flat(gradient: Merged) -> np.ndarray:
    table = cpu.layout([gradient.gradients.size], [0], ADDRESSES + 1)
    table[0, ADDRESSES] = gradient.gradients.__array_interface__["data"][0]
    return table
