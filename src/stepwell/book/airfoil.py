"""The training that the book's sections share: linear regression on NASA's airfoil noise, written out and in short.

`from_scratch` calls a rule on each gradient; `concise` has an optimizer class do it. Both draw the weights and then the
order of the samples from NumPy's `default_rng(seed)`, and both have the loss ½(ŷ - y)² averaged over the batch, so that
where rule and class are one formula they are one training.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.book.section import Page
from stepwell.lab import tasks
from stepwell.lab.tasks import Task
from stepwell.lab.train import one_thread
from stepwell.pages import plots
from stepwell.rule import Rule

EVERY = 200  # samples between measurements
EDGE = "at most 0.2482"  # the band of Adadelta, Adam and Yogi
SAME = 1e-5  # how far two trainings by one formula may be apart in float32, in units of the loss

Order = Callable[[np.random.Generator, int], np.ndarray]


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


def load(page: Page) -> Task:
    """The data: five features and a label, standardized over all 1503 rows, of which the first 1500 are used."""
    return tasks.airfoil(page.options.data)


def permutation(generator: np.random.Generator, n: int) -> np.ndarray:
    """Every row once, in a new order."""
    return generator.permutation(n)


def from_scratch(
    task: Task, rule: Rule, seed: int = 0, *, batch: int = 10, epochs: int = 2, order: Order = permutation,
    **hyper: Any,
) -> Training:  # fmt: skip
    """Train with tensors, gradients and a rule; `order(generator, n)` gives the rows of an epoch."""
    import torch

    generator = np.random.default_rng(seed)
    w = _weights(generator, task).requires_grad_()
    b = torch.zeros(1, requires_grad=True)
    hyper = rule.complete(hyper)
    states = [{name: torch.full_like(p, rule.start_of(name, hyper)) for name in rule.state} for p in (w, b)]

    def update(t: int) -> None:
        for p, state in zip((w, b), states, strict=True):
            with torch.no_grad():
                step, *fresh = rule.bind({"p": p, "g": p.grad, "t": t, **state}, hyper)
                state.update(zip(rule.state, fresh, strict=True))
                p -= step
            p.grad = None

    return _train(task, lambda x: x @ w + b, update, order, generator, batch, epochs)


def concise(
    task: Task, optimizer: Callable[..., Any], seed: int = 0, *, batch: int = 10, epochs: int = 2, **hyper: Any
) -> Training:
    """Train a linear layer with an optimizer class, `optimizer(parameters, **hyper)`."""
    import torch
    from torch import nn

    generator = np.random.default_rng(seed)
    net: Any = nn.utils.skip_init(nn.Linear, task.data.inputs.shape[1], 1)
    with torch.no_grad():
        net.weight.copy_(_weights(generator, task).T)
        net.bias.zero_()
    trainer = optimizer(net.parameters(), **hyper)

    def update(t: int) -> None:
        trainer.step()
        trainer.zero_grad()

    return _train(task, net, update, permutation, generator, batch, epochs)


def band(page: Page, what: str, train: Callable[[int], Training], edges: str) -> list[Training]:
    """The trainings of all seeds, and a line: their last losses beside the book's band, `edges` as it is printed."""
    runs = [train(seed) for seed in range(page.options.seeds)]
    page.band(f"{what}: loss after {runs[0].epochs[-1]:g} epochs", [run.loss for run in runs], edges)
    return runs


def apart(some: Sequence[Training], others: Sequence[Training]) -> float:
    """The largest difference between two lists of trainings, seed by seed and measurement by measurement."""
    return max(float(np.abs(np.subtract(a.losses, b.losses)).max()) for a, b in zip(some, others, strict=True))


def same(page: Page, what: str, some: Sequence[Training], others: Sequence[Training]) -> None:
    """Claim that two lists of trainings are the same at each seed."""
    off = apart(some, others)
    page.claim(f"{what}: one training, twice", off <= SAME, f"losses at most {off:.1e} apart")


def curve(label: str, runs: Sequence[Training], rule: str | None = None, x: str = "epochs") -> plots.Line:
    """The median over seeds with the range around it, from the first measurement after the start.

    It is against `x`: "epochs", or "milliseconds", the median over seeds.
    """
    losses = np.array([run.losses for run in runs])[:, 1:]
    at = runs[0].epochs if x == "epochs" else 1000 * np.median([run.seconds for run in runs], axis=0)
    return plots.Line(label, np.median(losses, axis=0), at[1:], rule=rule, low=losses.min(0), high=losses.max(0))


def panel(task: Task, title: str, curves: Sequence[plots.Line], x: str = "epochs", log: str = "") -> plots.Panel:
    """Curves of the loss, above the least that a linear model can have."""
    return plots.lines(
        curves, title, x, "training loss", log=log, ylim=(0.235, 0.35), level=task.lowest, level_label="least squares"
    )


def _weights(generator: np.random.Generator, task: Task) -> Any:
    import torch

    return torch.from_numpy(generator.normal(0.0, 0.01, (task.data.inputs.shape[1], 1))).float()


def _train(
    task: Task, predict: Callable[[Any], Any], update: Callable[[int], None], order: Order,
    generator: np.random.Generator, batch: int, epochs: int,
) -> Training:  # fmt: skip
    """The loop of both: each epoch's rows in an order of their own, measured after every 200 samples."""
    import torch

    inputs, targets = torch.from_numpy(task.data.inputs), torch.from_numpy(task.data.targets)
    n, t, seen, seconds, curve = len(inputs), 0, 0, 0.0, []

    def measure() -> None:
        with torch.no_grad():
            curve.append((seen / n, task.loss(predict(inputs), targets).item(), seconds))

    with one_thread():
        measure()
        since = time.perf_counter()
        for _ in range(epochs):
            rows = torch.from_numpy(order(generator, n))
            for x, y in zip(inputs[rows].split(batch), targets[rows].split(batch), strict=True):
                t, before, seen = t + 1, seen, seen + len(x)
                task.loss(predict(x), y).backward()
                update(t)
                if seen // EVERY > before // EVERY or seen == epochs * n:
                    seconds += time.perf_counter() - since
                    measure()
                    since = time.perf_counter()
    return Training(*(tuple(column) for column in zip(*curve, strict=True)))
