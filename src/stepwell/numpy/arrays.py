"""Which arrays an optimizer takes, and which gradients."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepwell.host.engine import Key
from stepwell.host.memory import span
from stepwell.host.sparse import Sparse
from stepwell.kernels import cpu
from stepwell.numpy.rows import is_sparse, sparse


def keys_of(arrays: Any, what: str) -> list[Key]:
    """The names of a dict of arrays, the positions of a list."""
    if isinstance(arrays, Mapping):
        return list(arrays)
    if isinstance(arrays, Sequence) and not isinstance(arrays, str):
        return list(range(len(arrays)))
    raise TypeError(f"{what} must be a dict or a list of arrays; got {type(arrays).__name__}")


class Parameters:
    """The arrays of one step, by key, each checked, and the memory that they take."""

    def __init__(self, params: Any):
        self.arrays: dict[Key, np.ndarray] = {key: params[key] for key in keys_of(params, "params")}
        if not self.arrays:
            raise ValueError("params must hold at least one array; got none")
        for key, p in self.arrays.items():
            _check(key, p)
        _check_distinct(self.arrays)
        spans = sorted(span(p) for p in self.arrays.values())
        self._lows = [low for low, _ in spans]
        self._highs = list(np.maximum.accumulate([high for _, high in spans]).tolist())

    def still(self, params: Any) -> bool:
        """Whether these are the arrays that `params` holds now, and may still be written."""
        keys = keys_of(params, "params")
        return keys == list(self.arrays) and all(
            params[key] is p and p.flags.writeable for key, p in self.arrays.items()
        )

    def gradients(self, grads: Any) -> dict[Key, np.ndarray | Sparse]:
        """The gradients that are there, by key; a dense one that lies in a parameter's memory is copied."""
        given = keys_of(grads, "grads")
        if odd := set(given) ^ set(self.arrays):
            one = sorted(map(repr, odd))[0]
            raise KeyError(f"grads must have the parameters' keys (None: no gradient this time); {one} is in one only")
        return {key: self._gradient(key, grads[key], p) for key, p in self.arrays.items() if grads[key] is not None}

    def _gradient(self, key: Key, g: Any, p: np.ndarray) -> np.ndarray | Sparse:
        if is_sparse(g):
            return sparse(f"grads[{key!r}]", g, p)
        if isinstance(g, np.generic):  # what NumPy makes of an array of no dimensions
            g = np.asarray(g)
        if not isinstance(g, np.ndarray) or g.shape != p.shape or g.dtype != p.dtype:
            got = f"{g.dtype} of shape {g.shape}" if isinstance(g, np.ndarray) else type(g).__name__
            raise ValueError(f"grads[{key!r}] must be an array of {p.dtype} of shape {p.shape}; got {got}")
        return g.copy(order="K") if self._overlap(g) else g

    def _overlap(self, g: np.ndarray) -> bool:
        low, high = span(g)
        below = bisect_right(self._lows, high - 1)  # the parameters that start before g ends
        return below > 0 and self._highs[below - 1] > low


def _check(key: Key, p: Any) -> None:
    if not isinstance(p, np.ndarray) or p.dtype.name not in cpu.DTYPES or not p.dtype.isnative:
        kind = f"dtype {p.dtype}" if isinstance(p, np.ndarray) else type(p).__name__
        raise TypeError(f"params[{key!r}] must be an array of float16, float32 or float64; got {kind}")
    if not p.flags.writeable:
        raise ValueError(f"params[{key!r}] is read-only; it must be writeable, since steps are made in place")


def _check_distinct(arrays: Mapping[Key, np.ndarray]) -> None:
    ordered = sorted((key for key in arrays if arrays[key].size), key=lambda key: span(arrays[key]))
    open_spans: list[Key] = []
    for key in ordered:
        low, _ = span(arrays[key])
        open_spans = [other for other in open_spans if span(arrays[other])[1] > low]
        for other in open_spans:
            if np.shares_memory(arrays[key], arrays[other]):
                raise ValueError(f"params[{key!r}] shares memory with params[{other!r}]; each array may be given once")
        open_spans.append(key)
