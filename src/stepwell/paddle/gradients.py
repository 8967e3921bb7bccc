# pyright: reportMissingImports=false
"""Gradients before the step: clipped and decayed as Paddle means it, as numbers for the kernel where that can be."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import paddle
from paddle.nn import ClipGradByGlobalNorm, ClipGradByNorm
from paddle.regularizer import L2Decay

from stepwell.host.sparse import Sparse
from stepwell.paddle.batch import squares
from stepwell.paddle.entry import REAL, dtype_of, is_host

Pair = tuple[Any, Any]
_NORMS = (ClipGradByGlobalNorm, ClipGradByNorm)  # their outcome is a factor on the gradient


def is_plain(g: Any) -> bool:
    """Whether a gradient is a dense tensor in host memory, in one piece."""
    return not g.is_selected_rows() and g.is_contiguous() and is_host(g)


def dense(p: Any, g: Any) -> Any:
    """A gradient of rows as one of the whole parameter; any other as it is."""
    if not g.is_selected_rows():
        return g
    rows = paddle.to_tensor(np.asarray(g.rows(), np.int64), place=p.place)
    values = g._get_tensor_from_selected_rows()
    return paddle.scatter(paddle.zeros(p.shape, values.dtype), rows, values, overwrite=False)


def rows(g: Any) -> Sparse:
    """A gradient of rows in host memory, as the host engine takes it; its values are those of the gradient itself."""
    values = g._get_tensor_from_selected_rows()
    return Sparse(np.asarray(g.rows(), np.int64), values.numpy())


def clipped(clip: Any, pairs: Sequence[Pair], fuse: bool) -> tuple[list[Pair], list[float] | None]:
    """The gradients after `clip`; where that is left to the step, factors on them, and whose is which say `places`.

    Args:
        clip: one of Paddle's, or None.
        pairs: parameters and gradients.
        fuse: whether factors may be left to the step.
    """
    if clip is None:
        return list(pairs), None
    if fuse and _is_of_norms(clip) and all(is_plain(g) for _, g in pairs):
        return list(pairs), _factors(clip, pairs)
    if not isinstance(clip, _NORMS):  # Paddle's own reads beyond the memory of a gradient of rows
        pairs = [(p, dense(p, g)) for p, g in pairs]
    return [(p, _shaped(p, g)) for p, g in clip(pairs)], None


def _shaped(p: Any, g: Any) -> Any:
    """A gradient in its parameter's shape: Paddle's clipping gives one without axes an axis."""
    return g if g.is_selected_rows() or g.shape == p.shape else g.reshape(p.shape)


def _is_of_norms(clip: Any) -> bool:
    return type(clip) in _NORMS and not getattr(clip, "should_comm_on_shard_dim", False)


def places(clip: Any, params: Sequence[Any]) -> list[int | None]:
    """Which of `clipped`'s factors is each parameter's; None for those that are not clipped."""
    if clip is None:
        return [None] * len(params)
    each = isinstance(clip, ClipGradByNorm)
    return [(k if each else 0) if getattr(p, "need_clip", True) is not False else None for k, p in enumerate(params)]


def _factors(clip: Any, pairs: Sequence[Pair]) -> list[float]:
    if isinstance(clip, ClipGradByNorm):
        return [_factor(squares([g]), clip.clip_norm) for _, g in pairs]
    wanted = [g for p, g in pairs if getattr(p, "need_clip", True) is not False]
    return [_factor(squares(wanted), clip.clip_norm)]


def _factor(square: float, limit: float) -> float:
    norm = math.sqrt(square)
    return 1.0 if norm <= limit else limit / norm  # a NaN makes it NaN, as in Paddle


def decays(regularizers: Iterable[Any]) -> tuple[list[float], list[Any]]:
    """L2 decay as numbers, and in the second list what Paddle itself must add: any other regularizer, or None."""
    numbers, others = [], []
    for one in regularizers:
        is_number = one is None or type(one) is L2Decay
        numbers.append(float(one._coeff) if one is not None and is_number else 0.0)
        others.append(None if is_number else one)
    return numbers, others


def regularized(optimizer: Any, p: Any, g: Any, regularizer: Any) -> Any:
    """A gradient with what one of Paddle's regularizers adds; as it is where there is none."""
    if regularizer is None:
        return g
    return paddle.optimizer.Optimizer._create_regularization_of_grad(optimizer, p, dense(p, g), regularizer)


def refuse_odd(pairs: Sequence[Pair]) -> None:
    """Refuse gradients that do not fit their parameters.

    Raises:
        ValueError: one of another shape, or that is not of real numbers.
    """
    for p, g in pairs:
        if g.shape != p.shape and not g.is_selected_rows():
            raise ValueError(f"the gradient of {p.name} must have the shape {list(p.shape)}; got {list(g.shape)}")
        if g.dtype not in REAL:
            raise ValueError(f"the gradient of {p.name} must be of real numbers; got {dtype_of(g)}")


def pairs(params: Sequence[Any]) -> list[Pair]:
    """Parameters that have gradients, each beside its own; one in single precision that AMP keeps goes first."""
    taken = [p for p in params if not p.stop_gradient]
    grads = paddle.base.core.eager.get_all_grads(taken)
    found = []
    for p, g in zip(taken, grads, strict=True):
        main = getattr(p, "main_grad", None)
        if main is not None or g is not None:
            found.append((p, g if main is None else main))
    return found
