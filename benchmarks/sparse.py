"""Sparse gradients: 16384 Zipf(1.2) indices a step into a table of 2 million rows of 64."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

import stepwell.torch as ours
from _measure import Row, milliseconds
from stepwell.kernels import huge

ROWS, WIDTH, INDICES, EXPONENT = 2_000_000, 64, 16384, 1.2
PEERS = {
    "Adagrad": (ours.Adagrad, torch.optim.Adagrad, 40.0, 4),  # the floor, and how often a step passes over a row
    "SparseAdam": (ours.SparseAdam, torch.optim.SparseAdam, 20.0, 6),
}
SETTLED = 300  # steps before exact mode is measured: rows then have gaps of every length
TABLES, NARROW = (1_000_000, 10_000_000, 40_000_000), 16  # 40 million rows of 64 and their state would take 20 GB
Side = Callable[[np.ndarray, torch.Tensor], Callable[[], object]]


def main(quick: bool = False) -> list[Row]:
    """torch's Adagrad and SparseAdam, the bare traffic of memory, larger tables, and the price of exactness.

    On one thread: steps of a millisecond on two shared processors measure the neighbours.
    """
    rounds, threads = 20 if quick else 60, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _all(quick, rounds)
    finally:
        torch.set_num_threads(threads)


def _all(quick: bool, rounds: int) -> list[Row]:
    peers = [row for name in PEERS for row in _peer(name, rounds)]
    return [*peers, *_growth(TABLES[:2] if quick else TABLES, rounds), _exact(rounds, 50 if quick else SETTLED)]


def _peer(name: str, rounds: int) -> list[Row]:
    make, peer, floor, passes = PEERS[name]
    stream = Stream(ROWS)
    target = table(ROWS).detach()
    huge.prefer(target.data_ptr(), target.nbytes)  # as our tables
    sides = {
        "ours": stepping(make([table(ROWS)])),
        "peer": stepping(peer([table(ROWS)])),
        "add": lambda ranks, values: adding(target, scattered(ranks, ROWS), values),
    }
    times = timed(sides, stream, rounds)
    touched = len(np.unique(stream.next()[0]))
    speed = 4 * WIDTH * (INDICES + passes * touched) / times["ours"]
    bare = 4 * WIDTH * (INDICES + 2 * touched) / times["add"]
    share = f"{speed / 1e9:.0f} of {bare / 1e9:.0f} GB/s; index_add_ alone {milliseconds(times['add'])}"
    against = f"{milliseconds(times['ours'])} against {milliseconds(times['peer'])}"
    return [
        Row(name=f"{name}, sparse", ratio=times["peer"] / times["ours"], peer=f"torch.optim.{name}", limit=None,
            floor=floor, detail=f"{against}; {touched} rows touched"),
        Row(name=f"{name}, sparse: of a bare gather, add and scatter", ratio=None, peer="index_add_",
            limit=speed / bare, floor=0.6, detail=share),
    ]  # fmt: skip


def _growth(sizes: Sequence[int], rounds: int) -> list[Row]:
    """The same rows, scattered over larger tables."""
    sides = {str(rows): stepping(ours.Adagrad([table(rows, NARROW)])) for rows in sizes}
    seconds = timed(sides, Stream(sizes[0], NARROW), rounds)
    times = {rows: seconds[str(rows)] for rows in sizes}
    return [
        Row(name=f"Adagrad, {rows // 10**6}M rows of {NARROW}", ratio=times[sizes[0]] / times[rows],
            peer=f"{sizes[0] // 10**6}M rows", limit=None, floor=1 / 1.2, detail=milliseconds(times[rows]))
        for rows in sizes[1:]
    ]  # fmt: skip


def _exact(rounds: int, settled: int) -> Row:
    """Rows brought up to date and stepped, against rows that are stepped alone."""
    stream = Stream(ROWS)
    lazy, exact = (ours.Adam([table(ROWS)], sparse=mode) for mode in ("lazy", "exact"))
    sides = {"lazy": stepping(lazy), "exact": stepping(exact)}
    timed(sides, stream, settled)
    times = timed(sides, stream, rounds)
    return Row(
        name="Adam, exact", ratio=times["lazy"] / times["exact"], peer="Adam, lazy", limit=None, floor=0.5,
        detail=f"{milliseconds(times['exact'])} against {milliseconds(times['lazy'])}, after {settled} steps",
    )  # fmt: skip


class Stream:
    """Batches: ranks by a Zipf law up to a largest one, and gradients."""

    def __init__(self, ranks: int, width: int = WIDTH):
        self.rng, self.ranks = np.random.default_rng(0), ranks
        self.values = [torch.randn(INDICES, width, generator=torch.Generator().manual_seed(k)) for k in range(4)]
        self.step = 0

    def next(self) -> tuple[np.ndarray, torch.Tensor]:
        """Ranks and values."""
        drawn = np.zeros(0, np.int64)
        while len(drawn) < INDICES:
            more = self.rng.zipf(EXPONENT, 2 * INDICES)
            drawn = np.concatenate([drawn, more[more <= self.ranks]])
        self.step += 1
        return drawn[:INDICES], self.values[self.step % 4]


def scattered(ranks: np.ndarray, rows: int) -> torch.Tensor:
    """Where they lie: all over the table, as a hash would put them."""
    return torch.from_numpy(ranks * 2_654_435_761 % rows)


def adding(target: torch.Tensor, indices: torch.Tensor, values: torch.Tensor) -> Callable[[], object]:
    """The bare traffic: rows gathered, gradients added, rows scattered back."""
    return lambda: target.index_add_(0, indices, values)


def table(rows: int, width: int = WIDTH) -> torch.nn.Parameter:
    """A table whose memory is there."""
    return torch.nn.Parameter(torch.full((rows, width), 0.01))


def stepping(optimizer: torch.optim.Optimizer) -> Side:
    """A step of an optimizer of one table."""
    (p,) = optimizer.param_groups[0]["params"]

    def side(ranks: np.ndarray, values: torch.Tensor) -> Callable[[], object]:
        p.grad = torch.sparse_coo_tensor(scattered(ranks, len(p))[None], values, p.shape, check_invariants=False)
        return optimizer.step

    return side


def timed(sides: Mapping[str, Side], stream: Stream, rounds: int) -> dict[str, float]:
    """Median seconds of each side: the same batches, in turn, with gradients that have just been written, as a backward
    pass leaves them. Writing them is not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for k in range(rounds + 3):
        ranks, values = stream.next()
        for name, side in sides.items():
            work = side(ranks, values.clone())
            start = time.perf_counter()
            work()
            if k >= 3:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in seconds.items()}
