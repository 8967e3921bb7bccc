"""Optimizers for PyTorch: torch.optim's own names with its numbers, and every other rule beside them.

>>> import torch
>>> from stepwell.torch import Adam
>>> w = torch.nn.Parameter(torch.zeros(3))
>>> optimizer = Adam([w], lr=0.1)
>>> (w - 1).square().sum().backward()
>>> optimizer.step()
>>> w.tolist()
[0.10000000149011612, 0.10000000149011612, 0.10000000149011612]
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError('stepwell.torch needs PyTorch: pip install "stepwell[torch]"') from error

from stepwell.door import classes as _beside
from stepwell.torch.from_rule import RuleOptimizer, from_rule
from stepwell.torch.named import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop, SparseAdam
from stepwell.torch.optimizer import Optimizer

__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "Optimizer", "RAdam", "RMSprop", "SparseAdam",
    "from_rule",
]  # fmt: skip

_classes = _beside(__all__)
__all__ += sorted(_classes)


def __getattr__(name: str) -> type[RuleOptimizer]:
    if name in _classes:
        return from_rule(_classes[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
