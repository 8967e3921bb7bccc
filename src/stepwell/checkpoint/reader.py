"""A file's arrays and document, every byte of it compared with what was written."""

import mmap
import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from stepwell.checkpoint import layout
from stepwell.checkpoint.snapshot import CheckpointError, dtype_named

Header = dict[str, dict[str, Any]]
"""Each array's dtype and shape, by name, in the order of their bytes."""


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays, read-only and where the file is mapped into memory, and the document.

    Raises:
        CheckpointError: the file is no checkpoint, of another version, or damaged; it says what is wrong.
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        metadata, header = _opened(path)
        if not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return read(path)  # a newer one took its place in between
        document = _document(metadata.get(layout.DOCUMENT))
        sums = _sums(document.pop("tensors", None), header)
        data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    end, arrays = len(data), {}
    for name, about in reversed(header.items()):  # the library has seen that they fill the file to its end
        dtype = _dtype(name, about["dtype"])
        start = end - prod(about["shape"]) * dtype.itemsize
        arrays[name] = _array(name, data[start:end], dtype, about["shape"], sums[name])
        end = start
    return arrays, document


def _opened(path: Path) -> tuple[dict[str, str], Header]:
    safetensors = layout.library()
    try:
        with safetensors.safe_open(path, "numpy") as file:
            found = {name: file.get_slice(name) for name in file.offset_keys()}
            header = {name: {"dtype": x.get_dtype(), "shape": x.get_shape()} for name, x in found.items()}
            return file.metadata() or {}, header
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"it is no checkpoint, or damaged: {error}") from None


def _document(found: str | None) -> dict[str, Any]:
    if found is None:
        raise CheckpointError(f"it is no checkpoint of stepwell: its metadata have no {layout.DOCUMENT!r}")
    crc, _, text = found.partition(" ")
    if crc != layout.crc32(text.encode()):
        raise CheckpointError("its description is damaged (the CRC-32 differs)")
    document = layout.from_json("its description", text)
    if document.pop("format", None) != layout.FORMAT:
        raise CheckpointError(f"it is no checkpoint of stepwell: its format is not {layout.FORMAT!r}")
    if (version := document.pop("version", None)) != layout.VERSION or isinstance(version, bool):
        raise CheckpointError(f"it has version {version!r} of the format; this stepwell reads version {layout.VERSION}")
    return document


def _sums(table: Any, header: Header) -> dict[str, Any]:
    """Each array's CRC-32, from the document's list of arrays, which must be the header's."""
    if not isinstance(table, dict):
        raise CheckpointError("it has no list of its arrays")
    for name, about in table.items():
        if not isinstance(about, dict) or set(about) != {"dtype", "shape", "crc32"}:
            raise CheckpointError(f"it does not say the dtype, shape and CRC-32 of {name!r}")
    if header != {name: {"dtype": about["dtype"], "shape": about["shape"]} for name, about in table.items()}:
        raise CheckpointError("its header and its own list of arrays differ")
    return {name: about["crc32"] for name, about in table.items()}


def _dtype(name: str, theirs: str) -> np.dtype[Any]:
    if theirs not in layout.NUMPY:
        raise CheckpointError(f"{name!r} has dtype {theirs!r}, which is none of {', '.join(layout.NUMPY)}")
    return dtype_named(layout.NUMPY[theirs])


def _array(name: str, part: np.ndarray, dtype: np.dtype[Any], shape: list[int], crc: Any) -> np.ndarray:
    if crc != layout.crc32(part):
        raise CheckpointError(f"{name!r} is damaged (the CRC-32 of its bytes differs)")
    try:
        return part.view(dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"{name!r} has the shape {shape!r:.100}: {error}") from None
