"""In MXNet, with Gluon."""

# pyright: reportMissingImports=false

from collections.abc import Callable, Mapping
from typing import Any

import mxnet
import numpy as np
from mxnet import autograd, gluon, nd

from stepwell import symbolic
from stepwell.book.loops import Loop, spelled
from stepwell.lab.task import Task
from stepwell.rule import Rule

symbolic.LIBRARIES["mxnet"] = mxnet.np  # rules meet MXNet's arrays of NumPy's kind here


def from_scratch(task: Task, weights: np.ndarray, rule: Rule, hyper: Mapping[str, float]) -> Loop:
    """Two arrays, their gradients, and the rule."""
    w, b = (mxnet.np.array(a, dtype="float32") for a in (weights, np.zeros(1)))
    for p in (w, b):
        p.attach_grad()
    states = [{name: mxnet.np.full_like(p, rule.start_of(name, hyper)) for name in rule.state} for p in (w, b)]
    t = 0

    def update() -> None:
        nonlocal t
        t += 1
        for p, state in zip((w, b), states, strict=True):
            step, *fresh = rule.bind({"p": p, "g": p.grad, "t": t, **state}, hyper)
            state.update(zip(rule.state, fresh, strict=True))
            p[:] = p - step

    return _loop(mxnet.np.array, lambda x: mxnet.np.dot(x, w) + b, update)


def concise(task: Task, weights: np.ndarray, optimizer: Callable[..., Any], hyper: Mapping[str, Any]) -> Loop:
    """A dense layer, and a trainer with the optimizer."""
    net = gluon.nn.Dense(1, in_units=len(weights))
    net.initialize()
    net.weight.set_data(nd.array(weights.T))
    net.bias.set_data(nd.zeros(1))
    trainer = gluon.Trainer(net.collect_params(), optimizer(**spelled(hyper)))
    return _loop(nd.array, net, lambda: trainer.step(1))  # the loss is a mean already: one batch, not samples


def _loop(array: Callable[[np.ndarray], Any], predict: Callable[[Any], Any], update: Callable[[], None]) -> Loop:
    def loss_of(x: np.ndarray, y: np.ndarray) -> Any:
        return ((predict(array(x)) - array(y)) ** 2).mean(axis=0) / 2

    def step(x: np.ndarray, y: np.ndarray) -> None:
        with autograd.record():
            outcome = loss_of(x, y)
        outcome.backward()
        update()

    def loss(x: np.ndarray, y: np.ndarray) -> float:
        return float(loss_of(x, y).asnumpy()[0])

    return Loop(step, loss)
