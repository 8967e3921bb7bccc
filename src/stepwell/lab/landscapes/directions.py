"""Two directions in weight space, and where a training's weights lie in the plane that they span."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

FLAT = 1e-9
"""A second direction along which the path's size is this share of the first's is no direction but rounding."""


def principal(path: np.ndarray, seed: int) -> np.ndarray:
    """The two directions, shape (2, weights), of length 1, along which a path (points, weights) spreads the most.

    They are the first principal components of its points about the last (Li et al. 2018, section 7.2,
    <https://arxiv.org/abs/1712.09913>), each with the sign that has the path come from its positive side. Where the
    path is a line, the second is a random direction at a right angle to it.

    Errors: ValueError for a path that stays where it is, or for a single weight.
    """
    offsets = path - path[-1]
    if path.shape[1] < 2:
        raise ValueError("a plane needs two directions, and the model has a single weight")
    _, sizes, rows = np.linalg.svd(offsets, full_matrices=False)
    if not sizes[0] > 0:
        raise ValueError("the training did not move the weights, so its path has no direction; try directions='random'")
    if len(sizes) < 2 or sizes[1] <= FLAT * sizes[0]:
        rows = np.stack([rows[0], _across(rows[0], seed)])
    directions = rows[:2]
    side = np.sign(directions @ offsets[0])
    return directions * np.where(side == 0, 1.0, side)[:, None]


def _across(direction: np.ndarray, seed: int) -> np.ndarray:
    """A random direction of length 1 at a right angle to another."""
    found = np.random.default_rng(seed).standard_normal(len(direction))
    found -= (found @ direction) * direction
    return found / np.linalg.norm(found)


def filter_normalized(weights: Sequence["Tensor"], seed: int) -> np.ndarray:
    """Two random directions, shape (2, weights): each filter of them as long as that filter of the weights.

    A filter is what makes one output: a row of a matrix, an output channel of a convolution. Along what has no filters
    (biases, factors of norms) they are 0. Li et al. (2018), section 4, <https://arxiv.org/abs/1712.09913>.

    Errors: ValueError if no weight has filters.
    """
    draw = np.random.default_rng(seed)
    found = np.array([np.concatenate([_filtered(w, draw) for w in weights]) for _ in range(2)])
    if not found.any(1).all():
        raise ValueError(
            "the model has no weight of two axes or more that is not 0: no filters to take random steps by"
        )
    return found


def _filtered(weight: "Tensor", draw: np.random.Generator) -> np.ndarray:
    values = weight.detach().double().cpu().numpy()
    if values.ndim < 2:
        return np.zeros(values.size)
    filters = values.reshape(len(values), -1)
    random = draw.standard_normal(filters.shape)
    sizes = np.linalg.norm(random, axis=1, keepdims=True)
    return (random / np.where(sizes > 0, sizes, 1.0) * np.linalg.norm(filters, axis=1, keepdims=True)).ravel()


def coordinates(path: np.ndarray, centre: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, float]:
    """A path (points, weights) in the plane, shape (points, 2), and the share of its squared length that lies there.

    Both are of its offsets from the centre, at the nearest point of the plane.
    """
    offsets = path - centre
    found, *_ = np.linalg.lstsq(directions.T, offsets.T, rcond=None)
    total = float((offsets**2).sum())
    return found.T, float(((found.T @ directions) ** 2).sum()) / total if total else 1.0


def reach(path: np.ndarray, margin: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ends of both axes, around a path (points, 2): a margin that is a share of the longer side, no axis narrow."""
    low, high = path.min(0), path.max(0)
    longest = float((high - low).max()) or 1.0
    half = np.maximum((high - low) / 2 + margin * longest, 0.4 * longest)
    middle = (low + high) / 2
    (a, c), (b, d) = middle - half, middle + half
    return (float(a), float(b)), (float(c), float(d))
