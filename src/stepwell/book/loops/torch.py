"""In PyTorch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stepwell.book.loops import Loop
from stepwell.lab.task import Task
from stepwell.lab.training.plain import one_thread
from stepwell.rule import Rule


def from_scratch(task: Task, weights: np.ndarray, rule: Rule, hyper: Mapping[str, float]) -> Loop:
    """Two tensors, their gradients, and the rule."""
    w, b = torch.from_numpy(weights).requires_grad_(), torch.zeros(1, requires_grad=True)
    states = [{name: torch.full_like(p, rule.start_of(name, hyper)) for name in rule.state} for p in (w, b)]
    t = 0

    def update() -> None:
        nonlocal t
        t += 1
        for p, state in zip((w, b), states, strict=True):
            with torch.no_grad():
                step, *fresh = rule.bind({"p": p, "g": p.grad, "t": t, **state}, hyper)
                state.update(zip(rule.state, fresh, strict=True))
                p -= step
            p.grad = None

    return _loop(task, lambda x: x @ w + b, update)


def concise(task: Task, weights: np.ndarray, optimizer: Callable[..., Any], hyper: Mapping[str, Any]) -> Loop:
    """A linear layer, and the optimizer."""
    net: Any = nn.utils.skip_init(nn.Linear, len(weights), 1)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(weights).T)
        net.bias.zero_()
    trainer = optimizer(net.parameters(), **hyper)

    def update() -> None:
        trainer.step()
        trainer.zero_grad()

    return _loop(task, net, update)


def _loop(task: Task, predict: Callable[[Tensor], Tensor], update: Callable[[], None]) -> Loop:
    def loss_of(x: np.ndarray, y: np.ndarray) -> Tensor:
        return task.loss(predict(torch.from_numpy(x)), torch.from_numpy(y))

    def step(x: np.ndarray, y: np.ndarray) -> None:
        with one_thread():
            loss_of(x, y).backward()
            update()

    def loss(x: np.ndarray, y: np.ndarray) -> float:
        with torch.no_grad(), one_thread():
            return loss_of(x, y).item()

    return Loop(step, loss)
