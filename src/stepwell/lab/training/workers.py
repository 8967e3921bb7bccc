"""Worker processes of this machine: one task, one thread each, group after group.

Loky's processes need no `if __name__ == "__main__":` around a script, and take functions of a notebook.
"""

import contextlib
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from stepwell.lab.candidates import Candidate
from stepwell.lab.task import Task
from stepwell.lab.training.crew import Crew, Group, Lost
from stepwell.lab.training.group import train_group
from stepwell.lab.trial import Run, Trial

_given: list[Any] = []


def portable(task: Task, candidates: Mapping[str, Candidate]) -> str:
    """Why a task cannot be sent to another process; empty if it can."""
    try:
        packed(task, candidates)
    except Exception as error:
        return f"it cannot be sent to another process ({type(error).__name__}: {error})"
    return ""


def packed(task: Task, candidates: Mapping[str, Candidate]) -> bytes:
    """A task and its optimizers as bytes; functions of the user's script or notebook too."""
    import cloudpickle

    return cloudpickle.dumps((task, dict(candidates)))


def begin(content: bytes) -> None:
    """Make this process ready for groups of a task; Ctrl-C is its parent's business, and it ends when that does."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(1)
    _given[:] = [pickle.loads(content)]


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def work(trials: Sequence[Trial], stacked: bool) -> list[Run]:
    """Train a group of the task that this process was given."""
    task, candidates = _given[0]
    return train_group(task, candidates, trials, stacked)


class Workers(Crew):
    """Processes of this machine: made when they are needed, ended by `close`, with whatever they are at.

    Each is a pool of its own, so that one that dies takes no other's work with it, and it is known which group it had.
    """

    def __init__(self, task: Task, candidates: Mapping[str, Candidate], count: int):
        self.content, self.count = packed(task, candidates), count
        self._idle: list[Any] = []
        self._at_work: dict[Future[list[Run]], Any] = {}

    def submit(self, group: Group, stacked: bool) -> "Future[list[Run]]":
        from loky import process_executor

        with uninterrupted():  # a worker is born as deaf to Ctrl-C as its parent is then
            while self._idle:
                pool = self._idle.pop()
                try:
                    _look(pool)
                    job = pool.submit(work, group, stacked)
                except process_executor.BrokenProcessPool:
                    _end(pool)
                else:
                    self._at_work[job] = pool
                    return job
            pool = process_executor.ProcessPoolExecutor(1, initializer=begin, initargs=(self.content,))
            job = pool.submit(work, group, stacked)
            self._at_work[job] = pool
            return job

    def wait(self, jobs: "Sequence[Future[list[Run]]]", seconds: float | None) -> "Iterable[Future[list[Run]]]":
        return wait(jobs, seconds, FIRST_COMPLETED).done

    def result(self, job: "Future[list[Run]]") -> list[Run]:
        from loky import process_executor

        pool = self._at_work.pop(job)
        try:
            runs = job.result()
        except process_executor.BrokenProcessPool as error:
            _end(pool)
            raise Lost(str(error).replace("\n", " ")) from error
        except BaseException:
            self._idle.append(pool)
            raise
        self._idle.append(pool)
        return runs

    @property
    def processes(self) -> list[int]:
        """The ids of the processes."""
        return [pid for pool in [*self._idle, *self._at_work.values()] for pid in pool._processes]

    def close(self) -> None:
        for pool in [*self._idle, *self._at_work.values()]:
            _end(pool)
        self._idle, self._at_work = [], {}


def _look(pool: Any) -> None:
    """Errors: BrokenProcessPool if a pool's process is dead, which the pool itself may not know yet."""
    from loky import process_executor

    if not all(process.is_alive() for process in pool._processes.values()):
        raise process_executor.BrokenProcessPool("it died with nothing to do")


def _end(pool: Any) -> None:
    pool.shutdown(wait=True, kill_workers=True)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C is not heard inside."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
