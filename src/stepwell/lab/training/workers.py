"""Worker processes: one task, one thread each, group after group.

Loky's processes need no `if __name__ == "__main__":` around a script, and take functions of a notebook.
"""

import contextlib
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from stepwell.lab.candidates import Candidate
from stepwell.lab.task import Task
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


class Workers:
    """Processes that train groups: made when the first comes, ended by `close`, with whatever they are at.

    Errors: `WorkerError` when one of them dies.
    """

    def __init__(self, task: Task, candidates: Mapping[str, Candidate], count: int):
        self.content, self.count = packed(task, candidates), count
        self._executor: Any = None

    def train(self, groups: Sequence[Sequence[Trial]], stacked: bool) -> Iterator[list[Run]]:
        """The runs of each group, as they end."""
        from loky import ProcessPoolExecutor, process_executor

        self._executor = self._executor or ProcessPoolExecutor(self.count, initializer=begin, initargs=(self.content,))
        try:
            with uninterrupted():  # a worker is born as deaf to Ctrl-C as its parent is then
                pending: set[Future[list[Run]]] = {self._executor.submit(work, group, stacked) for group in groups}
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda each: each.exception() is not None):  # what failed, last
                    yield future.result()
        except process_executor.BrokenProcessPool as error:
            raise WorkerError(f"a worker process died: {error}") from error

    def close(self) -> None:
        """End the processes."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None


class WorkerError(RuntimeError):
    """A worker process ended before its work did: it was killed, or there was too little memory."""


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
