"""A trial by itself: the loop that everybody writes, and what every faster way must equal."""

import contextlib
import functools
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stepwell.lab.batches import TaskError, explained, rows_of
from stepwell.lab.candidates import Candidate, choose
from stepwell.lab.names import unknown
from stepwell.lab.task import Task
from stepwell.lab.training.drive import Tell, drive
from stepwell.lab.trial import Run, Trial

if TYPE_CHECKING:
    from torch import Tensor


class Plain:
    """A model and its optimizer."""

    def __init__(self, task: Task, candidate: Candidate, trial: Trial):
        self.task, self.model = task, task.fresh(trial.seed)
        factor = task.rate(trial.steps)
        rate: Any = trial.lr if task.schedule is None else lambda k: trial.lr * factor(k)
        options = {} if task.clip_norm is None or candidate.rule is None else {"clip_norm": task.clip_norm}
        self.optimizer = candidate.build(self.model, rate, dict(trial.hyper) | options)
        self.clip_norm = None if options else task.clip_norm

    def step(self, batch: Any) -> "Tensor":
        """One step; the loss before it, as a tensor of one."""
        import torch

        with explained("a training step fails"):
            self.optimizer.zero_grad()
            loss, _, _ = self.task.evaluate(self.model, batch)
            loss.backward()
            if self.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()
            return loss.detach()[None]

    def measure(self) -> list[tuple[float, float | None]]:
        """Loss and metric over what is held out, means over its rows."""
        import torch

        total, counted, scores = 0.0, 0, 0.0
        assert self.task.held_out is not None
        with explained("measuring on the validation fails"), torch.no_grad(), evaluating(self.model):
            for batch in self.task.held_out.whole():
                loss, output, target = self.task.evaluate(self.model, batch)
                rows = rows_of(batch)
                total, counted = total + rows * float(loss), counted + rows
                if self.task.metric is not None:
                    scores += rows * float(self.task.metric(output, target))
        if not counted:
            raise TaskError("validation must have one row or more; got none")
        return [(total / counted, scores / counted if self.task.metric is not None else None)]

    def keep(self, places: list[int]) -> None:
        """There is one, and it goes on."""


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """A model as it is when it is used: no dropout, kept means; then each of its parts as it was."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def train(task: Task, trial: Trial, candidates: Mapping[str, Candidate] | None = None, tell: Tell | None = None) -> Run:
    """Train a fresh model of `task`, on one thread, so that the numbers depend on the trial alone.

    Errors: `TaskError` for a task that cannot be trained; ValueError for an unknown optimizer.
    """
    with one_thread():
        known = candidates or choose([trial.optimizer])
        if trial.optimizer not in known:
            raise ValueError(unknown("optimizer", trial.optimizer, known))
        candidate = known[trial.optimizer]
        began = time.perf_counter()
        (run,) = drive(task, Plain(task, candidate, trial), [trial], began, tell)
        return run


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """That many torch threads inside; the caller's number again after it."""
    import torch

    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_here() -> int:
    """How many threads torch has in this process."""
    import torch

    return torch.get_num_threads()


one_thread = functools.partial(torch_threads, 1)
