"""Minibatches: between the gradient of all samples, which costs an epoch, and that of one, which wastes the machine.

A processor multiplies matrices much faster than it does the same sums one by one, and the mean of b gradients has 1/√b
of one gradient's noise. So a batch should be as large as the machine needs to be busy, and not much larger.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stepwell import rules
from stepwell.book import airfoil
from stepwell.book.section import Page, Section
from stepwell.functions import minimize, surfaces, theory
from stepwell.lab.batches import Data
from stepwell.lab.task import Task
from stepwell.lab.training.plain import one_thread
from stepwell.pages import plots

section = Section("minibatch", "Minibatch stochastic gradient descent", __doc__)
SIZE, BLOCK = 256, 64
SETTINGS = [
    airfoil.Setting(what, rules.gradient_descent, hyper, edges)
    for what, hyper, edges in (
        ("gradient descent, η = 1", {"lr": 1.0, "batch": 1500, "epochs": 10}, "0.242 to 0.261"),
        ("b = 1, η = .005", {"lr": 0.005, "batch": 1}, "0.242 to 0.256"),
        ("b = 100, η = .4", {"lr": 0.4, "batch": 100}, "0.242 to 0.263"),
        ("b = 10, η = .05", {"lr": 0.05, "batch": 10}, "0.242 to 0.257"),
    )
]


@section.experiment
def product(page: Page) -> None:
    """A product of 256×256 matrices by element, by column, whole, and by blocks of 64 columns, on one thread.

    The sums are the same, 2·256³ floating-point operations; what differs is how many calls they take, and how often
    what is in the cache is used. Times are this machine's, medians of repeats.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    A, B, C = (torch.randn(SIZE, SIZE, generator=generator) for _ in range(3))

    def by_element() -> None:
        for i in range(SIZE):
            for j in range(SIZE):
                A[i, j] = torch.dot(B[i], C[:, j])

    def by_column() -> None:
        for j in range(SIZE):
            A[:, j] = torch.mv(B, C[:, j])

    def whole() -> None:
        torch.mm(B, C, out=A)

    def by_block() -> None:
        for j in range(0, SIZE, BLOCK):
            A[:, j : j + BLOCK] = torch.mm(B, C[:, j : j + BLOCK])

    ways = {
        "by element": (by_element, 3),
        "by column": (by_column, 15),
        "whole": (whole, 51),
        "by block": (by_block, 51),
    }
    with one_thread():
        seconds, apart = {}, []
        for name, (way, repeats) in ways.items():
            A.zero_()
            way()
            apart.append((A.double() - B.double() @ C.double()).abs().max().item())
            seconds[name] = _median(way, repeats)
    speed = {name: 2 * SIZE**3 / s / 1e9 for name, s in seconds.items()}
    rows = [(name, f"{1000 * seconds[name]:.3g}", f"{speed[name]:.3g}") for name in ways]
    page.table(["256×256 product", "ms (this machine)", "Gflop/s = .0336/s"], rows)
    page.claim("all four are B·C", max(apart) < 1e-3, f"elements at most {max(apart):.0e} off")
    order = speed["by block"] > speed["by column"] > speed["by element"] and speed["whole"] > speed["by column"]
    page.claim("whole and by block > by column > by element (this machine)", order)
    ratio = speed["by block"] / speed["whole"]
    page.measured("by block ≈ whole: its share of the speed (this machine)", ratio)
    bars = plots.bars(speed, "one thread of this machine", "Gflop/s", log=True)
    page.figure("product", plots.figure("The same 33.6 million operations, in four ways", bars))


