"""A few threads that run pieces of one nogil call; rebuilt after a fork, never more than asked."""

import os
import queue
import threading
from collections.abc import Callable, Iterator

_tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
_threads: list[threading.Thread] = []
_growing = threading.Lock()


def cores() -> int:
    """How many processors this process may use; STEPWELL_THREADS overrides."""
    if chosen := os.environ.get("STEPWELL_THREADS"):
        if not chosen.isdecimal() or chosen == "0":
            raise ValueError(f"STEPWELL_THREADS must be an integer ≥ 1; got {chosen!r}")
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(work: Callable[[int, int], None], count: int, threads: int, grain: int) -> None:
    """Do `work(low, high)` over all of range(count), pieces of `grain` at a time, on up to `threads` threads.

    The calling thread takes part; the first exception of any piece is raised here.
    """
    threads = min(threads, -(-count // grain))
    if threads <= 1:
        work(0, count)
        return
    job = _Job(work, count, grain, threads - 1)
    _grow(threads - 1)
    for _ in range(threads - 1):
        _tasks.put(job.help)
    job.drain()
    job.wait()


class _Job:
    def __init__(self, work: Callable[[int, int], None], count: int, grain: int, helpers: int):
        self.work, self.count, self.grain = work, count, grain
        self.pieces: Iterator[int] = iter(range(0, count, grain))  # next() of a range iterator is atomic
        self.finished = threading.Semaphore(0)
        self.helpers = helpers
        self.done: list[bool] = []
        self.errors: list[BaseException] = []

    def drain(self) -> None:
        try:
            for low in self.pieces:
                self.work(low, min(low + self.grain, self.count))
        except BaseException as error:
            self.errors.append(error)

    def help(self) -> None:
        self.drain()
        self.done.append(True)
        self.finished.release()

    def wait(self) -> None:
        while len(self.done) < self.helpers:
            try:
                self.finished.acquire()
            except BaseException as error:  # Ctrl-C: the helpers still write to the caller's arrays
                self.errors.append(error)
        if self.errors:
            raise self.errors[0]


def _serve(tasks: "queue.SimpleQueue[Callable[[], None]]") -> None:
    while True:
        tasks.get()()


def _grow(wanted: int) -> None:
    if len(_threads) < wanted:
        with _growing:
            while len(_threads) < wanted:
                thread = threading.Thread(target=_serve, args=(_tasks,), name="stepwell", daemon=True)
                thread.start()
                _threads.append(thread)


def _forget() -> None:
    """A forked child has none of the parent's threads, and locks in whatever state they were."""
    global _tasks, _growing
    _tasks = queue.SimpleQueue()
    _growing = threading.Lock()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
