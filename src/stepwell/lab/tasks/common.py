"""What the families of tasks share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepwell.lab.data import DataError

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(output: Any, target: Any) -> "Tensor":
    """Mean of -log softmax(output)[target], in nats; the last axis of `output` has the classes."""
    from torch.nn import functional

    return functional.cross_entropy(output.flatten(0, -2), target.flatten())


def nothing_to_read(task: str, origin: str, place: Path | None) -> None:
    """Refuse a place for the data of a task that reads none.

    Errors: DataError if there is one.
    """
    if place is not None:
        raise DataError(f"{task} {origin}; it is read from nowhere else, so --data does not apply; got {place}")
