"""Optimizers over NumPy arrays, in place: `Adam(params)`, then `step(grads)`.

>>> import numpy as np
>>> from stepwell.numpy import Adam
>>> params = {"w": np.zeros(2), "b": np.zeros(1)}
>>> optimizer = Adam(params, lr=0.1)
>>> optimizer.step({"w": np.array([3.0, -5.0]), "b": None})  # None: no gradient this time
>>> params["w"].round(6), params["b"]
(array([-0.1,  0.1]), array([0.]))

Every rule of `stepwell.rules` has a class here, under the rule's own names; `from_rule` makes one from the user's rule.
"""

from stepwell.door import classes as _every
from stepwell.numpy.optimizer import Optimizer, from_rule
from stepwell.numpy.rows import Rows

_classes = _every()
__all__ = ["Optimizer", "Rows", "from_rule", *_classes]


def __getattr__(name: str) -> type[Optimizer]:
    if name in _classes:
        return from_rule(_classes[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
