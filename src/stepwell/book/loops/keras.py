"""In TensorFlow, with Keras."""

# pyright: reportMissingImports=false

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import stepwell.keras  # noqa: F401 - teaches rules TensorFlow's tensors
from stepwell.book.loops import Loop, spelled
from stepwell.lab.task import Task
from stepwell.rule import Rule


def from_scratch(task: Task, weights: np.ndarray, rule: Rule, hyper: Mapping[str, float]) -> Loop:
    """Two variables, their gradients, and the rule."""
    w, b = (tf.Variable(tf.constant(start)) for start in (weights, np.zeros(1, np.float32)))
    states = [
        {name: tf.Variable(tf.fill(p.shape, np.float32(rule.start_of(name, hyper)))) for name in rule.state}
        for p in (w, b)
    ]
    t = 0

    def update(gradients: Any) -> None:
        nonlocal t
        t += 1
        for p, g, state in zip((w, b), gradients, states, strict=True):
            values = {name: variable.read_value() for name, variable in state.items()}
            step, *fresh = rule.bind({"p": p.read_value(), "g": g, "t": t, **values}, hyper)
            for variable, value in zip(state.values(), fresh, strict=True):
                variable.assign(tf.broadcast_to(value, variable.shape))
            p.assign_sub(step)

    return _loop(lambda x: x @ w + b, (w, b), update)


def concise(task: Task, weights: np.ndarray, optimizer: Callable[..., Any], hyper: Mapping[str, Any]) -> Loop:
    """A dense layer, and the optimizer."""
    net = keras.layers.Dense(1)
    net.build((None, len(weights)))
    net.set_weights([weights, np.zeros(1, np.float32)])
    trainer = optimizer(**spelled(hyper))
    variables = [variable.value for variable in net.trainable_variables]
    return _loop(net, variables, lambda gradients: trainer.apply(gradients, net.trainable_variables))


def _loop(predict: Callable[[Any], Any], variables: Any, update: Callable[[Any], None]) -> Loop:
    def loss_of(x: np.ndarray, y: np.ndarray) -> Any:
        return tf.reduce_mean((predict(tf.constant(x)) - y) ** 2) / 2

    def step(x: np.ndarray, y: np.ndarray) -> None:
        with tf.GradientTape() as tape:
            outcome = loss_of(x, y)
        update(tape.gradient(outcome, variables))

    def loss(x: np.ndarray, y: np.ndarray) -> float:
        return float(loss_of(x, y))

    return Loop(step, loss)
