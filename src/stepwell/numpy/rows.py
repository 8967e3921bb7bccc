"""Sparse gradients of arrays: `Rows`, and SciPy's sparse matrices."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.host.sparse import Sparse, plain, refuse_odd


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


def is_sparse(g: Any) -> bool:
    """Whether a gradient is one of `Rows`, or a sparse matrix or array of SciPy."""
    return isinstance(g, Rows) or (hasattr(g, "tocoo") and hasattr(g, "nnz"))


def sparse(name: str, g: Any, p: np.ndarray) -> Sparse:
    """A gradient of `p`, checked; a sparse matrix names single numbers, one stored entry each.

    Raises:
        TypeError, ValueError: indices or values of another dtype or shape than the parameter wants.
    """
    if isinstance(g, Rows):
        found = Sparse(plain(g.indices), plain(g.values), 1)
    else:
        if g.shape != p.shape:
            raise ValueError(f"{name} must have the parameter's shape {p.shape}; got {g.shape}")
        entries = g.tocoo()
        places = (entries.row, entries.col) if p.ndim == 2 else entries.coords
        indices = np.asarray(np.ravel_multi_index(places, p.shape), np.int64)
        found = Sparse(indices, plain(entries.data), p.ndim)
    refuse_odd(name, found, p)
    return found
