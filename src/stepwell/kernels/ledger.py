"""The book of the steps that rows have missed: kept at every step, settled row by row."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stepwell.kernels import advance, cache, pool, settle
from stepwell.kernels.cpu import ALONE
from stepwell.kernels.merge import Scratch, refuse
from stepwell.kernels.rest import Rest, rest
from stepwell.kernels.source import scalars_of_body
from stepwell.kernels.stages import Stages
from stepwell.rule import Rule

LONGEST = 1 << 18  # steps; then all rows are settled and a new book begins
PORTION = 1 << 20  # rows that are settled at a time when all are

_STALE = """\
def stale(indices, last, now, rows, slots, origin):
    for i in range(indices.shape[0]):
        if indices[i] < 0 or indices[i] >= last.shape[0]:
            return -1 - i
    count = 0
    for i in range(indices.shape[0]):
        row = indices[i]
        if last[row] != now:
            rows[count] = row
            slots[count] = last[row] - origin
            last[row] = now
            count += 1
    return count
"""


@dataclass(frozen=True)
class Books:
    """The kernels of one rule, stages and dtypes, and how many columns their books have."""

    rest: Rest
    advance: Callable[..., int]
    settle: Callable[..., None]

    @property
    def columns(self) -> tuple[int, int, int]:
        """The rows of `entries` and of `since`, and the columns of `history`."""
        scales = len(self.rest.closed.scales) if self.rest.closed else 0
        return advance.SCALES + scales, 2 + scales, len(scalars_of_body(self.rest.program))


@functools.cache
def books(rule: Rule, stages: Stages, lazy: bool, storage: tuple[str, ...]) -> Books:
    """The kernels, compiled."""
    resting = rest(rule, stages, lazy)
    title = f"{rule.name}, {stages}, {storage}, {'lazy' if lazy else 'exact'}"
    real = "float64" if "float64" in storage else "float32"
    return Books(
        resting,
        cache.compiled(advance.source(title, resting, real), "advance", advance.SIGNATURE),
        cache.compiled(settle.source(title, resting, storage), "settle", settle.SIGNATURE),
    )


class Ledger:
    """Which step each row has seen last, in four bytes a row, and what the steps since then come to.

    Args:
        books: the kernels.
        rows, width: of the table.
        step: how many steps the table has seen; all its rows are up to date.
    """

    def __init__(self, books: Books, rows: int, width: int, step: int):
        self.books, self.width = books, width
        self.last = np.zeros(rows, np.int32) if step == 0 else np.full(rows, step, np.int32)
        self._scratch = Scratch()
        self._begin(step)

    def _begin(self, step: int) -> None:
        self.origin, self.count, self.low = step, 0, 0
        entries, since, history = self.books.columns
        self.entries = np.zeros((entries, advance.BLOCK))
        self.since = _nothing(since, 1)
        self.history = np.zeros((advance.BLOCK, history))
        self.peak = np.zeros(1)

    @property
    def step(self) -> int:
        """How many steps the table has seen."""
        return self.origin + self.count

    @property
    def is_full(self) -> bool:
        """Whether all rows should be settled, and the book begun anew."""
        return self.count >= LONGEST

    def advance(self, clock: np.ndarray, groups: np.ndarray) -> None:
        """Write a step down, with t, the scalar state and the scalars as the kernels take them."""
        if self.count == self.entries.shape[1]:
            self.entries = np.concatenate([self.entries, np.zeros_like(self.entries)], axis=1)
            self.since = np.concatenate([self.since, _nothing(*self.since.shape)], axis=1)
            self.history = np.concatenate([self.history, np.zeros_like(self.history)])
        self.low = self.books.advance(
            self.entries, self.since, self.history, self.peak, self.low, self.count, clock, groups
        )
        self.count += 1

    def catch_up(self, table: np.ndarray, indices: np.ndarray, threads: int) -> int:
        """Bring these rows up to date, in place; how many were not.

        Raises:
            IndexError: an index that the table does not have; nothing has changed.
        """
        if not self.count:
            return self._none(indices)
        rows = self._scratch.room("rows", len(indices), "int64")
        slots = self._scratch.room("slots", len(indices), "int64")
        count = _stale(indices.dtype.name)(indices, self.last, self.step, rows, slots, self.origin)
        if count < 0:
            refuse(indices, -1 - count, len(self.last))
        self._settle(table, rows[:count], slots[:count], threads)
        return count

    def _none(self, indices: np.ndarray) -> int:
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self.last):
            bad = (indices < 0) | (indices >= len(self.last))
            refuse(indices, int(bad.argmax()), len(self.last))
        return 0

    def flush(self, table: np.ndarray, threads: int) -> int:
        """Bring all rows up to date; how many were not."""
        found = 0
        if self.count:
            for first in range(0, len(self.last), PORTION):
                rows = first + np.flatnonzero(self.last[first : first + PORTION] != self.step)
                self._settle(table, rows, self.last[rows].astype(np.int64) - self.origin, threads)
                self.last[rows] = self.step
                found += len(rows)
            self._begin(self.step)
        return found

    def _settle(self, table: np.ndarray, rows: np.ndarray, slots: np.ndarray, threads: int) -> None:
        work = functools.partial(
            self.books.settle, table, self.entries, self.since, self.history, rows, slots, self.width, self.count
        )
        if threads > 1 and rows.size * self.width > ALONE // 4:
            pool.run(work, rows.size, threads, grain=max(1, rows.size // (threads * 8)))
        else:
            work(0, rows.size)


def _nothing(rows: int, blocks: int) -> np.ndarray:
    """Blocks since whose freezing nothing has happened."""
    since = np.ones((rows, blocks))
    since[advance.FLAG] = advance.GOOD
    return since


@functools.cache
def _stale(dtype: str) -> Callable[..., int]:
    return cache.compiled(_STALE, "stale", f"int64({dtype}[::1], int32[::1], int64, int64[::1], int64[::1], int64)")
