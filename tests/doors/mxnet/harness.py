# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Parameters of MXNet in training, its own optimizers' or ours, by hand or through a trainer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mxnet
import numpy as np
from mxnet import gluon, nd

STEPS = 50
SHAPES = ((7, 5), (3,))


def arrays(dtype: str = "float32", seed: int = 99, size: float = 1.0) -> list[np.ndarray]:
    """Normal numbers, one array a shape."""
    rng = np.random.default_rng(seed)
    return [(size * rng.standard_normal(shape)).astype(dtype) for shape in SHAPES]


def gradients(dtype: str = "float32", steps: int = STEPS) -> list[list[np.ndarray]]:
    """A gradient a shape and step, whose size runs through eight decades again and again."""
    return [arrays(dtype, seed=k, size=10.0 ** (k % 8 - 4)) for k in range(steps)]


def nds(given: Sequence[np.ndarray]) -> list[Any]:
    """As NDArrays of the same dtypes."""
    return [nd.array(x, dtype=x.dtype) for x in given]


def path(
    optimizer: Any, given: Sequence[Sequence[np.ndarray]], change: Callable[[Any, int], None] = lambda *_: None
) -> list[list[np.ndarray]]:
    """The parameters after each step, those of one step updated in one call, as a trainer does.

    Args:
        optimizer: MXNet's or ours.
        given: gradients of each step.
        change: called with the optimizer and the step before each.
    """
    weights, update = nds(arrays(str(given[0][0].dtype))[: len(given[0])]), mxnet.optimizer.get_updater(optimizer)
    found = []
    for k, step in enumerate(given):
        change(optimizer, k)
        if update.aggregate_updates:
            update(list(range(len(step))), nds(step), list(weights))
        else:
            for i, g in enumerate(nds(step)):
                update(i, g, weights[i])
        found.append([w.asnumpy().astype("f8") for w in weights])
    return found


def difference(found: Sequence[Sequence[np.ndarray]], expected: Sequence[Sequence[np.ndarray]]) -> float:
    """The largest difference at any step, relative to the largest element that its array ever had."""
    sizes = [max(abs(step[k]).max() for step in expected) for k in range(len(expected[0]))]
    steps = [
        abs(a - b).max() / size
        for one, other in zip(found, expected, strict=True)
        for a, b, size in zip(one, other, sizes, strict=True)
    ]
    assert np.isfinite(sizes).all()
    return float(max(steps))


def parameters(given: Mapping[str, np.ndarray], **options: Any) -> dict[str, gluon.Parameter]:
    """Parameters of Gluon that hold these arrays."""
    made = {name: gluon.Parameter(name, shape=x.shape, dtype=x.dtype, **options) for name, x in given.items()}
    for name, p in made.items():
        p.initialize()
        p.set_data(nd.array(given[name], dtype=given[name].dtype))
    return made


def give(p: gluon.Parameter, g: np.ndarray) -> None:
    """Let this be the parameter's gradient, as if a backward pass had left it there."""
    p.grad()[:] = nd.array(g, dtype=g.dtype)
    p.data()._fresh_grad = True
