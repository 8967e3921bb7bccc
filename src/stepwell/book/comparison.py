"""SGD with momentum against Adam: a hypothesis of one of the book's sources, put to a test.

It says that Adam is ahead early on the training loss, that SGD with momentum ends ahead on validation, and that Adam's
validation curve swings more. A picture of one training shows one training. Here both have the same rates to choose
from, the same seeds and the same steps, and what came out is reported as it is: on this data, with this model.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import t as student

from stepwell.book.section import Page, Section
from stepwell.lab import tasks
from stepwell.lab.batches import Data
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.search import Search
from stepwell.lab.task import Task
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial
from stepwell.pages import plots

section = Section("comparison", "SGD with momentum against Adam", __doc__)

RULES = ("momentum", "adam")
RATES, SEARCHED = 5, 3  # rates of the grid around each rule's default, and the seeds by which they are compared
EPOCHS = 30


def curves(task: Task, rule: str, lr: float, seeds: range, epochs: int) -> dict[str, np.ndarray]:
    """Of one rule at one rate: "step", and "training" and "validation" loss and validation "accuracy", a row a seed.

    Measured are the same trainings twice, on the arrays trained on and on those held out.
    """
    trials = [Trial(rule, lr, seed, task.steps(epochs)) for seed in seeds]
    held = [train(task, trial).curve for trial in trials]
    own = replace(task, data=Data(task.data.inputs, task.data.targets, task.data.inputs, task.data.targets))
    trained = [train(own, trial).curve for trial in trials]
    return {
        "step": np.array(held[0]["step"]),
        "training": np.array([curve["loss"] for curve in trained], float),
        "validation": np.array([curve["loss"] for curve in held], float),
        "accuracy": np.array([curve["metric"] for curve in held], float),
    }


def swing(curve: np.ndarray) -> np.ndarray:
    """How much curves (…, measurements) go up and down: the sd of neighbours' differences in their last halves."""
    return np.diff(curve[..., curve.shape[-1] // 2 :]).std(axis=-1, ddof=1)


def paired(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float, int]:
    """Of values by seed: the mean of first - second, its 95 % interval (Student's t), and how often it is above 0."""
    gap = first - second
    if len(gap) < 2:
        return float(gap.mean()), -np.inf, np.inf, int((gap > 0).sum())
    half = float(student.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap)))
    return float(gap.mean()), float(gap.mean()) - half, float(gap.mean()) + half, int((gap > 0).sum())


def verdict(low: float, high: float) -> str:
    """What an interval of a difference says of a hypothesis that it is above 0."""
    if low > 0:
        return "as the hypothesis has it"
    return "the other way round" if high < 0 else "undecided"


@section.experiment
def early_and_late(page: Page) -> None:
    """Who is ahead early, who at the end, and whose validation curve swings.

    scikit-learn's digits and a perceptron with two hidden layers, batches of 64. Each rule takes the rate with the
    least median validation loss, of a grid of five around its default that goes on where the best is at its edge.
    Early is the first epoch, the end is the last: means over them. The swing of a curve is the standard deviation of
    the differences between neighbouring measurements in its last half. Differences are paired by seed: same weights
    to begin with, same order of data; the interval is Student's, 95 %.
    """
    task, seeds = tasks.digits(), range(page.options.seeds)
    results = Results.of(search := Search(task, RULES, RATES, min(len(seeds), SEARCHED), EPOCHS, workers=1))
    tried = len(list(results.gather(search)))
    rates = {name: runs[0].lr for name, runs in results.best().items()}
    page.say(
        f"{task.about}; {EPOCHS} epochs. {tried} trainings, with the first of the seeds, chose the rates: "
        + _words(rates)
        + "."
    )
    found = {rule: curves(task, rule, rates[rule], seeds, EPOCHS) for rule in RULES}
    momentum, adam = found["momentum"], found["adam"]
    early, late = momentum["step"] <= task.steps(1), momentum["step"] > task.steps(EPOCHS - 1)
    hypotheses = {
        "Adam leads early: training loss, momentum - Adam [nats]":
            paired(momentum["training"][:, early].mean(axis=1), adam["training"][:, early].mean(axis=1)),
        "momentum ends ahead: validation loss, Adam - momentum [nats]":
            paired(adam["validation"][:, late].mean(axis=1), momentum["validation"][:, late].mean(axis=1)),
        "momentum ends ahead: validation accuracy, momentum - Adam":
            paired(momentum["accuracy"][:, late].mean(axis=1), adam["accuracy"][:, late].mean(axis=1)),
        "Adam swings more: validation loss, Adam - momentum [nats]":
            paired(swing(adam["validation"]), swing(momentum["validation"])),
        "Adam swings more: validation accuracy, Adam - momentum":
            paired(swing(adam["accuracy"]), swing(momentum["accuracy"])),
    }  # fmt: skip
    page.table(
        ["hypothesis: the difference is above 0", "mean", "95 % interval", "seeds above 0", "found"],
        [
            [what, f"{mean:.4f}", f"{low:.4f} to {high:.4f}", f"{count} of {len(seeds)}", verdict(low, high)]
            for what, (mean, low, high, count) in hypotheses.items()
        ],
    )
    for rule in RULES:
        last = {name: np.median(found[rule][name][:, -1]) for name in ("training", "validation", "accuracy")}
        page.measured(
            f"{rule}, lr {rates[rule]:g}: last training loss, validation loss [nats], accuracy (medians)",
            f"{last['training']:.2g}, {last['validation']:.4f}, {last['accuracy']:.4f}",
        )
    page.say("A hypothesis was tested, on one small task; another task may answer otherwise.")
    page.figure("early_and_late", _figure(found, rates))


def _words(rates: dict[str, float]) -> str:
    return ", ".join(f"{name} {lr:g}" for name, lr in rates.items())


def _figure(found: dict[str, dict[str, np.ndarray]], rates: dict[str, float]) -> Any:
    def panel(name: str, title: str, y: str, **more: Any) -> Any:
        lines = [
            plots.Line(
                f"{rule}, lr {rates[rule]:g}", np.median(each[name], axis=0), each["step"], rule,
                each[name].min(axis=0), each[name].max(axis=0),
            )
            for rule, each in found.items()
        ]  # fmt: skip
        return plots.lines(lines, title, "step", y, **more)

    return plots.figure(
        "SGD with momentum against Adam on digits: median and range over seeds",
        panel("training", "Training", "loss [nats]", log="y"),
        panel("validation", "Validation", "loss [nats]", log="y"),
        panel("accuracy", "Validation, from 0.85 on", "accuracy", ylim=(0.85, 1.0)),
        columns=3,
    )
