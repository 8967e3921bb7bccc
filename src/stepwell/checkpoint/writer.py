"""Arrays and a document into one file."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stepwell import files
from stepwell.checkpoint import layout
from stepwell.checkpoint.snapshot import CheckpointError


def write(path: Path, arrays: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> None:
    """Put the arrays and the document into a file, which takes the old one's place when all is on the disk.

    An array is written from where it lies. One that is not in one piece in C order (broadcast, or its axes turned) is
    copied first, and all such copies live until the file is written.

    Raises:
        CheckpointError: an array of a dtype, or with a name, that the format does not have.
        OSError: the disk is full, or the folder cannot be written; an old file is as it was.
    """
    safetensors = layout.library()
    pieces = {name: _in_one_piece(name, array) for name, array in arrays.items()}
    table = {name: _described(piece) for name, piece in pieces.items()}
    text = layout.to_json({"format": layout.FORMAT, "version": layout.VERSION, **document, "tensors": table})
    metadata = {layout.DOCUMENT: f"{layout.crc32(text.encode())} {text}"}
    with files.replacing(path, durable=True) as temporary:
        try:
            safetensors.numpy.save_file(pieces, temporary, metadata)
        except safetensors.SafetensorError as error:
            raise _failure(str(error), path) from None


def _in_one_piece(name: str, array: np.ndarray) -> np.ndarray:
    """An array in C order, little end first: the library takes its bytes as they lie."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise CheckpointError(f"the name {name!r} is no text that can be written (UTF-8)") from None
    if array.dtype.name not in layout.DTYPES:
        raise CheckpointError(f"{name!r} is of {array.dtype}; a checkpoint holds {', '.join(layout.DTYPES)}")
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _described(piece: np.ndarray) -> dict[str, Any]:
    crc = layout.crc32(piece.reshape(-1).view(np.uint8))
    return {"dtype": layout.DTYPES[piece.dtype.name], "shape": list(piece.shape), "crc32": crc}


def _failure(text: str, path: Path) -> Exception:
    """The library has one error for all; that of the system stands in its text."""
    if found := re.search(r"\(os error (\d+)\)", text):
        return OSError(int(found[1]), os.strerror(int(found[1])), os.fspath(path))
    return CheckpointError(text)
