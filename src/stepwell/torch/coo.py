"""Sparse gradients in COO form: what they name, and what they say of whole rows."""

import numpy as np
import torch
from torch import Tensor


def coo(g: Tensor) -> Tensor:
    """The gradient in COO form."""
    return g if g.layout is torch.sparse_coo else g.to_sparse()


def merged(g: Tensor) -> Tensor:
    """The gradient with every place once."""
    return coo(g).coalesce()


def refuse_outside(g: Tensor) -> None:
    """Refuse indices that the gradient's own shape does not have; torch looks at them only where it is asked to.

    Raises:
        IndexError: naming the first such index.
    """
    if g.layout is not torch.sparse_coo:
        return
    places = g._indices()
    lengths = torch.tensor(g.shape[: g.sparse_dim()], dtype=places.dtype, device=places.device)[:, None]
    outside = (places < 0) | (places >= lengths)
    if outside.any():
        axis, position = outside.nonzero()[0].tolist()
        raise IndexError(
            f"indices[{axis}, {position}] of a gradient must be from 0 to {g.shape[axis] - 1}, as its parameter has "
            f"it; got {int(places[axis, position])}"
        )


def by_whole_rows(g: Tensor) -> Tensor:
    """A gradient of single numbers, as one of all the rows that it touches; a row lies along the last axis."""
    refuse_outside(g)
    places, values = g._indices(), g._values()
    rows, which = torch.unique(places[:-1], dim=1, return_inverse=True)
    sums = values.new_zeros(rows.shape[1], g.shape[-1]).index_put_((which, places[-1]), values, accumulate=True)
    return torch.sparse_coo_tensor(rows, sums, g.shape, check_invariants=False)


def rows_of(g: Tensor) -> np.ndarray:
    """Which rows a gradient names, counted along the axes that it names; whether there are such, only for several."""
    places, lengths = g._indices().numpy(), tuple(g.shape[: g.sparse_dim()])
    if len(lengths) == 1:
        return np.ascontiguousarray(places[0])
    refuse_outside(g)
    strides = [np.prod(lengths[axis + 1 :], dtype=np.int64) for axis in range(len(lengths))]
    return np.asarray(strides, np.int64) @ places
