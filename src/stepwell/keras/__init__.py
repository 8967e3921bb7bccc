"""Optimizers for Keras 3 on TensorFlow, JAX and PyTorch: Keras's own names with its numbers, and every other rule.

>>> import keras
>>> from stepwell.keras import Adam
>>> w = keras.Variable([0.0, 0.0])
>>> optimizer = Adam(learning_rate=0.1)
>>> optimizer.apply([keras.ops.array([3.0, -5.0])], [w])
>>> bool(keras.ops.all(keras.ops.isclose(w, [-0.1, 0.1], atol=1e-4)))  # the first step is lr·sign(g), but for ε
True
"""
# pyright: reportMissingImports=false

from stepwell.door import classes as _beside
from stepwell.door import needs as _needs

try:
    import keras as _keras  # noqa: F401
except ImportError as error:
    raise _needs("keras", "keras tensorflow") from error

from stepwell.keras import rules as _rules
from stepwell.keras.from_rule import RuleOptimizer, from_rule
from stepwell.keras.named import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop
from stepwell.keras.optimizer import Optimizer
from stepwell.keras.rates import Schedule

__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Nadam", "Optimizer", "RMSprop", "RuleOptimizer",
    "Schedule", "from_rule",
]  # fmt: skip

_others = {name: _rules.classes[name] for name in _beside(__all__)}
globals().update(_others)
__all__ += sorted(_others)
