"""Where a task's batches come from, and what a model and a loss are called with.

A source is any of

    Data                two pairs of arrays, to train on and to measure on
    a pytree            tensors or NumPy arrays of one length, in tuples, lists or dicts: (inputs, targets), {"x": …}
    a Dataset           of torch, by index
    a loader            whatever gives batches each time it is iterated: torch's DataLoader, a list of batches
    a function          from a seed to an iterable of batches: one pass over the data

and a batch is a tensor, a tuple, a list or a dict. Of a pair, the first is what the model is called with and the second
the target; of anything else all of it is both. A model gets a tuple as its arguments and a dict by keyword.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.lab.randomness import sow

ROWS = 1 << 12  # of a batch that is measured on, unless those that are trained on are larger
STRIDE = 1_000_003  # between the seeds of two passes


class TaskError(ValueError):
    """What is wrong with a task: its model, its loss, its data."""


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """An error of what the user wrote as a `TaskError` that says what failed, and the error."""
    try:
        yield
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(f"{what}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Data:
    """What is trained on, and what the runs are measured on."""

    inputs: np.ndarray
    targets: np.ndarray
    measured_inputs: np.ndarray
    measured_targets: np.ndarray


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """A batch with `function` done to each of its tensors."""
    if isinstance(tree, Mapping):
        return {key: mapped(function, each) for key, each in tree.items()}
    if isinstance(tree, tuple | list):
        each = [mapped(function, x) for x in tree]
        return type(tree)(*each) if hasattr(tree, "_fields") else type(tree)(each)
    return function(tree)


def leaves(tree: Any) -> list[Any]:
    """The tensors of a batch, in order."""
    found: list[Any] = []
    mapped(found.append, tree)
    return found


def tensor(value: Any) -> Any:
    """An array as the tensor that shares its memory; anything else as it is."""
    import torch

    if not isinstance(value, np.ndarray):
        return value
    return torch.from_numpy(value if value.flags.writeable else value.copy())


def rows_of(batch: Any) -> int:
    """How many rows a batch has: the length of its first tensor that has one."""
    return next((len(x) for x in leaves(batch) if getattr(x, "ndim", 0)), 1)


def apart(batch: Any) -> tuple[Any, Any]:
    """What the model is called with, and the target."""
    return (batch[0], batch[1]) if isinstance(batch, tuple | list) and len(batch) == 2 else (batch, batch)


def called(model: Callable[..., Any], inputs: Any) -> Any:
    """A model's output."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


class Arrays:
    """Rows of arrays, in an order that only the seed decides; the last batch of a pass may be shorter."""

    def __init__(self, tree: Any, batch: int):
        self.tree, self.batch = mapped(tensor, tree), batch
        lengths = {len(x) for x in leaves(self.tree)}
        if len(lengths) != 1:
            raise TaskError(f"the arrays of data must have one length; got {sorted(lengths) or 'none'}")
        self.rows = lengths.pop()

    def __len__(self) -> int:
        return -(-self.rows // self.batch)

    def passes(self, seed: int) -> Iterator[Any]:
        """Batches without end, pass after pass."""
        import torch

        order = np.random.default_rng(seed)
        while self.rows:
            shuffled = torch.from_numpy(order.permutation(self.rows))
            taken = mapped(lambda x, at=shuffled: x[at], self.tree)
            yield from self._cut(taken, self.batch)

    def whole(self) -> Iterator[Any]:
        """All rows once, in their own order, in large batches."""
        return self._cut(self.tree, max(self.batch, ROWS))

    def _cut(self, tree: Any, size: int) -> Iterator[Any]:
        for low in range(0, self.rows, size):
            yield mapped(lambda x, low=low: x[low : low + size], tree)


class Loader:
    """Whatever gives batches when it is iterated; before each pass the generators are put where the seed says.

    A loader's own generator is put there too: two passes at one seed are equal, whatever was drawn between them.
    """

    def __init__(self, source: Any):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def passes(self, seed: int) -> Iterator[Any]:
        """Batches without end, pass after pass."""
        number = 0
        while True:
            empty = True
            for batch in self._pass(seed, number):
                empty = False
                yield mapped(tensor, batch)
            if empty and number:
                kind = type(self.source).__name__
                raise TaskError(f"data must give its batches whenever it is iterated; {kind} is used up after one pass")
            if empty:
                return
            number += 1

    def whole(self) -> Iterator[Any]:
        """One pass."""
        for batch in self._pass(0, 0):
            yield mapped(tensor, batch)

    def _pass(self, seed: int, number: int) -> Iterable[Any]:
        if not hasattr(self.source, "__iter__"):
            return self.source(seed + STRIDE * number)
        sow(seed, number)
        batched = getattr(self.source, "batch_sampler", None)
        for holder in (self.source, getattr(self.source, "sampler", None), batched, getattr(batched, "sampler", None)):
            if (generator := getattr(holder, "generator", None)) is not None:
                generator.manual_seed(seed + STRIDE * number)
        return self.source


Source = Arrays | Loader


def source(data: Any, batch: int) -> Source:
    """Batches from whatever the user has; see this module's text."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    if isinstance(data, Data):
        return Arrays((data.inputs, data.targets), batch)
    if _is_arrays(data):
        return Arrays(data, batch)
    if isinstance(data, Dataset) and not isinstance(data, torch.utils.data.IterableDataset):
        return Loader(DataLoader(data, batch, shuffle=True))
    if hasattr(data, "__iter__") or callable(data):
        if isinstance(data, Iterator):
            raise TaskError(f"data must be iterable more than once; {type(data).__name__} is used up after one pass")
        return Loader(data)
    raise TaskError(f"data must be arrays, a Dataset, a loader or a function of a seed; got {type(data).__name__}")


def measured(data: Any, validation: Any, batch: int) -> Source | None:
    """What runs are measured on, or None where that is the training loss itself."""
    if validation is not None:
        return source(validation, batch)
    return Arrays((data.measured_inputs, data.measured_targets), batch) if isinstance(data, Data) else None


def _is_arrays(data: Any) -> bool:
    import torch

    if not isinstance(data, torch.Tensor | np.ndarray | tuple | list | Mapping):
        return False
    found = leaves(data)
    return bool(found) and not (isinstance(data, list) and isinstance(data[0], tuple | list | Mapping)) and all(
        isinstance(x, torch.Tensor | np.ndarray) and x.ndim for x in found
    )  # fmt: skip


def output(model: Callable[..., Any], batch: Any, call: Callable[[Any, Any], Any] | None) -> tuple[Any, Any]:
    """A model's output for a batch, and the target."""
    inputs, target = apart(batch)
    return (called(model, inputs) if call is None else call(model, inputs)), target