def _median(way: Callable[[], None], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        way()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def quadratic(task: Task) -> surfaces.Surface:
    """The training loss as a function of the five weights and the bias: ½wᵀHw - cᵀw + b."""
    x, y = _arrays(task)
    return surfaces.quadratic(x.T @ x / len(x), -x.T @ y / len(x), float(np.mean(y**2) / 2), name="airfoil")


def _arrays(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """The features with a column of ones, and the labels."""
    x, y = task.data.inputs.astype(np.float64), task.data.targets[:, 0].astype(np.float64)
    return np.column_stack([x, np.ones(len(x))]), y


@section.experiment
def problem(page: Page) -> None:
    """The problem: airfoil noise, 1500 samples of five features, and a loss that is a quadratic in six numbers."""
    task = airfoil.load(page)
    loss = quadratic(task)
    H = loss.hessian(loss.minima[0])
    curvatures = np.linalg.eigvalsh(H)
    page.number("least-squares loss", loss(loss.minima[0]), ".241688")
    page.number("loss at zero weights", loss(np.zeros(6)), ".493259")
    page.number("curvature: least and largest eigenvalue of the Hessian", curvatures[[0, -1]], ".1737, 2.0985")
    page.number("condition number", theory.condition_number(H), "12.08")
    limit = theory.stability_limit("gradient_descent") / curvatures[-1]
    page.number("gradient descent is stable below η", limit, ".953")
    paths = {lr: minimize(loss, np.zeros(6), lr=lr, steps=100).path for lr in (0.5, 0.95, 1.0)}
    runs = {lr: loss(path) - loss.minimum for lr, path in paths.items()}
    first, tenth, hundredth = runs[1.0][[0, 10, 100]]
    page.claim("at the book's η = 1 the loss falls, and then rises without end",
               first > tenth and hundredth > 1e3 * first,
               f"above the least: {first:.3f}, after 10 steps {tenth:.4f}, after 100 {hundredth:.0f}")  # fmt: skip
    page.claim("below the limit it converges", runs[0.95][100] < 1e-3, f"{runs[0.95][100]:.1e} after 100 at η = .95")
    curves = [plots.Line(f"η = {lr:g}", values) for lr, values in runs.items()]
    panel = plots.lines(curves, f"stable below η = 2/λ = {limit:.3f}", "step", "loss - least loss", log="y")
    page.figure("problem", plots.figure("Gradient descent on the airfoil data", panel))


@section.in_any_framework
def framework(page: Page) -> None:
    """Airfoil in the framework asked for, from scratch and concise."""
    airfoil.elsewhere(page, SETTINGS)


@section.experiment
def training(page: Page) -> None:
    """Four batch sizes, each at the book's rate: gradient descent for 10 epochs, the others for 2.

    Gradient descent's rate of 1 lies above the stability limit .953: ten steps are too few for it to show.
    """
    from stepwell.torch import SGD

    task, curves, times = airfoil.load(page), [], []
    for setting in SETTINGS:
        name, hyper = setting.what, setting.hyper
        _, short = airfoil.both(page, task, setting, lambda seed, own=hyper: airfoil.concise(task, SGD, seed, **own))
        page.measured(f"{name}: ms an epoch (this machine)", statistics.median(_epoch(run) for run in short))
        curves.append(airfoil.curve(name, short))
        times.append(airfoil.curve(name, short, x="milliseconds"))
    panels = [
        airfoil.panel(task, "against data seen", curves, log="x"),
        airfoil.panel(task, "against time (this machine)", times, "milliseconds of training", log="x"),
    ]
    page.figure("training", plots.figure("Airfoil: median and range over seeds", *panels))


def _epoch(run: airfoil.Training) -> float:
    return 1000 * run.seconds[-1] / run.epochs[-1]


@section.experiment
def gradient_noise(page: Page) -> None:
    """The gradient of a minibatch is right on average, and its standard deviation falls as 1/√b.

    At zero weights, 2000 minibatches of each size. Without replacement it falls faster, by √((n-b)/(n-1)), to nothing
    at b = n.
    """
    x, y = _arrays(airfoil.load(page))
    each, n, rng = -y[:, None] * x, len(x), np.random.default_rng(0)
    sizes, draws = np.array([1, 3, 10, 30, 100, 300, 1000]), 2000
    spread: dict[str, list[float]] = {"with replacement": [], "without": []}
    off = []
    for b in sizes:
        for name, counts in {
            "with replacement": rng.multinomial(b, np.full(n, 1 / n), size=draws),
            "without": rng.multivariate_hypergeometric(np.ones(n, int), b, size=draws, method="count"),
        }.items():
            gradients = counts @ each / b
            spread[name].append(float(np.sqrt(gradients.var(axis=0).sum())))
            standard_error = gradients.std(axis=0) / np.sqrt(draws)
            off.append(np.abs((gradients.mean(axis=0) - each.mean(axis=0)) / standard_error).max())
    root = np.sqrt(each.var(axis=0).sum() / sizes)
    finite = root * np.sqrt((n - sizes) / (n - 1))
    slope = np.polyfit(np.log(sizes), np.log(spread["with replacement"]), 1)[0]
    page.claim("E of a minibatch's gradient = the gradient", max(off) < 4.5,
               f"at most {max(off):.1f} standard errors off in {6 * len(off)} comparisons")  # fmt: skip
    page.claim("its sd falls as b^-½", abs(slope + 0.5) < 0.01, f"b^{slope:.3f}")
    page.claim("without replacement as √((n-b)/(n-1))·b^-½", np.allclose(spread["without"], finite, rtol=0.05))
    curves = [
        *(plots.Line(name, values, sizes, marker="o") for name, values in spread.items()),
        plots.Line("sd of one / √b", root, sizes),
        plots.Line("… · √((n-b)/(n-1))", finite, sizes),
    ]
    panel = plots.lines(curves, "airfoil, zero weights", "batch size b", "sd of the gradient", log="xy")
    page.figure("noise", plots.figure("More samples, less noise", panel))


@section.experiment
def batch_and_rate(page: Page) -> None:
    """Exercise: the loss after two epochs for each batch size and learning rate.

    The best rate grows with the batch, since less noise allows a longer step, until curvature forbids more.
    """
    task = airfoil.load(page)
    sizes, rates = (3, 10, 30, 100, 300), 0.002 * 2.0 ** np.arange(10)
    gaps = np.array(
        [
            [airfoil.from_scratch(task, rules.gradient_descent, lr=lr, batch=b).loss - task.lowest for b in sizes]
            for lr in rates
        ]
    )
    gaps = np.where(gaps < 1, gaps, 1.0)  # NaN, too
    best, least = rates[gaps.argmin(axis=0)], task.lowest + gaps.min(axis=0)
    rows = [(b, f"{lr:g}", f"{loss:.4f}") for b, lr, loss in zip(sizes, best, least, strict=True)]
    page.table(["batch", "best η", "loss there"], rows)
    page.claim("the best rate grows with the batch", bool(np.all(np.diff(best) >= 0) and best[-1] >= 16 * best[0]))
    labels = ("log₁₀ batch size", "log₁₀ learning rate", "log₁₀(loss - least loss)")
    panel = plots.heat(np.log10(sizes), np.log10(rates), np.log10(gaps), "two epochs of airfoil, one seed", labels)
    page.figure("batch_and_rate", plots.figure("Larger batches bear larger rates, and need them", panel))


@section.experiment
def sampling(page: Page) -> None:
    """Exercise: sampling with replacement, and a data set that a genie has doubled.

    With replacement a batch may hold a sample twice, and an epoch misses a third of them. Doubling the data changes no
    gradient of the whole, only how many steps an epoch has.
    """
    task, n, seeds = airfoil.load(page), 1500, range(20)
    drawn = np.random.default_rng(0).integers(n, size=(20_000, 10))
    share = float(np.mean([len(set(row)) < 10 for row in drawn.tolist()]))
    chance = 1 - float(np.prod(1 - np.arange(10) / n))
    page.claim("a batch of 10 holds a sample twice with probability 1 - Π(1 - i/n)", abs(share - chance) < 0.004,
               f"{share:.4f} of 20 000, expected {chance:.4f}")  # fmt: skip
    orders = {"without": airfoil.permutation, "with replacement": lambda generator, n: generator.integers(n, size=n)}
    for name, order in orders.items():
        ends = [
            airfoil.from_scratch(task, rules.gradient_descent, s, lr=0.05, order=order).loss - task.lowest
            for s in seeds
        ]
        page.measured(f"b = 10, η = .05, {name}: loss - least loss, mean of 20 seeds", float(np.mean(ends)))
    page.say("At a constant rate the noise of the last steps hides what sampling without replacement gains.")
    data = {name: np.concatenate([array, array]) for name, array in vars(task.data).items()}
    doubled = replace(task, data=Data(**data))
    once, twice = (
        [airfoil.from_scratch(t, rules.gradient_descent, batch=b, lr=0.5, epochs=10)]
        for t, b in ((task, n), (doubled, 2 * n))
    )
    airfoil.same(page, "gradient descent on the data, and on the data doubled", once, twice)
