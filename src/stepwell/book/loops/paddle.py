"""In Paddle."""

# pyright: reportMissingImports=false

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import paddle

from stepwell.book.loops import Loop, spelled
from stepwell.lab.task import Task
from stepwell.rule import Rule


def from_scratch(task: Task, weights: np.ndarray, rule: Rule, hyper: Mapping[str, float]) -> Loop:
    """Two tensors, their gradients, and the rule."""
    w, b = (
        paddle.to_tensor(weights, stop_gradient=False),
        paddle.to_tensor(np.zeros(1, np.float32), stop_gradient=False),
    )
    states = [{name: paddle.full_like(p, rule.start_of(name, hyper)) for name in rule.state} for p in (w, b)]
    t = 0

    def update() -> None:
        nonlocal t
        t += 1
        for p, state in zip((w, b), states, strict=True):
            with paddle.no_grad():
                step, *fresh = rule.bind({"p": p, "g": p.grad, "t": t, **state}, hyper)
                state.update(zip(rule.state, fresh, strict=True))
                p.subtract_(step)
            p.clear_gradient()

    return _loop(lambda x: x @ w + b, update)


def concise(task: Task, weights: np.ndarray, optimizer: Callable[..., Any], hyper: Mapping[str, Any]) -> Loop:
    """A linear layer, and the optimizer."""
    net = paddle.nn.Linear(len(weights), 1)
    net.weight.set_value(weights)
    net.bias.set_value(np.zeros(1, np.float32))
    trainer = optimizer(parameters=net.parameters(), **spelled(hyper))

    def update() -> None:
        trainer.step()
        trainer.clear_grad()

    return _loop(net, update)


def _loop(predict: Callable[[Any], Any], update: Callable[[], None]) -> Loop:
    def loss_of(x: np.ndarray, y: np.ndarray) -> Any:
        return ((predict(paddle.to_tensor(x)) - paddle.to_tensor(y)) ** 2).mean() / 2

    def step(x: np.ndarray, y: np.ndarray) -> None:
        loss_of(x, y).backward()
        update()

    def loss(x: np.ndarray, y: np.ndarray) -> float:
        with paddle.no_grad():
            return loss_of(x, y).item()

    return Loop(step, loss)
