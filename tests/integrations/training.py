"""A training without any package, for the doctor's writers."""

from collections.abc import Callable

import torch
from torch import nn


def training(lr: float = 0.1, steps: int = 60) -> tuple[nn.Module, torch.optim.Optimizer, Callable[[], None]]:
    """A model, its optimizer, and what trains it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)

    def train() -> None:
        for _ in range(steps):
            x = torch.randn(32, 2)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), (x.sum(1) > 0).long()).backward()
            optimizer.step()

    return model, optimizer, train
