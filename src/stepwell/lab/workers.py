"""The other side of a comparison's processes: one task, one thread, job after job."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

from stepwell.lab.tasks import Task
from stepwell.lab.train import Job, Run, train

_given: list[tuple[Task, int]] = []


def begin(task: Task, epochs: int) -> None:
    """Make this process ready for jobs of a task; Ctrl-C is its parent's business, and it ends when its parent does."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _given[:] = [(task, epochs)]


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)


def work(job: Job) -> Run:
    """Train one job of the task that this process was given."""
    task, epochs = _given[0]
    return train(task, job, epochs)
