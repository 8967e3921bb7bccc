# pyright: reportMissingImports=false
"""What is kept beside a parameter: its state as Paddle's tensors, its step, and views of both for the host engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np
import paddle

from stepwell.host.memory import view
from stepwell.kernels import Stages, cpu
from stepwell.rule import Rule

LOW = ("float16", "bfloat16")
REAL = {getattr(paddle, name): name for name in (*LOW, "float32", "float64")}
"""Paddle's dtypes of real numbers, with NumPy's names."""
_core = paddle.base.core
HOST_ONLY = not (_core.is_compiled_with_cuda() or _core.is_compiled_with_xpu() or _core.get_all_custom_device_type())
"""Whether this Paddle knows no memory but the host's, so that no tensor need be asked where it lies."""


def dtype_of(tensor: Any) -> str:
    """A tensor's dtype by NumPy's name."""
    return REAL.get(tensor.dtype) or str(tensor.dtype).rpartition(".")[2]


_SHAPE, _DTYPE, _HAS_MEMORY = attrgetter("shape"), attrgetter("dtype"), methodcaller("_is_initialized")


def forms(tensors: Sequence[Any]) -> list[Any]:
    """What a kernel's table takes for granted of tensors: shapes, dtypes, and whether there is memory behind each."""
    return [*map(_SHAPE, tensors), *map(_DTYPE, tensors), *map(_HAS_MEMORY, tensors)]


def is_host(tensor: Any) -> bool:
    """Whether a tensor lies in host memory."""
    return HOST_ONLY or tensor.place.is_cpu_place()


def form_of(tensor: Any) -> str:
    """A tensor's dtype and shape, as errors say them."""
    return f"{dtype_of(tensor)} of shape {list(tensor.shape)}"


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
        shape, size: the parameter's.
        dtypes: those of the target and of each state array.
        tensors, kept: those two; and the parameter, its master weight and the state arrays.

    Raises:
        ValueError: state or a master weight that is not of a parameter of this shape and dtype.
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
    tensors: list[Any] = field(init=False)
    kept: list[Any] = field(init=False)
    _forms: list[Any] = field(init=False)
    _views: tuple[list[int], np.ndarray, dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        self.shape, self.size = self.param.shape, prod(self.param.shape)
        self.tensors = [self.target, *self.arrays.values()]
        self.dtypes = tuple(map(dtype_of, self.tensors))
        self.kept = [self.param, *self.tensors] if self.has_master else self.tensors
        self._forms = forms(self.kept)
        self._refuse_misfits()

    def _refuse_misfits(self) -> None:
        program, own = cpu.program(self.rule, Stages()), dtype_of(self.param)
        wanted = {name: program.shape_of(name, tuple(self.shape)) for name in self.arrays}
        found = [(t, wanted[name], {own, "float32"} if own in LOW else {own}) for name, t in self.arrays.items()]
        if self.has_master:
            found.append((self.target, tuple(self.shape), {"float32"}))
        for tensor in self.kept if self.size else ():
            if not tensor._is_initialized():
                raise ValueError(f"{tensor.name} has no memory: it was cleared")
        for tensor, shape, dtypes in found:
            if tuple(tensor.shape) != shape or dtype_of(tensor) not in dtypes:
                raise ValueError(
                    f"{self.param.name} is {form_of(self.param)}, and the optimizer's {tensor.name} is "
                    f"{form_of(tensor)}: one of them has changed since the state was made"
                )

    @property
    def has_master(self) -> bool:
        """Whether a master weight is updated."""
        return self.target is not self.param

    @property
    def is_dense(self) -> bool:
        """Whether target and state lie in host memory, each in one piece."""
        return all(is_host(t) and t.is_contiguous() for t in self.tensors)

    def serves(self, p: Any, rule: Rule, by_master: bool) -> bool:
        """Whether this is still what is kept beside `p`."""
        same = self.param is p and self.rule is rule and self.has_master == by_master
        return same and forms(self.kept) == self._forms

    def follow(self, old: "Entry") -> None:
        """Go on at the step of the entry whose state this takes over."""
        self.step = old.step
        for name in self.numbers.keys() & old.numbers.keys():
            self.numbers[name][...] = old.numbers[name]

    def views(self) -> tuple[np.ndarray, dict[str, Any]]:
        """The target and the state as NumPy's arrays over the same memory; the same ones while it is the same."""
        addresses = [t.data_ptr() for t in self.tensors]
        if self._views is None or self._views[0] != addresses:
            p, *arrays = map(view_of, self.tensors)
            self._views = addresses, p, {**dict(zip(self.arrays, arrays, strict=True)), **self.numbers}
        return self._views[1:]

    def wrote(self) -> None:
        """Count an update, and tell Paddle of it, so that a backward pass that needs the old values refuses."""
        self.step += 1
        if self.has_master:
            self.param.copy_(self.target.astype(self.param.dtype), True)
        self.param._bump_inplace_version()
