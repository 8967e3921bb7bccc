"""The next character of a text: from a fixed window with a perceptron, and from all before it with a transformer.

The text is WikiText-2 where it is given, by --data or the environment's STEPWELL_DATA: from Wikipedia, CC BY-SA 3.0
(Merity et al. 2016, <https://arxiv.org/abs/1609.07843>); its part "valid" is trained on, "test" is measured on. Else it
is what Python has with it, the language reference in `pydoc_data.topics` (PSF licence), which is another text in
another version of Python. Nothing is downloaded.
"""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stepwell.lab import data
from stepwell.lab.batches import Data
from stepwell.lab.goal import Goal, accuracy
from stepwell.lab.task import Task
from stepwell.lab.tasks.common import cross_entropy

if TYPE_CHECKING:
    from torch import nn

SYMBOLS = 64  # the most frequent characters, and one for all others
WINDOW = 8  # characters that the perceptron sees
PLACES = 32  # characters that the transformer sees


@dataclass(frozen=True)
class Text:
    """Characters by number, int64, to train on and to measure on; 0 is every character that has no number.

    Attributes:
        name: what the text is.
        train, measured: the numbers, the most frequent character of `train` being 1.
    """

    name: str
    train: np.ndarray
    measured: np.ndarray

    @property
    def of_pairs(self) -> float:
        """Mean loss, in nats, on `measured` of the best prediction from the one character before: the frequency of
        pairs in `train`, each counted once more than it is there."""
        counts = np.ones((SYMBOLS, SYMBOLS))
        np.add.at(counts, (self.train[:-1], self.train[1:]), 1)
        share = counts / counts.sum(axis=1, keepdims=True)
        return float(-np.log(share[self.measured[:-1], self.measured[1:]]).mean())


def text(place: Path | None = None) -> Task:
    """Characters from a window of eight before: an embedding and a perceptron with a hidden layer (Bengio et al. 2003).

    <https://www.jmlr.org/papers/v3/bengio03a.html>

    Errors: DataError if a place is given that has no WikiText-2, or another one.
    """
    found = read(place)
    (x, y), (measured_x, measured_y) = _rows(found.train, WINDOW, 40_000), _rows(found.measured, WINDOW, 4_000)
    return Task(
        name="text",
        about=f"{found.name}; the next of {SYMBOLS} characters from the {WINDOW} before it: embedding of 16, "
        f"perceptron {16 * WINDOW}-64-{SYMBOLS} (ReLU); {len(x)} windows to train on, {len(measured_x)} of other text "
        "to validate on",
        data=Data(x, y[:, -1].copy(), measured_x, measured_y[:, -1].copy()),
        model=_window,
        loss=cross_entropy,
        metric=accuracy,
        measured="validation loss [nats a character]",
        goal=Goal("loss", found.of_pairs, "better than pairs"),
        batch=64,
        epochs=1,
        every=25,
    )


def transformer(place: Path | None = None) -> Task:
    """Characters from up to 32 before, and a transformer of two layers.

    Errors: DataError if a place is given that has no WikiText-2, or another one.
    """
    found = read(place)
    train, measured = _rows(found.train, PLACES, 4_000), _rows(found.measured, PLACES, 200)
    return Task(
        name="transformer",
        about=f"{found.name}; the next of {SYMBOLS} characters at each of {PLACES}: transformer of two layers, "
        f"width 32, two heads; {len(train[0])} pieces to train on, {len(measured[0])} of other text to validate on",
        data=Data(*train, *measured),
        model=_transformer,
        loss=cross_entropy,
        metric=accuracy,
        measured="validation loss [nats a character]",
        goal=Goal("loss", found.of_pairs, "better than pairs"),
        batch=16,
        epochs=1,
        every=25,
    )


def read(place: Path | None = None) -> Text:
    """WikiText-2 from `place`, or from where STEPWELL_DATA says if it is there; else Python's documentation.

    Errors: DataError if a place is given that has no WikiText-2, or another one.
    """
    if place is None and not _in_environment():
        return Text(f"Python {platform.python_version()} documentation", *_numbered(*_documentation()))
    return Text("WikiText-2", *_numbered(*(data.read(source, place).decode() for source in data.WIKITEXT)))


def _in_environment() -> bool:
    """Whether there is any of WikiText-2 where STEPWELL_DATA says: nothing is ever downloaded."""
    named = os.environ.get(data.VARIABLE)
    return bool(named) and any(source.inside(Path(named)).exists() for source in data.WIKITEXT)


def _documentation() -> tuple[str, str]:
    """Nine tenths of the topics' text, and the last tenth.

    Topics quote one another, so a paragraph counts where it first is; else what is measured were trained on. The topics
    are in an order drawn once, since their names have something to do with what they say.
    """
    from pydoc_data.topics import topics

    names = np.random.default_rng(0).permutation(sorted(topics))
    paragraphs = list(dict.fromkeys(part.strip("\n") for name in names for part in topics[name].split("\n\n")))
    ends = np.cumsum([len(part) for part in paragraphs])
    held = int(np.searchsorted(ends, 0.9 * ends[-1]))
    return "\n\n".join(paragraphs[:held]), "\n\n".join(paragraphs[held:])


def _numbered(train: str, measured: str) -> Iterable[np.ndarray]:
    """Both texts in numbers, by the frequency of characters in the first."""
    codes, measured_codes = (np.frombuffer(part.encode("utf-32-le"), "<u4") for part in (train, measured))
    known, count = np.unique(codes, return_counts=True)
    frequent = known[np.argsort(-count, kind="stable")][: SYMBOLS - 1]
    table = np.zeros(max(codes.max(), measured_codes.max()) + 1, np.int64)
    table[frequent] = np.arange(1, len(frequent) + 1)
    return table[codes], table[measured_codes]


def _rows(numbers: np.ndarray, length: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of a text, evenly over it, and the same one character on: two arrays (rows, length)."""
    first = np.linspace(0, len(numbers) - length - 1, rows).astype(np.int64)
    pieces = numbers[first[:, None] + np.arange(length + 1)]
    return pieces[:, :-1].copy(), pieces[:, 1:].copy()


def _window() -> "nn.Module":
    from torch import nn

    return nn.Sequential(
        nn.Embedding(SYMBOLS, 16), nn.Flatten(), nn.Linear(16 * WINDOW, 64), nn.ReLU(), nn.Linear(64, SYMBOLS)
    )


def _transformer() -> "nn.Module":
    from stepwell.lab.tasks.models import Transformer

    return Transformer(SYMBOLS, PLACES, width=32, heads=2, layers=2)
