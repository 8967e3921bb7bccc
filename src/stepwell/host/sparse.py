"""Sparse gradients: what they name of an array, checked, and with each row once."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.kernels import table
from stepwell.kernels.merge import INDICES, Merged, refuse

VALUES = {"float64": ("float64",), "float32": ("float32", "float16"), "float16": ("float16",)}


@dataclass(frozen=True)
class Sparse:
    """A gradient whose values have rows of their own: those along the parameter's axes after the first `axes`."""

    indices: np.ndarray
    values: np.ndarray
    axes: int = 1


def refuse_odd(name: str, g: Sparse, p: np.ndarray) -> None:
    """Refuse a gradient whose indices or values are not what the parameter wants.

    Raises:
        TypeError, ValueError: they have another dtype, or another shape.
    """
    if g.indices.dtype.name not in INDICES or g.indices.ndim != 1:
        raise TypeError(f"{name}.indices must be int32 or int64, of one axis; got {g.indices.dtype} {g.indices.shape}")
    wanted = (len(g.indices), *p.shape[g.axes :])
    if p.ndim == 0 or g.values.shape != wanted:
        raise ValueError(f"{name}.values must have the shape {wanted}; got {g.values.shape}")
    if g.values.dtype.name not in VALUES[p.dtype.name]:
        raise TypeError(f"{name}.values must be {' or '.join(VALUES[p.dtype.name])}; got {g.values.dtype}")


def plain(array: Any) -> np.ndarray:
    """An array as kernels read it: in one piece, aligned, in the machine's order of bytes, and not read-only."""
    found = np.asarray(array)
    return np.require(found, found.dtype.newbyteorder("="), ["C", "A", "W"])


def by_rows(g: Sparse, p: np.ndarray) -> Sparse:
    """A gradient of single numbers of a matrix, as one of all the rows that it touches."""
    if g.axes != 2 or p.ndim != 2:
        return g
    rows, which = np.unique(g.indices // p.shape[1], return_inverse=True)
    values = np.zeros((len(rows), p.shape[1]), g.values.dtype)
    np.add.at(values, (which, g.indices % p.shape[1]), g.values)
    return Sparse(rows, values, 1)


def merged(g: Sparse, p: np.ndarray, made: table.Table | None, threads: int) -> Merged:
    """The gradient with each row once, by the kernel of a table, or where there is none with NumPy."""
    address = g.values.__array_interface__["data"][0]
    if made is not None:
        return made.merged(g.indices, address, g.values.dtype.name, threads)
    limit = int(np.prod(p.shape[: g.axes]))
    if (bad := (g.indices < 0) | (g.indices >= limit)).any():
        refuse(g.indices, int(bad.argmax()), limit)
    rows, which = np.unique(g.indices, return_inverse=True)
    sums = np.zeros((len(rows), *p.shape[g.axes :]), np.float64 if p.dtype == np.float64 else np.float32)
    np.add.at(sums, which, g.values)
    return Merged(rows.astype(np.int64), sums)
