"""One training: a task, an optimizer, a learning rate and a seed make a record."""

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stepwell.lab.tasks import Task
from stepwell.rules import named

DIVERGED = "diverged"
DONE = "done"


@dataclass(frozen=True)
class Job:
    """What sets one run apart from the others of a comparison."""

    optimizer: str
    lr: float
    seed: int


@dataclass(frozen=True)
class Run:
    """What a training came to. A loss that is not finite is None: then the run is "diverged" and was stopped there.

    Attributes:
        optimizer, lr, seed: the rule's name, its learning rate, the seed of weights and of data order.
        status: "done" or "diverged".
        steps: steps taken. `goal_step`: the first measured step at which the task's goal was reached, or None.
        loss, accuracy: the last measurement.
        step_microseconds: median time of `optimizer.step()`. `seconds`: of all training, without the measurements.
        curve: by name ("step", "loss", "accuracy", "seconds"), one number for each measurement.
    """

    optimizer: str
    lr: float
    seed: int
    status: str
    steps: int
    goal_step: int | None
    loss: float | None
    accuracy: float | None
    step_microseconds: float
    seconds: float
    curve: dict[str, list[float | None]] = field(repr=False)


def train(task: Task, job: Job, epochs: int | None = None, make: Callable[..., Any] | None = None) -> Run:
    """Train a fresh model of `task`, measured every so many steps, on one thread, so that the numbers depend on the job
    alone. `make(parameters, lr=…)` gives the optimizer; by default it is the rule that the job names.
    """
    with one_thread():
        model = task.model(job.seed)
        optimizer = (make or _optimizer(job.optimizer))(model.parameters(), lr=job.lr)
        log = _Log(task, model)
        for inputs, targets in _batches(task, epochs or task.epochs, job.seed):
            optimizer.zero_grad()
            task.loss(model(inputs), targets).backward()
            started = time.perf_counter_ns()
            optimizer.step()
            log.took(time.perf_counter_ns() - started)
            if log.steps % task.every == 0 and not log.measure():
                break
        log.finish()
        return log.run(job)


def _optimizer(name: str) -> Callable[..., Any]:
    from stepwell.torch import from_rule

    return from_rule(named[name])


def _batches(task: Task, epochs: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """The batches of all epochs, in an order that only the seed decides."""
    import torch

    inputs, targets = torch.from_numpy(task.data.inputs), torch.from_numpy(task.data.targets)
    order = np.random.default_rng(seed)
    for _ in range(epochs):
        rows = torch.from_numpy(order.permutation(len(inputs)))
        yield from zip(inputs[rows].split(task.batch), targets[rows].split(task.batch), strict=True)


class _Log:
    """The measurements of a run; time stands still while one is made."""

    def __init__(self, task: Task, model: Any):
        import torch

        self.task, self.model, self.steps = task, model, 0
        self.inputs, self.targets = map(torch.from_numpy, (task.data.measured_inputs, task.data.measured_targets))
        self.nanoseconds: list[int] = []
        self.curve: dict[str, list[float]] = {"step": [], "loss": [], "accuracy": [], "seconds": []}
        self.goal_step: int | None = None
        self.seconds, self.since = 0.0, time.perf_counter()
        self.measure()

    def took(self, nanoseconds: int) -> None:
        self.steps += 1
        self.nanoseconds.append(nanoseconds)

    def measure(self) -> bool:
        """Add a point to the curve; says whether the training is still finite."""
        import torch

        self.seconds += time.perf_counter() - self.since
        with torch.no_grad():
            outputs = self.model(self.inputs)
            loss = self.task.loss(outputs, self.targets).item()
            accuracy = self.task.accuracy(outputs, self.targets).item() if self.task.accuracy else None
        self.curve["step"].append(self.steps)
        self.curve["loss"].append(loss)
        self.curve["seconds"].append(self.seconds)
        if accuracy is not None:
            self.curve["accuracy"].append(accuracy)
        if self.goal_step is None and self.task.goal.reached(loss, accuracy):
            self.goal_step = self.steps
        self.since = time.perf_counter()
        return math.isfinite(loss)

    def finish(self) -> None:
        if self.curve["step"][-1] != self.steps:
            self.measure()

    def run(self, job: Job) -> Run:
        curve = {name: [_plain(x) for x in values] for name, values in self.curve.items()}
        loss = curve["loss"][-1]
        return Run(
            **vars(job),
            status=DONE if loss is not None else DIVERGED,
            steps=self.steps,
            goal_step=self.goal_step if loss is not None else None,
            loss=loss,
            accuracy=(curve["accuracy"] or [None])[-1] if loss is not None else None,
            step_microseconds=round(statistics.median(self.nanoseconds) / 1000, 2),
            seconds=round(self.seconds, 6),
            curve=curve,
        )


def _plain(x: float) -> float | None:
    """Six digits of a float32, of which it has seven; None for what JSON has no word for."""
    if isinstance(x, int):
        return x
    return float(f"{x:.6g}") if math.isfinite(x) else None


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside; the caller's number again after it."""
    import torch

    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
