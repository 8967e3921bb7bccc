"""Threads and processes: the bits do not depend on how many there are, and none waits for ever."""

import hashlib
import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

import stepwell.torch as door
from tests.torch.harness import gradient

LIMIT = 60  # seconds after which a thread or process counts as hung
SIZES = (5, 300_007, 0, 100_003, 17, 300_000)  # more than the calling thread would do alone, cut in odd places


class Training:
    """An optimizer with everything on, large enough for the pool."""

    def __init__(self, dtype: torch.dtype = torch.float32, sizes: tuple[int, ...] = SIZES):
        generator = torch.Generator().manual_seed(0)
        self.ps = [torch.randn(size, dtype=dtype, generator=generator).requires_grad_() for size in sizes]
        self.grads = [[gradient(p.shape, dtype, step, k).clone() for k, p in enumerate(self.ps)] for step in range(4)]
        self.optimizer = door.Adam(self.ps, weight_decay=0.1, clip_norm=0.5, ema=0.9, check_finite=True)

    def step(self, k: int) -> None:
        for p, g in zip(self.ps, self.grads[k], strict=True):
            p.grad = g
        self.optimizer.step()

    def run(self) -> str:
        for k in range(4):
            self.step(k)
        return self.digest()

    def digest(self) -> str:
        """All bits of the parameters and their state."""
        found = hashlib.sha256()
        for p in self.ps:
            for x in (p.detach(), *self.optimizer.state[p].values()):
                found.update((x.view(torch.int16) if x.dtype is torch.bfloat16 else x).numpy().tobytes())
        return found.hexdigest()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_the_bits_do_not_depend_on_the_number_of_threads(dtype: torch.dtype) -> None:
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(Training(dtype).run())
    assert results == [results[0]] * 3


def test_the_number_of_threads_may_change_between_steps() -> None:
    alone = Training().run()
    training = Training()
    for k, threads in enumerate((1, 2, 1, 2)):
        torch.set_num_threads(threads)
        training.step(k)
    assert training.digest() == alone


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """The results of functions run in threads of their own, all started together."""
    start = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(k: int) -> None:
        start.wait()
        try:
            results[k] = works[k]()
        except BaseException as error:  # a thread's exception would only be printed
            results[k] = error

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "a thread hangs"
    return results


def test_two_threads_with_an_optimizer_each() -> None:
    alone = Training().run()
    torch.set_num_threads(2)
    assert at_once(*(Training().run for _ in range(3))) == [alone] * 3


def test_two_threads_that_compile_the_same_kernel(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_CACHE", str(tmp_path))

    def train() -> list[float]:
        from stepwell.rule import Rate, rule

        @rule
        def fresh(g, *, lr: Rate = 1.0):
            return lr * g / 7

        w = torch.zeros(3, requires_grad=True)
        w.grad = torch.full((3,), 7.0)
        door.from_rule(fresh)([w]).step()
        return w.tolist()

    assert at_once(train, train) == [[-1.0] * 3] * 2


def in_a_fork(training: Training, pipe: Any) -> None:
    training.step(1)
    training.step(2)
    pipe.send(training.digest())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("threads_before", [1, 2], ids=["no pool before", "a pool before"])
def test_a_forked_child_trains_on(threads_before: int) -> None:
    """The child has none of its parent's threads: its pool must be its own."""
    training = Training()
    torch.set_num_threads(threads_before)
    training.step(0)  # also makes the state, since torch's own threads do not survive a fork
    torch.set_num_threads(2)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=in_a_fork, args=(training, sender), daemon=True)
    child.start()
    try:
        assert receiver.poll(LIMIT), "the child hangs or died"
        digest = receiver.recv()
    finally:
        child.join(1)
        if child.is_alive():
            child.kill()
    training.step(1)
    training.step(2)
    assert training.digest() == digest
