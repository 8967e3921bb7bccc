"""Small images: handwritten digits, as rows of pixels for a perceptron and as images for a convolutional network.

The images are scikit-learn's copy of a part of "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998, UCI
Machine Learning Repository, <https://doi.org/10.24432/C50P49>, CC BY 4.0): 1797 of 8×8 pixels.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stepwell.lab.batches import Data
from stepwell.lab.goal import Goal, accuracy
from stepwell.lab.task import Task
from stepwell.lab.tasks.common import cross_entropy, nothing_to_read

if TYPE_CHECKING:
    from torch import nn


def digits(place: Path | None = None) -> Task:
    """scikit-learn's handwritten digits, 8×8 pixels, and a perceptron with two hidden layers.

    Errors: DataError if a place is given.
    """
    nothing_to_read("digits", "comes with scikit-learn", place)
    return Task(
        name="digits",
        about="scikit-learn digits, perceptron 64-64-64-10 (ReLU); 1437 images to train on, 360 to validate on, "
        "drawn once (stratified, the same for every run)",
        data=_pixels(),
        model=_perceptron,
        loss=cross_entropy,
        metric=accuracy,
        measured="validation loss [nats]",
        goal=Goal("accuracy", 0.95, "95 % accuracy"),
        batch=64,
        epochs=15,
        every=5,
    )


def digits_cnn(place: Path | None = None) -> Task:
    """The same digits as images of one channel, and two convolutions with batch norm, then dropout.

    Errors: DataError if a place is given.
    """
    nothing_to_read("digits_cnn", "comes with scikit-learn", place)
    flat = digits()
    return replace(
        flat,
        name="digits_cnn",
        about="scikit-learn digits, two 3×3 convolutions (8 and 16 channels, batch norm, ReLU), dropout of a quarter; "
        "1437 images to train on, 360 to validate on, drawn once (stratified, the same for every run)",
        data=replace(flat.data, inputs=_images(flat.data.inputs), measured_inputs=_images(flat.data.measured_inputs)),
        model=_convolutional,
        goal=Goal("accuracy", 0.97, "97 % accuracy"),
        epochs=10,
        every=10,
    )


def _pixels() -> Data:
    """Pixels from 0 to 1, (rows, 64), and the digits; the same rows are held out each time."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    rows, held = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    return Data(pixels[rows], labels[rows], pixels[held], labels[held])


def _images(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(-1, 1, 8, 8)


def _perceptron() -> "nn.Module":
    from torch import nn

    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def _convolutional() -> "nn.Module":
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(16 * 4 * 4, 10),
    )
