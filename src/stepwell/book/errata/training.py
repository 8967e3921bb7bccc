"""Errata about the airfoil training: what makes two runs of "the same" training two trainings."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from stepwell import rules
from stepwell.book import airfoil
from stepwell.book.errata.erratum import erratum
from stepwell.book.section import Page
from stepwell.lab.candidates import choose
from stepwell.lab.task import Task
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial
from stepwell.pages import plots

ROWS, BUFFER = 1500, 1000
PAUSE = 1e-3  # seconds


@erratum("gradient_descent", "momentum", "momentum_dampened", "nesterov")
def e05_the_missing_half(page: Page) -> None:
    """5. The built-in runs train on another loss than the runs from scratch.

    From scratch D2L has ½(ŷ - y)²; built in, PyTorch, TensorFlow and Paddle have the mean squared error without its
    half, MXNet's L2Loss with it. The gradient is twice as large, so descent runs at twice the rate that is written, and
    Adam notices nothing. Here the airfoil task has one loss, ½(ŷ - y)², however it is trained.
    """
    import torch

    task = airfoil.load(page)
    without = replace(task, loss=torch.nn.MSELoss())
    x, y = torch.from_numpy(task.data.inputs), torch.from_numpy(task.data.targets)
    slopes = [slope_at_zero(each.loss, x, y) for each in (task, without)]
    exact = float(torch.linalg.vector_norm(x.T @ y) / len(x))
    page.claim("the task's gradient at w = 0 is -Xᵀy/n", abs(slopes[0] - exact) < 1e-6, f"length {slopes[0]:.6f}")
    page.number("MSELoss's gradient over it", slopes[1] / slopes[0], "2.000")
    halved = airfoil.concise(without, torch.optim.SGD, lr=0.025)
    ours = airfoil.concise(task, torch.optim.SGD, lr=0.05)
    apart = np.max(np.abs(np.array(halved.losses) / 2 - ours.losses))
    alike = bool(apart < airfoil.SAME)
    page.claim("MSELoss at η = .025 is our training at .05", alike, f"half its loss {apart:.1e} apart")
    fast = airfoil.concise(without, torch.optim.SGD, lr=0.05)
    page.measured("loss at η = .05: ours, and half of MSELoss's", f"{ours.loss:.4f}, {fast.loss / 2:.4f}")
    adams = [np.array(airfoil.concise(each, torch.optim.Adam, lr=0.01).losses) for each in (task, without)]
    apart = np.max(np.abs(adams[1] / 2 - adams[0]))
    page.claim("Adam makes the same steps with either", bool(apart < 1e-4), f"losses {apart:.1e} apart")


@erratum()
def e06_four_epochs_or_two(page: Page) -> None:
    """6. Built in, a run has 4 epochs or 2, and not always the rate of the run from scratch.

    In D2L's PyTorch and Paddle tabs 4 epochs, in MXNet and TensorFlow 2, as from scratch; so their losses say little
    about whether the two are one algorithm. Here both forms have 2 epochs, one rate and one order of samples, and are
    then one training.
    """
    import torch

    task = airfoil.load(page)
    ours = airfoil.from_scratch(task, rules.gradient_descent, lr=0.05)
    built_in = airfoil.concise(task, torch.optim.SGD, lr=0.05)
    texts = airfoil.concise(task, torch.optim.SGD, epochs=4, lr=0.05)
    page.claim("the task has 2 epochs, 300 updates", (task.epochs, task.steps(task.epochs)) == (2, 300), task.epochs)
    page.claim("so have both forms", ours.epochs == built_in.epochs and ours.epochs[-1] == 2, f"{ours.epochs[-1]:g}")
    airfoil.same(page, "from scratch and built in", [ours], [built_in])
    page.measured("4 epochs, as a built-in run has: its loss, and ours", f"{texts.loss:.4f}, {ours.loss:.4f}")


@erratum()
def e07_an_initializer_not_applied(page: Page) -> None:
    """7. Paddle's built-in run makes an initializer and does not use it.

    That tab of D2L constructs N(0, .01²) and drops it, so the layer keeps its framework's own weights, tens of times
    larger, and the run starts elsewhere. Here the weights of the task, and of both forms of the training, are drawn
    from N(0, .01²).
    """
    import torch

    task = airfoil.load(page)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        left_alone = torch.cat([torch.nn.Linear(5, 1).weight.detach().ravel() for _ in range(200)])
    drawn = torch.cat([next(task.fresh(seed).parameters()).detach().ravel() for seed in range(200)])
    page.measured("sd of 1000 weights that a layer of PyTorch's is left with", left_alone.std().item())
    sd, mean = drawn.std().item(), drawn.mean().item()
    page.claim("those of the task are N(0, .01²)", abs(sd - 0.01) < 8e-4 and abs(mean) < 1e-3, f"sd {sd:.5f}")
    starts = (
        airfoil.from_scratch(task, rules.gradient_descent, epochs=1),
        airfoil.concise(task, torch.optim.SGD, epochs=1),
    )
    first = [run.losses[0] for run in starts]
    at_zero = float(np.mean(task.data.targets**2)) / 2
    near = abs(first[0] - first[1]) < airfoil.SAME and abs(first[0] - at_zero) < 0.02
    page.claim("both forms start at one point, near 0", near, f"loss {first[0]:.4f}; at 0: {at_zero:.4f}")


@erratum()
def e08_a_shuffle_that_is_none(page: Page) -> None:
    """8. TensorFlow's rows are shuffled through too small a buffer.

    That tab of D2L has a buffer of 1000 for 1500 rows: row 1000 + k cannot come before place k, so an epoch begins with
    the file's beginning and ends with more of its end. Here each epoch's order is a uniform permutation.
    """
    runs = 100
    buffered, ours = buffer_orders(runs), library_orders(airfoil.load(page), runs)
    for name, orders in (("a buffer of 1000", buffered), ("Stepwell", ours)):
        early = float(np.mean(orders[:, :500] >= BUFFER))  # 1/3 where all orders are equally likely
        page.measured(f"{name}: of the first 500 rows of an epoch, the share from the file's last 500", f"{early:.3f}")
        earliest = np.argmax(orders == ROWS - 1, axis=1).min()
        page.measured(f"{name}: earliest place of the file's last row in {runs} epochs", f"{earliest}")
    position = np.argsort(ours, axis=1)
    every = bool(np.all(np.sort(ours, axis=1) == np.arange(ROWS)))
    page.claim("each of our orders has every row once", every)
    slope = float(np.mean([np.corrcoef(np.arange(ROWS), each)[0, 1] for each in position]))
    apart = 4 / np.sqrt(ROWS * runs)  # standard errors
    page.claim("a row's place does not depend on its number", abs(slope) < apart, f"r = {slope:+.4f}")
    last, apart = position[:, -100:].mean(), 4 * 433 / np.sqrt(100 * runs)  # 433 is the sd of a place
    page.claim("the last 100 rows come in the middle on average", abs(last - 749.5) < apart, f"place {last:.1f}")
    curves = [
        plots.Line(name, np.argsort(o, axis=1).mean(axis=0).reshape(-1, 25).mean(axis=1), np.arange(12, ROWS, 25))
        for name, o in (("through a buffer of 1000", buffered), ("Stepwell: a uniform permutation", ours))
    ]
    panel = plots.lines(curves, f"Mean over {runs} epochs", "row of the file", "place in the epoch", ylim=(500, 1200))
    page.figure("shuffles", plots.figure("Where the rows of the file come in an epoch", panel, columns=1))


@erratum()
def e09_seconds_per_interval(page: Page) -> None:
    """9. "sec/epoch" is the time of something shorter.

    D2L averages its timer over the intervals between measurements, 200 samples each, and prints that as seconds an
    epoch: 7.5 times too small. Here a training's seconds are those of all its steps, and an epoch's are its share.
    """
    task = airfoil.load(page)
    trial = Trial("gradient_descent", 0.05, 0, task.steps())
    train(task, replace(trial, steps=task.steps(1)))  # what is done once is done before the clock starts
    run = train(task, trial)
    intervals = len(run.curve["step"]) - 1
    page.number("intervals in an epoch", intervals / task.epochs, "7.5")
    page.measured("the text's sec/epoch (on this machine)", run.seconds / intervals)
    page.measured("seconds of an epoch (on this machine)", run.seconds / task.epochs)
    slow = train(task, replace(trial, optimizer="slow"), choose({"slow": slowed(PAUSE)}))
    least = PAUSE * slow.taken
    page.claim(
        f"{slow.taken} steps of {1000 * PAUSE:g} ms or more take no less", slow.seconds >= least,
        f"{slow.seconds:.2g} s of at least {least:.2g} s",
    )  # fmt: skip


def slowed(seconds: float) -> Callable[..., Any]:
    """A class of gradient descent, each step of which lasts that long or longer."""
    import torch

    class Slowed(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            time.sleep(seconds)
            return super().step(closure)

    return Slowed


def slope_at_zero(loss: Callable[[Any, Any], Any], x: Any, y: Any) -> float:
    """The length of the gradient of a loss of x·w against y, at w = 0."""
    import torch

    w = torch.zeros(x.shape[1], 1, requires_grad=True)
    loss(x @ w, y).backward()
    assert w.grad is not None
    return float(torch.linalg.vector_norm(w.grad))


def buffer_orders(runs: int, seed: int = 0) -> np.ndarray:
    """Orders of the rows that a buffer gives which holds 1000, hands out one at random and takes in the next."""
    generator = np.random.default_rng(seed)
    buffer, each = np.tile(np.arange(BUFFER), (runs, 1)), np.arange(runs)
    orders = np.empty((runs, ROWS), int)
    for k in range(ROWS):
        held = min(BUFFER, ROWS - k)
        slot = generator.integers(held, size=runs)
        orders[:, k] = buffer[each, slot]
        buffer[each, slot] = k + BUFFER if k + BUFFER < ROWS else buffer[:, held - 1]
    return orders


def library_orders(task: Task, runs: int) -> np.ndarray:
    """The orders in which trainings with seeds 0, 1, … meet the rows: each row's target is its number."""
    seen: list[np.ndarray] = []

    def watched(outputs: Any, targets: Any) -> Any:
        if len(targets) < ROWS:  # not a measurement, which is made on all of them
            seen.append(targets.numpy().ravel())
        return (outputs * 0).mean()

    numbered = replace(task.data, targets=np.arange(ROWS, dtype=np.float32)[:, None])
    watching = replace(task, data=numbered, loss=watched)
    for seed in range(runs):
        airfoil.from_scratch(watching, rules.gradient_descent, seed, batch=500, epochs=1, lr=0.0)
    return np.concatenate(seen).reshape(runs, ROWS).astype(int)
