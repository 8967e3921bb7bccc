# pyright: reportMissingImports=false
"""Optimizers for MXNet: mxnet.optimizer's own names with its numbers, and every other rule beside them.

>>> import mxnet
>>> from mxnet import autograd, gluon
>>> import stepwell.mxnet
>>> net = gluon.nn.Dense(1, in_units=2)
>>> net.initialize(mxnet.init.Zero())
>>> trainer = gluon.Trainer(net.collect_params(), "stepwell_adam", {"learning_rate": 0.1})
>>> with autograd.record():
...     loss = (net(mxnet.nd.array([[1.0, -1.0]])) - 1) ** 2
>>> loss.backward()
>>> trainer.step(1)
>>> net.weight.data().asnumpy().round(6).tolist()
[[0.10000000149011612, -0.10000000149011612]]

Each is registered as "stepwell_" and its name; MXNet's own names stay MXNet's.
"""

try:
    import mxnet as _mxnet
except (ImportError, AttributeError) as _error:  # AttributeError: with NumPy 1.24, which has no np.bool
    from stepwell.door import needs as _needs

    raise _needs("mxnet", '"mxnet==1.9.1" "numpy<1.24"') from _error

from stepwell.door import classes as _beside
from stepwell.mxnet.from_rule import RuleOptimizer, from_rule
from stepwell.mxnet.named import (
    NAG,
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    Adamax,
    GroupAdaGrad,
    Nadam,
    RMSProp,
    Signum,
)
from stepwell.mxnet.optimizer import Optimizer

__all__ = [
    "NAG", "SGD", "AdaDelta", "AdaGrad", "Adam", "Adamax", "GroupAdaGrad", "Nadam", "Optimizer", "RMSProp", "Signum",
    "from_rule",
]  # fmt: skip

_classes = _beside(__all__)


def __getattr__(name: str) -> type[RuleOptimizer]:
    if name in _classes:
        return from_rule(_classes[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _registered() -> dict[str, type[Optimizer]]:
    """Every optimizer here by the name that a trainer takes."""
    own = {name: globals()[name] for name in __all__ if name not in ("Optimizer", "from_rule")}
    by_rule = {rule.name: from_rule(rule) for rule in _classes.values()}
    return {f"stepwell_{name.lower()}": made for name, made in {**own, **by_rule}.items()}


_mxnet.optimizer.Optimizer.opt_registry.update(_registered())
__all__ += sorted(_classes)
