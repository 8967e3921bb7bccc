# pyright: reportMissingImports=false
"""Steps with Paddle's own operations, wherever the tensors lie and however."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import paddle

from stepwell import symbolic
from stepwell.kernels import Stages, eager
from stepwell.paddle.entry import LOW, Entry, dtype_of


def _where(condition: Any, x: Any, y: Any) -> Any:
    like = next((a for a in (x, y) if isinstance(a, paddle.Tensor)), condition.astype("float64"))
    return paddle.where(condition, *(a if isinstance(a, paddle.Tensor) else paddle.full_like(like, a) for a in (x, y)))


_VOCABULARY = SimpleNamespace(
    __name__="paddle",
    where=_where,
    mean=lambda x, axis, keepdims: paddle.mean(x, axis=axis, keepdim=keepdims),
    sum=lambda x, axis, keepdims: paddle.sum(x, axis=axis, keepdim=keepdims),
    **{name: getattr(paddle, name) for name in ("sqrt", "exp", "log", "tanh", "maximum", "minimum", "full_like")},
)
symbolic.LIBRARIES["paddle"] = _VOCABULARY


def step(entry: Entry, g: Any, stages: Stages, scalars: Mapping[str, float], ahead: int) -> None:
    """One step of one parameter in place, half precision widened to single."""
    kind = "float32" if dtype_of(entry.target) in LOW else entry.target.dtype
    tensors = {"p": entry.target, "g": g, **entry.arrays}
    arrays: dict[str, Any] = {name: t.astype(kind) for name, t in tensors.items()}
    arrays |= {name: float(x) for name, x in entry.numbers.items()}
    new = eager.step(entry.rule, arrays, {**scalars, "t": entry.step + 1 + ahead}, stages)
    for name, value in new.items():
        if name in entry.numbers:
            entry.numbers[name][...] = value
        else:
            paddle.assign(value.astype(tensors[name].dtype), tensors[name])
    entry.wrote()
