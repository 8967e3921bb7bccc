"""Regression on tables of numbers, all columns standardized.

The airfoil table is NASA's "Airfoil Self-Noise" (Brooks, Pope & Marcolini 1989, UCI Machine Learning Repository,
<https://doi.org/10.24432/C5VW2C>, CC BY 4.0), read as `stepwell.lab.data` says. The diabetes table comes with
scikit-learn (BSD licence); it is that of Efron, Hastie, Johnstone & Tibshirani (2004), "Least Angle Regression",
<https://doi.org/10.1214/009053604000000067>.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stepwell.lab import data
from stepwell.lab.batches import Data
from stepwell.lab.goal import Goal
from stepwell.lab.task import Task
from stepwell.lab.tasks.common import nothing_to_read

if TYPE_CHECKING:
    from torch import Tensor, nn


def airfoil(place: Path | None = None) -> Task:
    """NASA's airfoil noise and linear regression: the training of Dive into Deep Learning's optimization chapter.

    Errors: DataError if the table is nowhere or is not that table.
    """
    table = np.loadtxt(io.BytesIO(data.read(data.AIRFOIL, place)), dtype=np.float64)
    table = ((table - table.mean(axis=0)) / table.std(axis=0))[:1500]
    x, y = table[:, :-1].astype(np.float32), table[:, -1:].astype(np.float32)
    lowest = _least_squares(table, table)
    return Task(
        name="airfoil",
        about="NASA airfoil self-noise, standardized, first 1500 rows; linear regression, loss ½(ŷ - y)², measured on "
        f"all rows trained on; the least it can be is {lowest:.6f}",
        data=Data(x, y, x, y),
        model=_linear,
        loss=_half_squared_error,
        measured="training loss",
        goal=Goal("loss", 1.05 * lowest, "5 % above least"),
        batch=10,
        epochs=2,
        every=20,
        lowest=lowest,
    )


def diabetes(place: Path | None = None) -> Task:
    """Ten measurements of 442 patients, how their diabetes went on in a year, and a perceptron with a hidden layer.

    Errors: DataError if a place is given.
    """
    nothing_to_read("diabetes", "comes with scikit-learn", place)
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    measurements, progress = load_diabetes(return_X_y=True, scaled=False)
    table = np.column_stack([measurements, progress])
    rows, held = train_test_split(np.arange(len(table)), test_size=88, random_state=0)
    table = (table - table[rows].mean(axis=0)) / table[rows].std(axis=0)
    x, y = table[:, :-1].astype(np.float32), table[:, -1:].astype(np.float32)
    return Task(
        name="diabetes",
        about="scikit-learn diabetes, standardized by the training rows; perceptron 10-8-1 (tanh), loss ½(ŷ - y)²; "
        "354 patients to train on, 88 to validate on, drawn once",
        data=Data(x[rows], y[rows], x[held], y[held]),
        model=_one_hidden_layer,
        loss=_half_squared_error,
        measured="validation loss [variances of the target]",
        goal=Goal("loss", _least_squares(table[rows], table[held]), "as least squares"),
        batch=16,
        epochs=20,
        every=10,
    )


def _least_squares(table: np.ndarray, measured: np.ndarray) -> float:
    """The loss on `measured` of the linear regression that is best on `table`; the last column is the target's."""
    inputs, others = (np.column_stack([part[:, :-1], np.ones(len(part))]) for part in (table, measured))
    best = np.linalg.lstsq(inputs, table[:, -1], rcond=None)[0]
    return float(np.mean((others @ best - measured[:, -1]) ** 2) / 2)


def _half_squared_error(output: Any, target: Any) -> "Tensor":
    return ((output - target) ** 2).mean() / 2


def _linear() -> "nn.Module":
    from torch import nn

    model = nn.Linear(5, 1)
    nn.init.normal_(model.weight, std=0.01)
    nn.init.zeros_(model.bias)
    return model


def _one_hidden_layer() -> "nn.Module":
    from torch import nn

    return nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 1))
