"""Saving and loading: from an optimizer to a file, and back."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stepwell.checkpoint import document, reader, writer
from stepwell.checkpoint.names import Names, from_file, places, to_file
from stepwell.checkpoint.snapshot import CheckpointError


def save(
    path: str | os.PathLike[str], optimizer: Any, params: Any = None, *, names: Names | None = None, extra: Any = None
) -> None:
    """Write what a training needs to go on, in this framework or another, into one file.

    The file holds the parameters that the optimizer trains, its state, steps and hyperparameters. It takes the place of
    an older one when all of it is on the disk; whatever happens before, the older one is whole.

    Args:
        path: the file, by custom `….safetensors`; its folder is made.
        optimizer: an optimizer of one of stepwell's doors; for JAX the optimizer's state.
        params: what names the parameters: the framework's model (torch.nn.Module, keras.Model, paddle.nn.Layer,
            gluon Block), or a mapping from names to parameters; for JAX the parameters. Not needed where the optimizer
            has their names: for stepwell.numpy, and torch's optimizers made with `model.named_parameters()`.
        names: from the optimizer's name of a parameter to the file's, one-to-one; or to that name and the order of the
            axes in the file, as numpy.transpose takes it. The same function serves saving and loading.
        extra: a dict of JSON's types that `load` gives back, such as the epoch.

    Raises:
        TypeError, ValueError: an argument is not of this kind; names are not one-to-one.
        ImportError: safetensors is not installed.
        OSError: the file cannot be written. In each case an older one is as it was.
    """
    given = document.checked_extra({} if extra is None else extra)
    place = _file(path)
    taken = _snapshot(optimizer, params)
    with _said_of(path, "nothing was written"):
        arrays, about = document.packed(to_file(taken, places(names, taken.entries)), given)
        writer.write(place, arrays, about)


def load(path: str | os.PathLike[str], optimizer: Any, params: Any = None, *, names: Names | None = None) -> Any:
    """Go on where a file was saved: the next steps are those that the training saved would have made.

    Parameters, state, steps and hyperparameters become the file's. A learning rate that is a schedule stays one and
    goes on at the file's step. What is no hyperparameter of the rule (weight decay added to the gradient, clipping, the
    average's decay …) stays what the optimizer was made with.

    Args:
        path: a file that `save` wrote, from any framework.
        optimizer, params, names: as for `save`; parameters and optimizer are updated in place.

    Returns:
        The `extra` that was saved. For JAX, where nothing changes in place, `(params, state, extra)`.

    Raises:
        CheckpointError: a ValueError: the file is damaged, of another version, or of another optimizer or model; it
            says what and where. Nothing has changed.
        OSError: the file cannot be read.
    """
    with _said_of(path, "nothing was changed"):
        snapshot, extra = document.unpacked(*reader.read(Path(path)))
        if portable := getattr(optimizer, "_portable", None):
            named = portable.named(optimizer, params)
            portable.restore(optimizer, named, from_file(snapshot, places(names, named)))
            return extra
        door = _functional(optimizer)
        own = door.snapshot(params, optimizer).entries
        return *door.restored(params, optimizer, from_file(snapshot, places(names, own))), extra


def _snapshot(optimizer: Any, params: Any) -> Any:
    if portable := getattr(optimizer, "_portable", None):  # the module of its door that knows how
        return portable.snapshot(optimizer, portable.named(optimizer, params))
    return _functional(optimizer).snapshot(params, optimizer)


def _functional(state: Any) -> Any:
    """The door whose optimizers are values: it is loaded if the state was made there."""
    door = sys.modules.get("stepwell.jax")
    if door is None or hasattr(state, "step"):
        raise TypeError(
            "optimizer must be of one of stepwell's doors (stepwell.torch, stepwell.keras …), or for JAX the state of "
            f"one; got {type(state).__module__}.{type(state).__qualname__}"
        )
    return door


def _file(path: str | os.PathLike[str]) -> Path:
    found = Path(os.path.realpath(path))  # a link goes on pointing where it does
    if found.exists() and not found.is_file():
        raise ValueError(f"path must be a file; {os.fspath(path)!r} is something else")
    return found


@contextmanager
def _said_of(path: str | os.PathLike[str], outcome: str) -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}; {outcome}") from None
