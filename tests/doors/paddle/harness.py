# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""How Paddle's optimizers and ours are run side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle

STEPS = 50
SHAPES = ([7, 5], [5], [], [0, 3], [33, 31])
WITH_AXES = ([7, 5], [5], [1], [0, 3], [33, 31])  # Paddle's clipping gives a gradient without axes one
LIMITS = {"float32": 2e-6, "float64": 1e-6}  # Paddle rounds most hyperparameters to single precision in either


def gradients(
    dtype: str, shapes: Sequence[Sequence[int]] = SHAPES, steps: int = STEPS, seed: int = 0
) -> list[list[Any]]:
    """For each step a gradient for each shape: normal numbers whose size runs through eight decades, some None."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(steps):
        row = [(rng.standard_normal(shape) * 10.0 ** (i % 8 - 4)).astype(dtype) for shape in shapes]
        found.append([None if i % 5 == 3 and k == 1 else g for k, g in enumerate(row)])
    return found


def parameters(dtype: str, shapes: Sequence[Sequence[int]] = SHAPES, attrs: Sequence[Any] = ()) -> list[Any]:
    """Parameters of normal numbers, the same ones each time; with the names that they have in a new process."""
    rng = np.random.default_rng(99)
    made = []
    for k, shape in enumerate(shapes):
        p = paddle.create_parameter(list(shape), dtype, attr=attrs[k] if attrs else None)
        p.set_value(np.asarray(rng.standard_normal(shape), dtype))
        made.append(p)
    return made


def give(params: Sequence[Any], row: Sequence[Any]) -> None:
    """These gradients."""
    for p, g in zip(params, row, strict=True):
        p.clear_gradient(False)
        if g is not None:
            p.grad = paddle.to_tensor(g)


def train(
    make: Callable[[list[Any]], Any], dtype: str, given: Sequence[Sequence[Any]] | None = None,
    attrs: Sequence[Any] = (), after: Callable[[Any, int], None] = lambda *_: None, shapes: Any = SHAPES,
) -> tuple[list[np.ndarray], Any]:  # fmt: skip
    """The parameters after all steps, and the optimizer; all names begin anew."""
    with paddle.utils.unique_name.guard():
        params = parameters(dtype, shapes, attrs)
        optimizer = make(params)
        for i, row in enumerate(gradients(dtype, shapes) if given is None else given):
            give(params, row)
            optimizer.step()
            after(optimizer, i)
        return [p.numpy() for p in params], optimizer


def distance(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The largest difference, relative to the largest element of the same array, at least 1."""
    worst = 0.0
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        assert np.isfinite(theirs).all()
        if theirs.size:
            worst = max(worst, float(abs(mine - theirs).max() / max(1.0, abs(theirs).max())))
    return worst


def moved(found: Sequence[np.ndarray], dtype: str) -> bool:
    """Whether every parameter with elements is no longer what it was."""
    with paddle.utils.unique_name.guard():
        before = [p.numpy() for p in parameters(dtype, [x.shape for x in found])]
    return all((a != b).any() for a, b in zip(found, before, strict=True) if a.size)
