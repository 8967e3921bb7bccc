"""The training that the book's sections share, in each framework: linear regression, written out and in short.

`from_scratch` calls a rule on each gradient; `concise` has an optimizer class and a layer do it. Both draw the weights
and then the order of the samples from NumPy's `default_rng(seed)`, and both have the loss ½(ŷ - y)² averaged over the
batch, so that where rule and class are one formula they are one training, in every framework.

A module of this package, named as its framework's door, has the two ways: each gets the task and the weights before the
first step, a column, and returns a `Loop`; the bias starts at 0. The task's loss is written in torch, and torch takes
it from there; the others write it out.
"""

import importlib
import pkgutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stepwell.lab.task import Task
from stepwell.rule import Rule

EVERY = 200  # samples between measurements

FRAMEWORKS = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
Order = Callable[[np.random.Generator, int], np.ndarray]


class Loop(NamedTuple):
    """A linear model in training. `step(x, y)` makes one update; `loss(x, y)` is its loss there."""

    step: Callable[[np.ndarray, np.ndarray], None]
    loss: Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Training:
    """The curve of a training, from before the first step to after the last.

    Attributes:
        epochs: samples seen so far, over how many there are.
        losses: mean loss over all samples that are trained on.
        seconds: of training so far; measuring is not counted.
    """

    epochs: tuple[float, ...]
    losses: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def loss(self) -> float:
        """The last loss."""
        return self.losses[-1]


def permutation(generator: np.random.Generator, n: int) -> np.ndarray:
    """Every row once, in a new order."""
    return generator.permutation(n)


def from_scratch(
    task: Task, rule: Rule, seed: int = 0, *, batch: int = 10, epochs: int = 2, order: Order = permutation,
    framework: str = "torch", **hyper: Any,
) -> Training:  # fmt: skip
    """Train with tensors, gradients and a rule; `order(generator, n)` gives the rows of an epoch."""
    generator = np.random.default_rng(seed)
    loop = _ways(framework).from_scratch(task, _weights(generator, task), rule, rule.complete(hyper))
    return _train(task, loop, order, generator, batch, epochs)


def concise(
    task: Task, optimizer: Callable[..., Any], seed: int = 0, *, batch: int = 10, epochs: int = 2,
    framework: str = "torch", **hyper: Any,
) -> Training:  # fmt: skip
    """Train a linear layer with an optimizer class of the framework, its arguments in `hyper`."""
    generator = np.random.default_rng(seed)
    loop = _ways(framework).concise(task, _weights(generator, task), optimizer, hyper)
    return _train(task, loop, permutation, generator, batch, epochs)


def class_of(rule: Rule, framework: str) -> Callable[..., Any]:
    """The optimizer of a rule at a framework's door."""
    return importlib.import_module(f"stepwell.{framework}").from_rule(rule)


def spelled(hyper: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters as doors have them whose frameworks say `learning_rate`."""
    return {"learning_rate" if name == "lr" else name: value for name, value in hyper.items()}


def _ways(framework: str) -> Any:
    importlib.import_module(f"stepwell.{framework}")  # says what to install, where the framework is missing
    return importlib.import_module(f"{__name__}.{framework}")


def _weights(generator: np.random.Generator, task: Task) -> np.ndarray:
    return generator.normal(0.0, 0.01, (task.data.inputs.shape[1], 1)).astype(np.float32)


def _train(
    task: Task, loop: Loop, order: Order, generator: np.random.Generator, batch: int, epochs: int
) -> Training:  # fmt: skip
    """Each epoch's rows in an order of their own, measured after every 200 samples."""
    inputs, targets = task.data.inputs, task.data.targets
    n, seen, seconds, curve = len(inputs), 0, 0.0, []

    def measure() -> None:
        curve.append((seen / n, loop.loss(inputs, targets), seconds))

    measure()
    since = time.perf_counter()
    for _ in range(epochs):
        rows = order(generator, n)
        for first in range(0, len(rows), batch):
            chosen = rows[first : first + batch]
            loop.step(inputs[chosen], targets[chosen])
            before, seen = seen, seen + len(chosen)
            if seen // EVERY > before // EVERY or seen == epochs * n:
                seconds += time.perf_counter() - since
                measure()
                since = time.perf_counter()
    return Training(*(tuple(column) for column in zip(*curve, strict=True)))
