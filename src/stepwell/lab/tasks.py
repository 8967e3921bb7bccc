"""What is trained: a task holds its data and makes, for each run, a fresh model.

A function from a place for data (or None) to a task makes one; `named` has those that come along.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stepwell.lab import data

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Data:
    """What is trained on, and what the runs are measured on."""

    inputs: np.ndarray
    targets: np.ndarray
    measured_inputs: np.ndarray
    measured_targets: np.ndarray


@dataclass(frozen=True)
class Goal:
    """When a run has got there: `metric`, "loss" or "accuracy", is as good as `value`; `words` say it in a table."""

    metric: str
    value: float
    words: str

    def reached(self, loss: float, accuracy: float | None) -> bool:
        """Whether these measurements are good enough; NaN is not."""
        return loss <= self.value if self.metric == "loss" else accuracy is not None and accuracy >= self.value


@dataclass(frozen=True)
class Task:
    """A training, all but its optimizer.

    Attributes:
        name, about: what it is called, and in a sentence what is trained on what.
        data: arrays to train on and to measure on.
        model: from a seed to a fresh model, equal for equal seeds.
        loss: mean loss of a model's outputs against targets.
        accuracy: the share of right outputs, or None where there is no such thing.
        measured: what the loss on the measured arrays is called, with its unit.
        lowest: the least loss there can be; pictures show the loss above it.
        batch, epochs, every: rows a step, passes over the data, steps between measurements.

    The functions are a module's own, so that a worker process can find them.
    """

    name: str
    about: str
    data: Data
    model: Callable[[int], "nn.Module"]
    loss: Callable[[Any, Any], "Tensor"]
    accuracy: Callable[[Any, Any], "Tensor"] | None
    measured: str
    goal: Goal
    batch: int
    epochs: int
    every: int
    lowest: float = 0.0

    def steps(self, epochs: int) -> int:
        """How many steps that many epochs take."""
        return epochs * -(-len(self.data.inputs) // self.batch)


def digits(place: Path | None = None) -> Task:
    """scikit-learn's handwritten digits, 8×8 pixels, and a perceptron with two hidden layers."""
    if place is not None:
        raise data.DataError("digits comes with scikit-learn; it is read from nowhere else, so --data does not apply")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    rows, held = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    return Task(
        name="digits",
        about="scikit-learn digits, perceptron 64-64-64-10 (ReLU); 1437 images to train on, 360 to validate on, "
        "drawn once (stratified, the same for every run)",
        data=Data(pixels[rows], labels[rows], pixels[held], labels[held]),
        model=partial(_seeded, _perceptron),
        loss=_cross_entropy,
        accuracy=_accuracy,
        measured="validation loss [nats]",
        goal=Goal("accuracy", 0.95, "95 % accuracy"),
        batch=64,
        epochs=15,
        every=5,
    )


def airfoil(place: Path | None = None) -> Task:
    """NASA's airfoil noise and linear regression: the training of Dive into Deep Learning's optimization chapter."""
    table = np.loadtxt(io.BytesIO(data.read(data.AIRFOIL, place)), dtype=np.float64)
    table = ((table - table.mean(axis=0)) / table.std(axis=0))[:1500]
    x, y = table[:, :-1].astype(np.float32), table[:, -1:].astype(np.float32)
    lowest = _least_squares(table)
    return Task(
        name="airfoil",
        about="NASA airfoil self-noise, standardized, first 1500 rows; linear regression, loss ½(ŷ - y)², measured on "
        f"all rows trained on; the least it can be is {lowest:.6f}",
        data=Data(x, y, x, y),
        model=partial(_seeded, _linear),
        loss=_half_squared_error,
        accuracy=None,
        measured="training loss",
        goal=Goal("loss", 1.05 * lowest, "5 % above least"),
        batch=10,
        epochs=2,
        every=20,
        lowest=lowest,
    )


named: dict[str, Callable[[Path | None], Task]] = {maker.__name__: maker for maker in (digits, airfoil)}


def _least_squares(table: np.ndarray) -> float:
    inputs = np.column_stack([table[:, :-1], np.ones(len(table))])
    best = np.linalg.lstsq(inputs, table[:, -1], rcond=None)[0]
    return float(np.mean((inputs @ best - table[:, -1]) ** 2) / 2)


def _seeded(make: Callable[[], "nn.Module"], seed: int) -> "nn.Module":
    import torch

    with torch.random.fork_rng(devices=[]):  # the caller's own generator stays where it was
        torch.manual_seed(seed)
        return make()


def _perceptron() -> "nn.Module":
    from torch import nn

    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def _linear() -> "nn.Module":
    from torch import nn

    model = nn.Linear(5, 1)
    nn.init.normal_(model.weight, std=0.01)
    nn.init.zeros_(model.bias)
    return model


def _cross_entropy(outputs: Any, targets: Any) -> "Tensor":
    from torch.nn import functional

    return functional.cross_entropy(outputs, targets)


def _half_squared_error(outputs: Any, targets: Any) -> "Tensor":
    return ((outputs - targets) ** 2).mean() / 2


def _accuracy(outputs: Any, targets: Any) -> "Tensor":
    return (outputs.argmax(dim=1) == targets).float().mean()
