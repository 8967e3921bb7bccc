"""Linear regression on NASA's airfoil noise on the book's pages: its settings, their bands, their curves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.book.loops import Training as Training
from stepwell.book.loops import class_of
from stepwell.book.loops import concise as concise
from stepwell.book.loops import from_scratch as from_scratch
from stepwell.book.loops import permutation as permutation
from stepwell.book.section import Page
from stepwell.lab import tasks
from stepwell.lab.task import Task
from stepwell.pages import plots
from stepwell.rule import Rule

EDGE = "at most 0.2482"  # the band of Adadelta, Adam and Yogi
SAME = 1e-5  # how far two trainings by one formula may be apart in float32, in units of the loss


@dataclass(frozen=True)
class Setting:
    """A training of the book.

    Attributes:
        what: what its page calls it.
        rule, hyper: the rule and its hyperparameters; `batch` and `epochs` among them where they are not 10 and 2.
        edges: the band of the last loss, as it is printed.
    """

    what: str
    rule: Rule
    hyper: Mapping[str, Any]
    edges: str


def load(page: Page) -> Task:
    """The data: five features and a label, standardized over all 1503 rows, of which the first 1500 are used."""
    return tasks.airfoil(page.options.data)


def band(page: Page, what: str, train: Callable[[int], Training], edges: str) -> list[Training]:
    """The trainings of all seeds, and a line: their last losses beside the book's band, `edges` as it is printed."""
    runs = [train(seed) for seed in range(page.options.seeds)]
    page.band(f"{what}: loss after {runs[0].epochs[-1]:g} epochs", [run.loss for run in runs], edges)
    return runs


def both(
    page: Page, task: Task, setting: Setting, named: Callable[[int], Training] | None = None, called: str = "concise"
) -> tuple[list[Training], list[Training]]:
    """A setting's trainings from scratch and concise, inside its band and each other's equal.

    `named` is the concise training by a class that is not the rule's own; `called` is what the page calls it.
    """
    framework = page.options.framework

    def scratch(seed: int) -> Training:
        return from_scratch(task, setting.rule, seed, framework=framework, **setting.hyper)

    def short(seed: int) -> Training:
        return concise(task, class_of(setting.rule, framework), seed, framework=framework, **setting.hyper)

    before = f"{setting.what}, " if setting.what else ""
    runs = band(page, f"{before}from scratch", scratch, setting.edges)
    shorts = band(page, f"{before}{called}", named or short, setting.edges)
    same(page, setting.what or "rule and class", runs, shorts)
    return runs, shorts


def elsewhere(page: Page, settings: Sequence[Setting]) -> None:
    """A section's trainings in the framework asked for: the rule on its tensors, and its door's class."""
    task, name = load(page), page.options.framework
    page.title, curves = f"Airfoil in {name}, from scratch and concise.", []
    for setting in settings:
        runs, _ = both(page, task, setting)
        curves.append(curve(setting.what or setting.rule.name, runs, None if setting.what else setting.rule.name))
    page.figure(
        "training", plots.figure(f"Airfoil in {name}: median and range over seeds", panel(task, "from scratch", curves))
    )


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
