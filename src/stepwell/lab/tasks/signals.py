"""Generated series of ten kinds, after MNIST-1D (Greydanus & Kobak 2020, <https://arxiv.org/abs/2011.14439>).

As there, a kind is a pattern of twelve points with the look of a digit; a series is one pattern, stretched, scaled,
somewhere among zeros, on a slope, under smooth noise and some that is not, at forty points. The patterns, the amounts
and the generator are this library's own: the series are not those of MNIST-1D, and its accuracies do not carry over.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stepwell.lab.batches import Data
from stepwell.lab.goal import Goal, accuracy
from stepwell.lab.task import Task
from stepwell.lab.tasks.common import cross_entropy, nothing_to_read

if TYPE_CHECKING:
    from torch import nn

POINTS = 40  # of a series
LENGTHS = (48, 72)  # of pattern and zeros together, in points of the pattern
SCALE = 0.25  # standard deviation of a pattern's factor around 1
SLOPE = 0.75  # standard deviation of the rise from end to end
SMOOTH, ROUGH = 0.2, 0.05  # standard deviations of the noises
REACH = 2.0  # standard deviation, in points, of what smooths the noise

PATTERNS = tuple(  # of 0 to 9: where a pen that writes the digit from top to bottom is most to the right, 0 to 9
    np.array(list(map(int, heights))) / 2.25 - 2.0
    for heights in (
        "368999999863",
        "456755555555",
        "479997531159",
        "689975689986",
        "012346999444",
        "999333588863",
        "420013689974",
        "999876543221",
        "279920029972",
        "378999986420",
    )
)


def series(place: Path | None = None) -> Task:
    """Generated series of ten kinds, and three convolutions along them.

    Errors: DataError if a place is given.
    """
    nothing_to_read("series", "is generated", place)
    return Task(
        name="series",
        about=f"generated series of {POINTS} points, ten kinds, after MNIST-1D; three convolutions of 16 channels "
        "(ReLU); 4000 to train on, 1000 to validate on, drawn once",
        data=Data(*generated(4000, 0), *generated(1000, 1)),
        model=_convolutional,
        loss=cross_entropy,
        metric=accuracy,
        measured="validation loss [nats]",
        goal=Goal("accuracy", 0.8, "80 % accuracy"),
        batch=64,
        epochs=10,
        every=25,
    )


def generated(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """That many series, float32 of shape (rows, 1, 40), and their kinds, int64 from 0 to 9, each as often as another.

    >>> x, y = generated(20, seed=0)
    >>> x.shape, sorted(y.tolist()) == sorted([*range(10)] * 2)
    ((20, 1, 40), True)
    """
    draw = np.random.default_rng(seed)
    kinds = draw.permutation(np.arange(rows) % len(PATTERNS))
    column, points = (rows, 1), np.linspace(0.0, 1.0, POINTS, endpoint=False)
    length = draw.uniform(*LENGTHS, column)
    pattern = _interpolated(kinds, (points - draw.uniform(0.0, 1.0, column)) * length % length, length)
    slope = SLOPE * draw.standard_normal(column) * (points - 0.5)
    signal = (1.0 + SCALE * draw.standard_normal(column)) * pattern + slope + _noise(draw, (rows, POINTS))
    return signal[:, None].astype(np.float32), kinds


def _interpolated(kinds: np.ndarray, at: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The pattern of each row at places from 0 to its length, a circle: linear between points, and zero outside."""
    table = np.pad(np.array(PATTERNS), ((0, 0), (1, 2)))
    place = np.minimum((at + 1.0) % length, len(PATTERNS[0]) + 1.0)
    left = place.astype(np.int64)
    row = kinds[:, None]
    return table[row, left] + (place - left) * (table[row, left + 1] - table[row, left])


def _noise(draw: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    smooth = gaussian_filter1d(draw.standard_normal(shape), REACH, axis=1)
    return SMOOTH * smooth / smooth.std() + ROUGH * draw.standard_normal(shape)


def _convolutional() -> "nn.Module":
    from torch import nn

    return nn.Sequential(
        nn.Conv1d(1, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv1d(16, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv1d(16, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 5, len(PATTERNS)),
    )
