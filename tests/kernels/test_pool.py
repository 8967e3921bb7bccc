"""Our own threads: every piece is done once, exceptions come back, and neither they nor Ctrl-C break the pool."""

import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.kernels import pool

PATIENCE = 60  # seconds after which a test that hangs fails


def pieces(count: int, threads: int, grain: int) -> list[tuple[int, int]]:
    """The pieces that a job was done in."""
    done = []  # append is atomic
    pool.run(lambda low, high: done.append((low, high)), count, threads, grain)
    return done


@settings(max_examples=60)
@given(count=st.integers(0, 300), threads=st.integers(1, 5), grain=st.integers(1, 40))
def test_every_element_is_done_once(count, threads, grain):
    done = pieces(count, threads, grain)
    elements = [k for low, high in done for k in range(low, high)]
    assert sorted(elements) == list(range(count))
    if threads > 1 and count > grain:
        assert all(high - low <= grain for low, high in done)


def test_the_caller_works_too_and_no_more_threads_than_asked():
    barrier = threading.Barrier(3, timeout=PATIENCE)
    who = set()

    def meet(low: int, high: int) -> None:
        who.add(threading.current_thread())
        barrier.wait()  # passes when three are at work at once

    pool.run(meet, 3, 3, 1)
    assert len(who) == 3
    assert threading.current_thread() in who
    before = len(pool._threads)
    pool.run(lambda low, high: None, 1000, 3, 1)
    assert len(pool._threads) == before


@pytest.mark.parametrize("failing", [0, 7, 99])
def test_an_exception_comes_back_and_the_pool_goes_on(failing):
    class Odd(Exception):
        pass

    def work(low: int, high: int) -> None:
        if low <= failing < high:
            raise Odd(low)

    for _ in range(3):
        with pytest.raises(Odd):
            pool.run(work, 100, 3, 1)
        assert sorted(pieces(100, 3, 1)) == [(k, k + 1) for k in range(100)]


def test_an_exception_is_raised_only_when_nobody_works_any_more():
    """A helper still writes to the caller's arrays while the caller fails."""
    caller, both = threading.current_thread(), threading.Barrier(2, timeout=PATIENCE)
    over = threading.Event()

    def work(low: int, high: int) -> None:
        both.wait()
        if threading.current_thread() is caller:
            raise ValueError("mine")
        threading.Event().wait(0.3)
        over.set()

    with pytest.raises(ValueError, match="mine"):
        pool.run(work, 2, 2, 1)
    assert over.is_set()


INTERRUPTED = """
import os, signal, threading
from stepwell.kernels import pool

caller, both, waiting, over = threading.current_thread(), threading.Barrier(2), threading.Event(), threading.Event()

def work(low, high):
    both.wait()
    if threading.current_thread() is not caller:
        threading.Event().wait(0.3)  # the caller is done with its piece and waits
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(0.3)
        over.set()

signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    pool.run(work, 2, 2, 1)
except KeyboardInterrupt:
    print("interrupted", over.is_set())
done = []
pool.run(lambda low, high: done.append(low), 10, 2, 1)
print(len(done))
"""


def test_ctrl_c_is_raised_only_when_nobody_works_any_more():
    found = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert found.stdout.split() == ["interrupted", "True", "10"]


def test_jobs_of_several_callers_at_once():
    results = {}

    def caller(name: int) -> None:
        for _ in range(50):
            assert sorted(pieces(64, 3, 1)) == [(k, k + 1) for k in range(64)]
        results[name] = True

    callers = [threading.Thread(target=caller, args=(k,), daemon=True) for k in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(PATIENCE)
    assert results == dict.fromkeys(range(4), True)


def test_cores_are_those_this_process_may_use(monkeypatch):
    monkeypatch.delenv("STEPWELL_THREADS", raising=False)
    monkeypatch.setattr(pool.os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert pool.cores() == 3
    monkeypatch.delattr(pool.os, "sched_getaffinity")
    monkeypatch.setattr(pool.os, "cpu_count", lambda: 7)
    assert pool.cores() == 7
    monkeypatch.setattr(pool.os, "cpu_count", lambda: None)
    assert pool.cores() == 1
    monkeypatch.setenv("STEPWELL_THREADS", "4")
    assert pool.cores() == 4
    for wrong in ("0", "two", "-1"):
        monkeypatch.setenv("STEPWELL_THREADS", wrong)
        with pytest.raises(ValueError, match=f"STEPWELL_THREADS must be an integer ≥ 1; got '{wrong}'"):
            pool.cores()
