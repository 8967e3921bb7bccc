"""LeNet, the images that it learns, and a training in epochs: what the schedules and the practice are tried on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stepwell.book.section import Options
from stepwell.lab import data, tasks
from stepwell.lab.batches import Data
from stepwell.lab.training.plain import one_thread

if TYPE_CHECKING:
    from torch import nn

SIDE = 28  # pixels
SEEDS = 3  # trainings of each kind, at most: LeNet is no perceptron
TRAINED, TESTED = 1500, 500  # images of Fashion-MNIST that a run of the default length takes
BATCH, FULL_BATCH = 64, 256
EPOCHS, FULL_EPOCHS = 20, 30


@dataclass(frozen=True)
class Images:
    """What LeNet is trained on: `name` says which images, `batch` and `epochs` how, over `seeds`.

    The arrays are float32 of shape (n, 1, 28, 28), in [0, 1], and int64 labels from 0 to 9.
    """

    name: str
    data: Data
    batch: int
    epochs: int
    seeds: range

    @property
    def steps(self) -> int:
        """Updates in an epoch."""
        return -(-len(self.data.inputs) // self.batch)


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch: mean loss [nats] and accuracy over its batches as they came, and on the test data
    once it is over."""

    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float


def images(options: Options) -> Images:
    """Fashion-MNIST, found or downloaded (31 MB, then kept); else scikit-learn's digits, enlarged to 28×28.

    With `full` all of it is learnt for 30 epochs in batches of 256, as in the book (hours, on a processor); otherwise
    1500 images for 20 epochs in batches of 64.
    Errors: `stepwell.lab.data.DataError` if files of Fashion-MNIST are there and are not the published ones.
    """
    seeds, epochs = range(min(options.seeds, SEEDS)), FULL_EPOCHS if options.full else EPOCHS
    for place in dict.fromkeys((options.data, None)):
        try:
            arrays = _of_bytes(*data.fashion_mnist(place))
        except data.MissingError:
            continue
        if options.full:
            return Images("Fashion-MNIST, all of it", arrays, FULL_BATCH, epochs, seeds)
        name = f"Fashion-MNIST, its first {TRAINED} images, tested on {TESTED}"
        return Images(name, _first(arrays, TRAINED, TESTED), BATCH, epochs, seeds)
    name = "scikit-learn's digits enlarged to 28×28 (1437, tested on 360), for want of Fashion-MNIST"
    return Images(name, _digits(), BATCH, epochs, seeds)


def lenet(seed: int) -> "nn.Module":
    """LeNet with ReLU and max-pooling, as the book's text has it: two convolutions, three layers, ten classes."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip


def fit(model: "nn.Module", optimizer: Any, arrays: Data, *, batch: int, epochs: int, seed: int) -> Iterator[Epoch]:
    """Train a classifier, cross-entropy, in an order that the seed decides; an `Epoch` after each pass over the data.

    Between two epochs the caller may do as it pleases: tell a schedule the test loss, say. One thread is used.
    """
    import torch
    from torch.nn import functional

    inputs, targets = torch.from_numpy(arrays.inputs), torch.from_numpy(arrays.targets)
    order = np.random.default_rng(seed)
    for _ in range(epochs):
        loss, right = 0.0, 0
        with one_thread():
            for rows in torch.from_numpy(order.permutation(len(inputs))).split(batch):
                optimizer.zero_grad()
                outputs = model(inputs[rows])
                batch_loss = functional.cross_entropy(outputs, targets[rows])
                batch_loss.backward()
                optimizer.step()
                loss += batch_loss.item() * len(rows)
                right += int((outputs.argmax(1) == targets[rows]).sum())
            tested = _test(model, arrays)
        yield Epoch(loss / len(inputs), right / len(inputs), *tested)


def _test(model: "nn.Module", arrays: Data) -> tuple[float, float]:
    import torch
    from torch.nn import functional

    targets = torch.from_numpy(arrays.measured_targets)
    with torch.no_grad():
        outputs = torch.cat([model(part) for part in torch.from_numpy(arrays.measured_inputs).split(1000)])
    return functional.cross_entropy(outputs, targets).item(), float((outputs.argmax(1) == targets).float().mean())


def _of_bytes(images: np.ndarray, labels: np.ndarray, tests: np.ndarray, test_labels: np.ndarray) -> Data:
    pixels = [(x[:, None] / np.float32(255)).astype(np.float32) for x in (images, tests)]
    return Data(pixels[0], labels.astype(np.int64), pixels[1], test_labels.astype(np.int64))


def _first(arrays: Data, trained: int, tested: int) -> Data:
    return Data(
        arrays.inputs[:trained], arrays.targets[:trained],
        arrays.measured_inputs[:tested], arrays.measured_targets[:tested],
    )  # fmt: skip


def _digits() -> Data:
    arrays = tasks.digits().data
    return replace(arrays, inputs=_enlarged(arrays.inputs), measured_inputs=_enlarged(arrays.measured_inputs))


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    import torch
    from torch.nn import functional

    squares = torch.from_numpy(pixels).view(-1, 1, 8, 8)
    return functional.interpolate(squares, size=(SIDE, SIDE), mode="bilinear", align_corners=False).numpy()
