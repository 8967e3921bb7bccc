# pyright: reportMissingImports=false
"""Optimizers for PaddlePaddle: paddle.optimizer's own names with its numbers, and every other rule beside them.

>>> import paddle
>>> from stepwell.paddle import Adam
>>> w = paddle.create_parameter([3], "float32", default_initializer=paddle.nn.initializer.Constant(0.0))
>>> optimizer = Adam(0.1, parameters=[w])
>>> (w - 1).square().sum().backward()
>>> optimizer.step()
>>> [round(x, 6) for x in w.tolist()]
[0.1, 0.1, 0.1]
"""

try:
    import paddle as _paddle  # noqa: F401
except ImportError as _error:
    from stepwell.door import needs as _needs

    raise _needs("paddle", "paddlepaddle") from _error

from stepwell.door import classes as _beside
from stepwell.paddle.from_rule import RuleOptimizer, from_rule
from stepwell.paddle.named import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Momentum, NAdam, RAdam, RMSProp
from stepwell.paddle.optimizer import Optimizer

__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Momentum", "NAdam", "Optimizer", "RAdam", "RMSProp",
    "from_rule",
]  # fmt: skip

_classes = _beside(__all__)
__all__ += sorted(_classes)


def __getattr__(name: str) -> type[RuleOptimizer]:
    if name in _classes:
        return from_rule(_classes[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
