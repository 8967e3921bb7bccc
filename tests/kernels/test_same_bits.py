"""A step has the same bits on any number of threads, from several threads at once, and after a fork."""

import hashlib
import multiprocessing
import os
import queue
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from stepwell.kernels import cpu, norm, pool
from stepwell.kernels.source import ADDRESSES
from tests.kernels.harness import EVERY_STAGE, Work, by_kernel

LARGE = (100_003, 5, 0, 250_007, 16384, 1)
PATIENCE = 60
RULES = [rules.adam, rules.nadam, rules.yogi, rules.rmsprop_centered_momentum]


def bits(given=rules.adam, dtype: str = "float32", threads: int = 1) -> str:
    """A digest of all arrays after each of three steps."""
    digest = hashlib.sha256()
    for tensors in by_kernel(Work(given, EVERY_STAGE, dtype, LARGE, steps=3), threads):
        for own in tensors:
            for name in sorted(own):
                digest.update(name.encode() + own[name].tobytes())
    return digest.hexdigest()


@pytest.fixture(autouse=True)
def threads_for_these_sizes(monkeypatch) -> None:
    """Whatever size pays on this machine, the work here is large and (ALONE,) is small."""
    monkeypatch.setattr(cpu, "ALONE", 1 << 17)
    assert sum(LARGE) > cpu.ALONE


@pytest.fixture
def pieces(monkeypatch) -> list[str]:
    """The threads that did pieces of kernels, one entry a piece."""
    names: list[str] = []
    whole = pool.run

    def watched(work: Any, count: int, threads: int, grain: int) -> None:
        def piece(low: int, high: int) -> None:
            names.append(threading.current_thread().name)
            work(low, high)

        whole(piece, count, threads, grain)

    monkeypatch.setattr(pool, "run", watched)
    return names


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", RULES, ids=lambda r: r.name)
def test_on_one_two_and_three_threads(given, dtype, pieces):
    alone = bits(given, dtype)
    assert pieces == []
    for threads in (2, 3):
        pieces.clear()
        assert bits(given, dtype, threads) == alone
        assert len(pieces) > 3 * threads


def test_the_pools_own_threads_take_part(pieces):
    for _ in range(20):  # a helper may find nothing left on a busy machine
        bits(threads=2)
        if "stepwell" in pieces:
            break
    assert "stepwell" in pieces


def test_small_work_stays_on_the_calling_thread(pieces):
    *_, _ = by_kernel(Work(rules.adam, sizes=(cpu.ALONE,), steps=1), threads=3)
    assert pieces == []


def test_from_two_threads_at_once():
    alone, found = bits(), {}

    def run(k: int) -> None:
        found[k] = [bits(threads=3) for _ in range(4)]

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == {0: [alone] * 4, 1: [alone] * 4}


needs_fork = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs a safe fork")


def in_child(work: Callable[..., None], *args: Any) -> Any:
    """What `work` puts into the queue that a forked child gives it; a child that hangs is a failure."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=work, args=(results, *args), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parent has threads: Python 3.12 says so, and JAX where it is loaded
        child.start()
    child.join(PATIENCE)
    alive = child.is_alive()
    child.kill()
    assert not alive, "the child hangs"
    assert child.exitcode == 0
    return results.get()


def train(results: Any) -> None:
    results.put((bits(threads=3), len(pool._threads)))


@needs_fork
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_after_a_fork(busy):
    """The child has none of the parent's threads; the parent may be in the middle of a step."""
    alone = bits(threads=3)
    assert pool._threads
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            bits(threads=3)

    other = threading.Thread(target=work, daemon=True)
    if busy:
        other.start()
    try:
        for _ in range(3 if busy else 1):
            assert in_child(train) == (alone, 2)
    finally:
        stop.set()
        if busy:
            other.join(PATIENCE)
    assert bits(threads=3) == alone


def with_a_task_left(results: Any, done: list[str]) -> None:
    pool.run(lambda low, high: None, 3, 3, 1)
    results.put(done)


@needs_fork
def test_a_fork_does_not_inherit_work(monkeypatch):
    """What waits in the parent's queue is the parent's."""
    done: list[str] = []
    waiting = queue.SimpleQueue()
    waiting.put(lambda: done.append("the parent's"))
    monkeypatch.setattr(pool, "_tasks", waiting)
    assert in_child(with_a_task_left, done) == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_are_deterministic(dtype, pieces):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n).astype(dtype) for n in LARGE]
    table = cpu.layout(LARGE, [0] * len(LARGE), ADDRESSES + 1)
    table[:, ADDRESSES] = [x.__array_interface__["data"][0] for x in arrays]
    found = {norm.sum_of_squares(table, 0, dtype, threads) for threads in (1, 2, 3, 3, 3)}
    assert len(found) == 1
    assert pieces
