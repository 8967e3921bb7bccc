"""A small training on one process or several: the model, what it reads, and the loop."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from stepwell import schedules
from tests.torch.harness import size_of
from tests.torch.sparse import double

STEPS = 50
BATCH = 8  # rows a step, over all processes
RATE = schedules.warmup(5, 0.02).then(schedules.cosine(60, 0.02))


def network() -> torch.nn.Module:
    """Layers whose sizes no number of processes divides, one smaller than it."""
    torch.manual_seed(0)
    with double():
        return torch.nn.Sequential(
            torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)
        )


def batch(step: int, rank: int = 0, count: int = 1) -> Tensor:
    """The rows of a step that a process reads."""
    generator = torch.Generator().manual_seed(step)
    return torch.randn(BATCH, 5, dtype=torch.float64, generator=generator).chunk(count)[rank]


def loss(model: torch.nn.Module, x: Tensor) -> Tensor:
    """A mean over rows, so that the mean over processes of their losses is that of all rows."""
    return (model(x) - 0.3).square().mean()


def train(
    model: torch.nn.Module, optimizer: Any, steps: Sequence[int] = range(STEPS), rank: int = 0, count: int = 1,
    before: Callable[[], Any] = lambda: None,
) -> torch.nn.Module:  # fmt: skip
    """Steps on the loss; `before` each step of the optimizer something may be done."""
    for step in steps:
        optimizer.zero_grad()
        loss(model, batch(step, rank, count)).backward()
        before()
        optimizer.step()
    return model


def whole(x: Any) -> Tensor:
    """A tensor's numbers, of a DTensor those of all processes: each must ask."""
    return (x.full_tensor() if isinstance(x, DTensor) else x).detach().clone()


def share(x: Any) -> Tensor:
    """A copy of the part of a DTensor that this process has."""
    return x.detach().to_local().clone()


def weights(model: torch.nn.Module) -> list[Any]:
    """The parameters' numbers, in a form that goes through a pipe."""
    return [whole(p).numpy() for p in model.parameters()]


def assert_equal(found: Sequence[Any], expected: torch.nn.Module | Sequence[Any], tolerance: float = 1e-12) -> None:
    """The same numbers, to `tolerance` of the largest of each array, or of 1."""
    wanted = weights(expected) if isinstance(expected, torch.nn.Module) else expected
    assert len(found) == len(wanted)
    for x, y in zip(found, wanted, strict=True):
        x, y = torch.as_tensor(x), torch.as_tensor(y)
        off = size_of(x - y)
        assert off <= tolerance * max(size_of(y), 1.0), f"of shape {tuple(y.shape)}: {off:.2g}"
