"""Sparse gradients of arrays: `Rows`, and SciPy's sparse matrices."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.kernels import table
from stepwell.kernels.merge import INDICES, Merged, refuse

VALUES = {"float64": ("float64",), "float32": ("float32", "float16"), "float16": ("float16",)}


@dataclass(frozen=True)
class Rows:
    """A gradient that is 0 but in some rows of its parameter: `values[k]` is added in row `indices[k]`.

    Args:
        indices: n rows of the parameter, int32 or int64, in any order, repeated or not.
        values: n of them, shape (n, *parameter.shape[1:]), of the parameter's dtype (or float16 for one of float32).

    >>> import numpy as np
    >>> from stepwell.numpy import Adagrad, Rows
    >>> table = np.zeros((1000, 2))
    >>> Adagrad([table], lr=0.5).step([Rows(np.array([7, 7]), np.array([[1.0, 0.0], [2.0, -3.0]]))])
    >>> np.flatnonzero(table.any(axis=1)), table[7]
    (array([7]), array([-0.5,  0.5]))
    """

    indices: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Sparse:
    """A gradient whose values have rows of their own: those along the parameter's axes after the first `axes`."""

    indices: np.ndarray
    values: np.ndarray
    axes: int


def is_sparse(g: Any) -> bool:
    """Whether a gradient is one of `Rows`, or a sparse matrix or array of SciPy."""
    return isinstance(g, Rows) or (hasattr(g, "tocoo") and hasattr(g, "nnz"))


def sparse(name: str, g: Any, p: np.ndarray) -> Sparse:
    """A gradient of `p`, checked; a sparse matrix names single numbers, one stored entry each.

    Raises:
        TypeError, ValueError: indices or values of another dtype or shape than the parameter wants.
    """
    if isinstance(g, Rows):
        indices, values, axes = plain(g.indices), plain(g.values), 1
        if indices.dtype.name not in INDICES or indices.ndim != 1:
            raise TypeError(f"{name}.indices must be int32 or int64, of one axis; got {indices.dtype} {indices.shape}")
        wanted = (len(indices), *p.shape[1:])
        if p.ndim == 0 or values.shape != wanted:
            raise ValueError(f"{name}.values must have the shape {wanted}; got {values.shape}")
    else:
        if g.shape != p.shape:
            raise ValueError(f"{name} must have the parameter's shape {p.shape}; got {g.shape}")
        entries = g.tocoo()
        places = (entries.row, entries.col) if p.ndim == 2 else entries.coords
        indices = np.asarray(np.ravel_multi_index(places, p.shape), np.int64)
        values, axes = plain(entries.data), p.ndim
    if values.dtype.name not in VALUES[p.dtype.name]:
        raise TypeError(f"{name}.values must be {' or '.join(VALUES[p.dtype.name])}; got {values.dtype}")
    return Sparse(indices, values, axes)


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
