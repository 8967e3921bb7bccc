"""The loss of a model at other weights, on rows of its training data.

One point after the other: on one thread, stacking a row of the grid with `torch.vmap` was slower for perceptrons,
convolutions and transformers alike, for what is stacked leaves the processor's caches.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stepwell.lab.batches import Arrays, Source, TaskError, explained, mapped, rows_of
from stepwell.lab.task import Task
from stepwell.lab.training.plain import evaluating

if TYPE_CHECKING:
    from torch import Tensor, nn


class Losses:
    """The mean loss over some batches, of a model with other weights; the model is left as it was.

    Args:
        weights: those of its parameters that are varied, in the order of the points' coordinates.
    """

    def __init__(self, task: Task, model: "nn.Module", weights: Sequence["Tensor"], batches: Sequence[Any]):
        self.task, self.model, self.batches = task, model, batches
        names = {id(p): name for name, p in model.named_parameters()}
        self.weights = {names[id(w)]: w for w in weights}

    def at(self, points: np.ndarray) -> list[float]:
        """The losses at points of weight space, shape (points, weights)."""
        import torch

        with torch.no_grad(), evaluating(self.model), explained("the loss cannot be measured"):
            return [self._loss(self._split(point)) for point in points]

    def _split(self, point: np.ndarray) -> dict[str, "Tensor"]:
        """A point as named tensors."""
        import torch

        found, place = {}, 0
        for name, w in self.weights.items():
            part = torch.from_numpy(point[place : place + w.numel()].reshape(w.shape))
            found[name] = part.to(device=w.device, dtype=w.dtype)
            place += w.numel()
        return found

    def _loss(self, weights: dict[str, "Tensor"]) -> float:
        from torch.func import functional_call

        rows, total = 0, 0.0
        for batch in self.batches:
            loss, _, _ = self.task.evaluate(lambda *x, **k: functional_call(self.model, weights, x, k), batch)
            rows, total = rows + rows_of(batch), total + rows_of(batch) * float(loss)
        return total / rows


def fixed_rows(source: Source, rows: int) -> list[Any]:
    """Batches of the training data, the same each time: that many rows of arrays, drawn once; the first of a loader's.

    Errors: TaskError if there is none.
    """
    if isinstance(source, Arrays):
        import torch

        drawn = torch.from_numpy(np.random.default_rng(0).permutation(source.rows)[:rows])
        found = [mapped(lambda x: x[drawn], source.tree)] if len(drawn) else []
    else:
        with explained("the data cannot be read"):
            found = list(_until(source, rows))
    if not found:
        raise TaskError("data gave no batch to measure the loss on")
    return found


def _until(source: Source, rows: int) -> Iterator[Any]:
    had = 0
    for batch in source.whole():
        yield batch
        had += rows_of(batch)
        if had >= rows:
            return
