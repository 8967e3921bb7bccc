"""Schedules: the learning rate as a function of time.

A rate that is right at the beginning is too large at the end, where steps of one size keep the parameters jumping about
the minimum; one that falls too soon stops short of it. Schedules are pure functions of the step here, so that a plot
changes nothing, and a training can go on where it was left.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from stepwell import schedules
from stepwell.book.lenet import Epoch, Images, fit, images, lenet
from stepwell.book.section import Page, Section
from stepwell.functions import minimize, surfaces
from stepwell.lab import tasks
from stepwell.lab.names import count
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial
from stepwell.pages import plots
from stepwell.schedules import Schedule

section = Section("schedules", "Learning-rate schedules", __doc__)

SQUARE_ROOT = schedules.inverse_sqrt(0.1)
FACTOR = schedules.factor(0.9, rate=2.0, floor=1e-2, start=1)
MULTI_FACTOR = schedules.multi_factor([15, 30], factor=0.5, rate=0.5)
COSINE = schedules.cosine(20, rate=0.3, end=0.01)
WARM_COSINE = schedules.warmup(5, 0.3).then(schedules.cosine(15, rate=0.3, end=0.01))

TRAINED: dict[str, Schedule] = {
    "constant": schedules.constant(0.3),
    "square root": SQUARE_ROOT,
    "factor": schedules.factor(0.9, rate=0.3, floor=1e-2),  # the book draws its own, from 1.8, and trains with none
    "multi-factor": MULTI_FACTOR,
    "cosine": COSINE,
    "warmup, cosine": WARM_COSINE,
}
Tried = dict[float, np.ndarray]
LEARNT = 0.5  # training accuracy; below it a training has got stuck


@section.experiment
def every_schedule(page: Page) -> None:
    """The book's schedules, epoch by epoch."""
    page.number("square root, η₀ = 0.1: t = 29", SQUARE_ROOT(29), ".018257")
    page.number("factor 0.9 from 2, floor 0.01: first and fiftieth", [FACTOR(0), FACTOR(49)], "1.8, .010308")
    page.number("multi-factor: t = 0, 14, 15, 29", [MULTI_FACTOR(t) for t in (0, 14, 15, 29)], ".5, .5, .25, .25")
    page.number("cosine, 20 epochs from 0.3 to 0.01: t = 0, 10, 20", [COSINE(t) for t in (0, 10, 20)], ".3, .155, .01")
    page.number("warmup of 5 epochs: t = 0 to 5", [WARM_COSINE(t) for t in range(6)], "0, .06, .12, .18, .24, .3")
    lengths = {"square root": (SQUARE_ROOT, 30), "factor": (FACTOR, 50), "multi-factor": (MULTI_FACTOR, 35),
               "cosine": (COSINE, 30), "warmup, then cosine": (WARM_COSINE, 30)}  # fmt: skip
    panels = [
        plots.lines([plots.Line("", schedule(np.arange(n)))], name, "epoch", "learning rate")
        for name, (schedule, n) in lengths.items()
    ]
    page.figure("every_schedule", plots.figure("The book's schedules", *panels, columns=3, size=(4.2, 3.0)))


def learn(task: Images, schedule: Schedule, seed: int) -> list[Epoch]:
    """LeNet and SGD, the rate a schedule of epochs."""
    from stepwell.torch import SGD

    model = lenet(seed)
    optimizer = SGD(model.parameters(), lr=schedule.per_epoch(task.steps))
    return list(fit(model, optimizer, task.data, batch=task.batch, epochs=task.epochs, seed=seed))


def curve(runs: list[list[Epoch]], name: str) -> np.ndarray:
    """One of an epoch's numbers: a row a run, a column an epoch."""
    return np.array([[getattr(epoch, name) for epoch in run] for run in runs])


