# pyright: reportMissingImports=false
"""What is kept beside a parameter: its state as Paddle's tensors, its step, and views of both for the host engine."""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import paddle

from stepwell.host.memory import view
from stepwell.rule import Rule

LOW = ("float16", "bfloat16")
REAL = {getattr(paddle, name): name for name in (*LOW, "float32", "float64")}
"""Paddle's dtypes of real numbers, with NumPy's names."""


def dtype_of(tensor: Any) -> str:
    """A tensor's dtype by NumPy's name."""
    return REAL.get(tensor.dtype) or str(tensor.dtype).rpartition(".")[2]


def view_of(tensor: Any) -> np.ndarray:
    """A dense tensor's memory as a writable array; not for bfloat16, which NumPy has not."""
    return view(tensor.data_ptr(), tuple(tensor.shape), dtype_of(tensor))


@dataclass(eq=False)
class Entry:
    """A parameter under a rule.

    Attributes:
        param, target: the parameter; and what is updated: itself, or its master weight in single precision.
        rule: the rule whose state this is.
        arrays: the state arrays by the rule's names, in order.
        numbers: its scalar state, arrays without axes in double precision.
        step: how many updates there were.
        shape, size, dtypes: the parameter's; the dtypes of the target and of each state array.
        is_dense: whether target and state lay in host memory, each in one piece, when this was made.
    """

    param: Any
    target: Any
    rule: Rule
    arrays: dict[str, Any]
    numbers: dict[str, np.ndarray]
    step: int
    shape: Any = field(init=False)
    size: int = field(init=False)
    dtypes: tuple[str, ...] = field(init=False)
    is_dense: bool = field(init=False)
    _views: tuple[list[int], np.ndarray, dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        tensors = self._tensors
        self.shape, self.size = self.param.shape, prod(self.param.shape)
        self.dtypes = tuple(map(dtype_of, tensors))
        self.is_dense = all(t.place.is_cpu_place() and t.is_contiguous() for t in tensors)

    @property
    def _tensors(self) -> list[Any]:
        return [self.target, *self.arrays.values()]

    def views(self) -> tuple[np.ndarray, dict[str, Any]]:
        """The target and the state as NumPy's arrays over the same memory; the same ones while it is the same."""
        addresses = [t.data_ptr() for t in self._tensors]
        if self._views is None or self._views[0] != addresses:
            p, *arrays = map(view_of, self._tensors)
            self._views = addresses, p, {**dict(zip(self.arrays, arrays, strict=True)), **self.numbers}
        return self._views[1:]

    def wrote(self) -> None:
        """Count an update, and tell Paddle of it, so that a backward pass that needs the old values refuses."""
        self.step += 1
        if self.target is not self.param:
            self.param.copy_(self.target.astype(self.param.dtype), True)
        self.param._bump_inplace_version()
