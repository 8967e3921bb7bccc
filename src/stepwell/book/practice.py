"""Adam in practice: finding a first learning rate, and lowering it on the way.

A sweep trains a few epochs at rates from 1e-5 to 1e-1 and takes the one whose loss falls fast and stays down. From
there the rate may be lowered: to a tenth whenever the validation loss has stopped to fall, or to nine tenths after
every epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell import schedules
from stepwell.book.lenet import Epoch, fit
from stepwell.book.section import Page, Section
from stepwell.lab import tasks
from stepwell.lab.task import Task
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Run, Trial
from stepwell.pages import plots

section = Section("practice", "Adam in practice", __doc__)

RATES = tuple(float(f"{10 ** (place / 2):.1g}") for place in range(-10, -1))  # 1e-5, 3e-5, … 1e-1
SWEEP, LONG = 8, 30  # epochs
PATIENCE = 3  # epochs without a better validation loss


@dataclass(frozen=True)
class Swept:
    """A rate's outcome, medians over seeds of the validation loss [nats]: after one epoch, at the end, the mean of the
    whole curve, and the most that it rose above the least value so far."""

    first: float
    last: float
    mean: float
    rise: float


def sweep(
    task: Task,
    rule: str = "adam",
    rates: Sequence[float] = RATES,
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int = SWEEP,
) -> dict[float, list[Run]]:
    """A few epochs at each rate: the runs by rate, in the order of the seeds."""
    steps = task.steps(epochs)
    return {lr: [train(task, Trial(rule, lr, seed, steps)) for seed in seeds] for lr in rates}


def losses(run: Run) -> np.ndarray:
    """The curve of a run, infinite where the loss was not finite."""
    return np.array([np.inf if x is None else x for x in run.curve["loss"]])


def outcome(task: Task, runs: Sequence[Run]) -> Swept:
    """What the runs at one rate came to; a loss that is not finite counts as infinite."""
    place = task.steps(1) // task.pace(runs[0].steps)
    found = []
    for run in runs:
        loss = losses(run)
        least = np.minimum.accumulate(loss)
        rise = float(np.max(loss - least)) if np.isfinite(loss).all() else np.inf
        found.append((loss[min(place, len(loss) - 1)], loss[-1], loss.mean(), rise))
    return Swept(*(float(np.median(values)) for values in zip(*found, strict=True)))


def pick(task: Task, swept: dict[float, list[Run]]) -> float:
    """The rate whose loss falls fast and stays down: the least mean over the curve, where slowness and swings tell."""
    return min(swept, key=lambda lr: outcome(task, swept[lr]).mean)


def decays(lr: float, steps: int) -> dict[str, Any]:
    """A constant rate, one that falls to nine tenths each epoch (of `steps` steps), one to a tenth on a plateau."""
    return {
        "constant": schedules.constant(lr),
        "× 0.9 each epoch": schedules.factor(0.9, rate=lr).per_epoch(steps),
        "a tenth on a plateau": schedules.reduce_on_plateau(lr, factor=0.1, patience=PATIENCE),
    }


def follow(task: Task, schedule: Any, seed: int, epochs: int = LONG) -> tuple[list[Epoch], list[float]]:
    """Adam on a schedule: the epochs, and the rate that each was trained at; a plateau is told the validation loss."""
    from stepwell.torch import Adam

    model = task.fresh(seed)
    optimizer = Adam(model.parameters(), lr=schedule)
    per_epoch, found, rates = task.steps(1), [], []
    for epoch in fit(model, optimizer, task.data, batch=task.batch, epochs=epochs, seed=seed):
        rates.append(float(schedule(len(found) * per_epoch)))
        found.append(epoch)
        if isinstance(schedule, schedules.reduce_on_plateau):
            schedule.update(epoch.test_loss)
    return found, rates


@section.experiment
def rate_sweep(page: Page) -> None:
    """Which rate? A sweep from 1e-5 to 1e-1, a few epochs each.

    Adam, the digits and a perceptron with two hidden layers; eight epochs at each rate. A rate is picked by the mean
    of the validation loss over all of its curve: too small a rate is still high at the end, too large a one goes up
    and down. The rise is the most that the loss ever stood above its least value so far.
    """
    task = tasks.digits()
    swept = sweep(task, seeds=range(page.options.seeds))
    found = {lr: outcome(task, runs) for lr, runs in swept.items()}
    picked = pick(task, swept)
    page.table(
        ["lr", "after 1 epoch [nats]", f"after {SWEEP} epochs [nats]", "mean of the curve [nats]", "rise [nats]", ""],
        [
            [f"{lr:g}", f"{each.first:.3f}", f"{each.last:.3f}", f"{each.mean:.3f}", f"{each.rise:.3f}",
             "picked" if lr == picked else ""]
            for lr, each in found.items()
        ],
    )  # fmt: skip
    page.measured("rate picked", f"{picked:g}")
    close = [lr for lr in found if found[lr].mean <= 1.5 * found[picked].mean]
    page.measured("rates whose mean is within half of the best one's", f"{min(close):g} to {max(close):g}")
    page.claim(
        "both ends of the sweep are worse than the rate between, by the loss at the end",
        found[picked].last < min(found[RATES[0]].last, found[RATES[-1]].last),
        f"{found[RATES[0]].last:.3f}, {found[picked].last:.3f}, {found[RATES[-1]].last:.3f} nats",
    )
    page.figure("rate_sweep", _sweep_figure(swept, found))


def _sweep_figure(swept: dict[float, list[Run]], found: dict[float, Swept]) -> Any:
    shown = [lr for lr in swept if f"{lr:e}".startswith("1")]
    curves = [
        plots.Line(f"{lr:g}", np.median([losses(run) for run in swept[lr]], axis=0), swept[lr][0].curve["step"])
        for lr in shown
        if all(run.loss is not None for run in swept[lr])
    ]
    ends = [
        plots.Line(name, [getattr(each, key) for each in found.values()], list(found), marker="o")
        for name, key in {
            "after 1 epoch": "first",
            f"after {SWEEP} epochs": "last",
            "mean of the curve": "mean",
        }.items()
    ]
    return plots.figure(
        "Adam on digits: a sweep of rates (medians over seeds)",
        plots.lines(curves, "The curves, by rate", "step", "validation loss [nats]", ylim=(0.0, 2.6)),
        plots.lines(ends, "What the sweep says", "learning rate", "validation loss [nats]", log="x", ylim=(0.0, 2.6)),
    )


@section.experiment
def lowering_the_rate(page: Page) -> None:
    """From the picked rate on: constant, nine tenths each epoch, and a tenth on a plateau.

    Adam on the digits for 30 epochs, from the rate that the sweep picks and from three times that. The plateau is the
    validation loss's: no better value for more than three epochs.
    """
    task, seeds = tasks.digits(), range(page.options.seeds)
    picked = pick(task, sweep(task, seeds=seeds[:2]))
    rows, panels = [], []
    for lr in (picked, 3 * picked):
        runs = {name: [follow(task, decays(lr, task.steps(1))[name], seed) for seed in seeds] for name in decays(lr, 1)}
        for name, each in runs.items():
            train_loss, loss, accuracy = (
                np.array([getattr(epochs[-1], key) for epochs, _ in each])
                for key in ("train_loss", "test_loss", "test_accuracy")
            )
            least = np.array([min(epoch.test_loss for epoch in epochs) for epochs, _ in each])
            rows.append([f"{lr:g}", name, f"{np.median(train_loss):.2g}", _range(loss), f"{np.median(least):.3f}",
                         _range(accuracy), f"{np.median([rates[-1] for _, rates in each]):.2g}"])  # fmt: skip
        panels += _decay_panels(lr, runs)
    page.table(
        ["first lr", "then", "training loss [nats]", "validation loss [nats]", "its least", "accuracy", "last lr"], rows
    )
    page.say("Median (and range over seeds) at the end of 30 epochs; the differences may be smaller than the ranges.")
    page.figure("lowering_the_rate", plots.figure("Adam on digits: what lowering the rate does", *panels))


def _range(values: np.ndarray) -> str:
    return f"{np.median(values):.3f} ({values.min():.3f} to {values.max():.3f})"


def _decay_panels(lr: float, runs: dict[str, list[tuple[list[Epoch], list[float]]]]) -> list[Any]:
    curves, rates = [], []
    for name, each in runs.items():
        values = np.array([[epoch.test_loss for epoch in epochs] for epochs, _ in each])
        at = np.arange(1, values.shape[1] + 1)
        curves.append(plots.Line(name, np.median(values, axis=0), at, None, values.min(axis=0), values.max(axis=0)))
        rates.append(plots.Line(name, np.median([rate for _, rate in each], axis=0), at))
    return [
        plots.lines(curves, f"From {lr:g}", "epoch", "validation loss [nats]", ylim=(0.05, 0.4)),
        plots.lines(rates, f"From {lr:g}", "epoch", "learning rate", log="y"),
    ]