@section.experiment
def lenet_on_images(page: Page) -> None:
    """LeNet on each schedule: how well it learns, and how much better on what it has seen.

    ReLU and max-pooling, SGD without momentum, 20 epochs (with --full the book's 30); the schedules count epochs.
    The book finds that a constant rate overfits and the schedules do less: that is what the gap between training and
    test accuracy is measured for. At rates like these a training may get stuck at its beginning (training accuracy
    below a half at the end): such ones are counted, and left out of the medians. At most three seeds.
    """
    task = images(page.options)
    page.say(
        f"Trained on {task.name}; batches of {task.batch}, {task.epochs} epochs, {count(len(task.seeds), 'seed')}."
    )
    runs = {name: [learn(task, schedule, seed) for seed in task.seeds] for name, schedule in TRAINED.items()}
    rows, gaps = [], {}
    for name, all_ in runs.items():
        learnt = [run for run in all_ if run[-1].train_accuracy >= LEARNT]
        if learnt:
            last = {key: np.median(curve(learnt, key)[:, -1]) for key in vars(learnt[0][-1])}
            gap = curve(learnt, "train_accuracy")[:, -1] - curve(learnt, "test_accuracy")[:, -1]
            gaps[name] = float(np.median(gap))
            found = [f"{last['train_loss']:.2g}", f"{last['train_accuracy']:.3f}", f"{last['test_accuracy']:.3f}",
                     f"{last['test_loss']:.2g}", f"{gaps[name]:.3f} ({gap.min():.3f} to {gap.max():.3f})"]  # fmt: skip
        else:
            found = ["-"] * 5
        rows.append([name, f"{len(learnt)} of {len(all_)}", *found])
    page.table(
        ["schedule", "learnt", "training loss [nats]", "training accuracy", "test accuracy", "test loss [nats]", "gap"],
        rows,
    )
    if "constant" in gaps and len(gaps) > 1:
        less = [name for name in gaps if name != "constant" and gaps[name] < gaps["constant"]]
        page.measured(
            "schedules whose gap between training and test accuracy is less than the constant rate's",
            f"{len(less)} of {len(gaps) - 1}" + (f": {'; '.join(less)}" if less else ""),
        )
    page.figure("lenet_on_images", _lenet_figure(task, runs))


def _lenet_figure(task: Images, runs: dict[str, list[list[Epoch]]]) -> Any:
    at = np.arange(1, task.epochs + 1)

    def panel(key: str, title: str, y: str, log: str = "") -> Any:
        lines = [plots.Line(name, np.median(curve(all_, key), axis=0), at) for name, all_ in runs.items()]
        return plots.lines(lines, title, "epoch", y, log=log)

    return plots.figure(
        "LeNet and SGD: medians over all seeds, stuck or not",
        panel("train_loss", "Training", "loss [nats]", "y"),
        panel("train_accuracy", "Training", "accuracy"),
        panel("test_accuracy", "Test", "accuracy"),
        columns=3,
    )


def tried(lr: float | Callable[[int], float], seeds: range, epochs: int = 10) -> np.ndarray:
    """The digits' perceptron and SGD, with a rate or a schedule of steps: validation losses [nats], a seed each."""
    rate = lr if callable(lr) else schedules.constant(lr)
    task = replace(tasks.digits(), schedule=lambda steps: rate)
    return np.array([train(task, Trial("gradient_descent", 1.0, seed, task.steps(epochs))).cost for seed in seeds])


