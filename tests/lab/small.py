"""A task of a moment, with all that makes two trainings differ: weights, order, dropout, batch norm, a short batch."""

import torch
from torch import Tensor, nn

from stepwell.lab.candidates import choose
from stepwell.lab.goal import accuracy
from stepwell.lab.task import Task

SGD = choose({"sgd": torch.optim.SGD})
ROWS, HELD, BATCH, EVERY, STEPS = 50, 30, 8, 4, 18


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3)).double()


def data(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, x.argmax(1)


def task() -> Task:
    """Batch norm and dropout, and a last batch that is shorter, in double precision."""
    return Task(
        model=model, data=data(ROWS, 0), validation=data(HELD, 1), loss=nn.functional.cross_entropy, metric=accuracy,
        batch=BATCH, every=EVERY,
    )  # fmt: skip