@section.experiment
def exercises(page: Page) -> None:
    """The best fixed rate, the exponent of a polynomial decay, the length of a warmup: one varied at a time.

    The digits' perceptron (it learns in a second what takes LeNet a minute), SGD, batches of 64, 10 epochs.
    The decay is 0.7·(1 + t/20)^(-α), t in steps; the warmup leads to 0.7, too. A range over seeds that is wide tells of
    trainings that got stuck.
    """
    seeds, steps = range(page.options.seeds), tasks.digits().steps(10)
    rates = (0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
    fixed: Tried = {lr: tried(lr, seeds) for lr in rates}
    decay: Tried = {a: tried(0.7 * schedules.polynomial(a, 0.05), seeds) for a in (0.1, 0.25, 0.5, 0.75, 1.0)}
    warm: Tried = {
        n: tried(0.7 * schedules.warmup(n).then(schedules.cosine(steps - n)), seeds) for n in (0, 10, 25, 50, 100, 200)
    }
    panels = []
    for title, axis, found in (
        ("Fixed rate", "learning rate", fixed),
        ("Decay from 0.7", "exponent α", decay),
        ("Warmup to 0.7, then cosine", "warmup [steps]", warm),
    ):
        median = {x: float(np.median(losses)) for x, losses in found.items()}
        best = min(median, key=lambda x: median[x])
        page.measured(
            f"{title}: {axis} with the least validation loss",
            f"{best:g} ({median[best]:.3f} nats; {min(found[best]):.3f} to {max(found[best]):.3f} over seeds)",
        )
        low, high = ([f(losses) for losses in found.values()] for f in (np.min, np.max))
        line = plots.Line("median and range", list(median.values()), list(median), None, low, high, "o")
        panels.append(plots.lines([line], title, axis, "validation loss [nats]", ylim=(0.0, 2.5)))
    page.figure("exercises", plots.figure("Digits, perceptron, SGD, 10 epochs", *panels, columns=3, size=(4.4, 3.4)))


@section.experiment
def distance_from_optimum(page: Page) -> None:
    """How far from the minimum? Schedules on x₁² + 2x₂² with N(0, 1) noise on the gradient, 200 runs of each.

    A constant rate soon stands still at a distance that its own size decides; along an axis of curvature λ it is
    √(η / (2λ - ηλ²)) in standard deviations. An exponential decay stops where it happens to be, a polynomial one
    goes on.
    """
    start, steps, lr = np.tile([-5.0, -2.0], (200, 1)), 3000, 0.1
    rates: dict[str, Any] = {
        "constant": lr, "exponential, e^(-t/100)": schedules.exponential(0.01, lr),
        "polynomial, α = ½": schedules.polynomial(0.5, 0.1, lr),
        "polynomial, α = 1": schedules.polynomial(1.0, 0.1, lr),
    }  # fmt: skip
    curves, rows = [], []
    for name, rate in rates.items():
        path = minimize(surfaces.bowl, start, lr=rate, steps=steps, noise=1.0).path
        distance = np.sqrt((path**2).sum(axis=-1).mean(axis=-1))
        curves.append(plots.Line(name, distance[1:], np.arange(1, steps + 1)))
        rows.append([name, *[f"{distance[t]:.4f}" for t in (30, 300, steps)]])
    expected = np.sqrt(sum(lr / (2 * curvature - lr * curvature**2) for curvature in (2.0, 4.0)))
    page.table(["schedule", "t = 30", "t = 300", f"t = {steps}"], rows)
    found = float(np.sqrt(np.mean(curves[0].y[-1000:] ** 2)))
    page.claim(
        "a constant rate stands still at the distance that theory gives", abs(found / expected - 1) < 0.02,
        f"{found:.4f}; theory {expected:.4f}",
    )  # fmt: skip
    panel = plots.lines(curves, "Root mean square over 200 runs", "step", "distance from the minimum", log="xy")
    page.figure("distance_from_optimum", plots.figure("Distance from the minimum, by schedule", panel, size=(7, 4.4)))


double_well = surfaces.Surface(
    "double_well", "(x²-1)², two minima", lambda x: (x**2 - 1) ** 2, domain=((-2.0, 2.0),), minima=((-1.0,), (1.0,))
)


def langevin(surface: surfaces.Surface, temperature: float, *, lr: float = 0.005, steps: int = 6000) -> np.ndarray:
    """Samples of e^(-f/T) by stochastic-gradient Langevin dynamics: x ← x - η∇f + √(2ηT)·N(0, 1), after Welling & Teh
    (2011), <https://dl.acm.org/doi/10.5555/3104482.3104568>. 400 particles, evenly spread over the domain to begin
    with; the second half of their paths is kept.
    """
    start = np.linspace(*surface.domain[0], 400)[:, None]
    noise = np.sqrt(2 * temperature / lr)  # on the gradient, so that η times it is √(2ηT)
    return minimize(surface, start, lr=lr, steps=steps, noise=noise).path[steps // 2 :].ravel()


def density(surface: surfaces.Surface, temperature: float, edges: np.ndarray) -> np.ndarray:
    """The share of e^(-f/T) in each bin."""
    fine = np.linspace(edges[:-1], edges[1:], 41)[..., None]
    mass = np.exp(-surface(fine) / temperature).mean(axis=0)
    return mass / mass.sum()


@section.experiment
def langevin_dynamics(page: Page) -> None:
    """Noise as a sampler: stochastic-gradient Langevin dynamics in two wells.

    With noise of variance 2ηT beside a step of size η, gradient descent does not end: where it is found is distributed
    as e^(-f/T). On (x² - 1)² the share of time in each of 60 bins is compared with that density. The distance is the
    total variation, half the sum of the differences: 0 is the same, 1 is disjoint. A wrong temperature is put beside.
    """
    edges = np.linspace(-2.2, 2.2, 61)
    middles, panels, rows = (edges[1:] + edges[:-1]) / 2, [], []
    for temperature in (0.5, 0.25):
        samples = langevin(double_well, temperature)
        share = np.histogram(samples, edges)[0] / len(samples)
        expected = density(double_well, temperature, edges)
        distance, other = (
            float(abs(share - density(double_well, t, edges)).sum() / 2) for t in (temperature, temperature / 2)
        )
        energy = float(double_well(samples[:, None]).mean())
        rows.append([temperature, f"{energy:.4f}", f"{(double_well(middles[:, None]) * expected).sum():.4f}",
                     f"{distance:.4f}", f"{other:.4f}"])  # fmt: skip
        page.claim(
            f"T = {temperature:g}: samples are distributed as e^(-f/T)", distance < 0.03, f"distance {distance:.4f}"
        )
        lines = [plots.Line("found", share, middles), plots.Line("e^(-f/T)", expected, middles)]
        panels.append(plots.lines(lines, f"T = {temperature:g}", "x", "share of time in a bin"))
    page.table(["T", "mean f", "of the density", "distance", "distance from the density of T/2"], rows)
    page.figure("langevin_dynamics", plots.figure("Langevin dynamics on (x² - 1)²", *panels))
