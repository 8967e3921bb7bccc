"""Two optimizers given the same gradients: equal after every step, or the step and the tensor where they part."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

import stepwell.torch as door

Maker = Callable[[list[Tensor]], torch.optim.Optimizer]

SIZES = (0, 1, 3, 5, 15, 16, 17, 31, 33, 100_003)  # vector widths and their neighbours; several blocks and a tail
SMALL = (1, 5, 17)
DECADES = (-4, -3, -2, -1, 0, 1, 2, 3, 0, -3)  # of the gradients, step by step: growing, and falling after the peak

# The largest error of an element over the largest element of its tensor. Both sides round after every operation, in
# another order, for up to 10 steps of about 10 operations: errors are some 33 half units in the last place (float32:
# 33 · 6e-8). In float64 the bias corrections weigh more: 1 - β₂ᵗ turns one unit in the last place of the power, which
# two libraries may round apart, into up to 1 / (1 - β₂) = 1000 of them.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.complex128: 1e-12, torch.complex64: 2e-6}


@functools.lru_cache(512)
def gradient(shape: tuple[int, ...], dtype: torch.dtype, step: int, k: int = 0) -> Tensor:
    """Normal numbers in the decade of that step. Not to be written to."""
    generator = torch.Generator().manual_seed(1000 * k + step)
    return torch.randn(shape, dtype=dtype, generator=generator) * 10.0 ** DECADES[step % len(DECADES)]


def parameters(sizes: Sequence[int | tuple[int, ...]], dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    """Leaves of about the size of one step, so that no error of a step is hidden by the parameter's own digits."""
    generator = torch.Generator().manual_seed(seed)
    return [(0.01 * torch.randn(size, dtype=dtype, generator=generator)).requires_grad_() for size in sizes]


def twins(params: Sequence[Tensor]) -> list[Tensor]:
    """Leaves equal to these, in memory of their own and in the same order there."""
    return [p.detach().clone(memory_format=torch.preserve_format).requires_grad_() for p in params]


def absent(step: int, k: int) -> bool:
    """Whether parameter k has no gradient at this step: each misses two of ten, some the first."""
    return (step + k) % 5 == 2


def give_gradients(*sides: Sequence[Tensor], step: int, gaps: bool = False) -> None:
    """Set the same new gradients on every side, each in its own memory; with `gaps`, None where `absent` says so."""
    for k, same in enumerate(zip(*sides, strict=True)):
        for p in same:
            p.grad = None if gaps and absent(step, k) else gradient(p.shape, p.dtype, step, k).clone()


def size_of(x: Tensor) -> float:
    """The largest element; NaN or infinite if one is."""
    return x.abs().max().item() if x.numel() else 0.0


def assert_close(actual: Any, expected: Any, what: str, tolerance: float, scale: float = 0.0) -> None:
    """Equal to within `tolerance` of the largest element, or of `scale`; NaN and infinity in the same places."""
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    finite = expected[expected.isfinite()] if not math.isfinite(size_of(expected)) else expected
    allowed = tolerance * max(scale, size_of(finite))
    if actual.shape == expected.shape and size_of(actual - expected) <= allowed and actual.dtype == expected.dtype:
        return
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=allowed, equal_nan=True, check_dtype=expected.dim() > 0,
        msg=lambda said: f"{what}: {said}",
    )  # fmt: skip


def assert_same_state(
    ours: torch.optim.Optimizer, theirs: torch.optim.Optimizer, what: str, tolerance: float | None = None,
    scales: dict[Any, float] | None = None,
) -> None:  # fmt: skip
    """Parameters and every entry of their state, by torch's names; ours may count steps where torch's does not.

    `scales` remembers the largest that each has been: what was rounded at that size stays wrong by that much.
    """
    scales = {} if scales is None else scales
    pairs = zip(ours.param_groups, theirs.param_groups, strict=True)
    params = [pq for mine, yours in pairs for pq in zip(mine["params"], yours["params"], strict=True)]
    for k, (p, q) in enumerate(params):
        allowed = TOLERANCE[q.dtype] if tolerance is None else tolerance
        where = f"{what}, parameter {k} of shape {tuple(q.shape)}"
        mine, yours = {"p": p.detach(), **ours.state.get(p, {})}, {"p": q.detach(), **theirs.state.get(q, {})}
        assert set(mine) - {"step"} == set(yours) - {"step"}, f"{where}: {set(mine)} ≠ {set(yours)}"
        counted = not isinstance(theirs, torch.optim.SGD)  # torch's SGD carries ours along, and does not count on
        for name in yours if counted else yours.keys() - {"step"}:
            expected = torch.as_tensor(yours[name])
            assert_close(mine[name], expected, f"{where}, {name}", allowed, scales.get((k, name), 0.0))
            scales[k, name] = max(scales.get((k, name), 0.0), size_of(expected))


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """torch's default dtype, in which it keeps steps and NAdam's product of momenta."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Pair:
    """Ours and theirs on copies of the same parameters; every step of both is compared.

    With `gaps`, parameters lack gradients at times; without, a step may go on as the last one did.
    """

    def __init__(
        self, ours: Maker, theirs: Maker, sizes: Sequence[int | tuple[int, ...]] = SMALL,
        dtype: torch.dtype = torch.float64, tolerance: float | None = None, gaps: bool = False,
    ):  # fmt: skip
        self.gaps = gaps
        self.start = parameters(sizes, dtype)
        self.ps, self.qs = twins(self.start), twins(self.start)
        self.tolerance = tolerance
        self.steps = 0
        self.scales: dict[Any, float] = {}
        self.default = torch.float64 if dtype in (torch.float64, torch.complex128) else torch.float32
        with default_dtype(self.default):
            self.mine, self.yours = ours(self.ps), theirs(self.qs)

    @property
    def both(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Our optimizer and torch's, for what is to be done to both."""
        return self.mine, self.yours

    def give(self) -> None:
        """The gradients of this step, to both."""
        give_gradients(self.ps, self.qs, step=self.steps, gaps=self.gaps)

    def step(self) -> None:
        """A step of both with the same gradients, compared."""
        self.give()
        with default_dtype(self.default):
            self.mine.step()
            self.yours.step()
        assert_same_state(self.mine, self.yours, f"step {self.steps}", self.tolerance, self.scales)
        self.steps += 1

    def train(self, steps: int) -> None:
        """Steps of both, compared; and every parameter has moved since the start."""
        for _ in range(steps):
            self.step()
        for p, before in zip(self.ps, self.start, strict=True):
            assert p.numel() == 0 or not torch.equal(p, before), "nothing moved"


def named_pair(name: str, options: dict[str, Any] | None = None, **more: Any) -> Pair:
    """stepwell's class of torch's name beside torch's own for-loop."""
    given = options or {}
    return Pair(
        lambda params: getattr(door, name)(params, **given),
        lambda params: getattr(torch.optim, name)(params, **{"foreach": False} | given),
        **more,
    )


def assert_same_training(
    ours: Maker, theirs: Maker, *, dtype: torch.dtype, sizes: Sequence[int | tuple[int, ...]] = SIZES,
    steps: int = len(DECADES), tolerance: float | None = None,
) -> None:  # fmt: skip
    """Train copies of the same parameters with both, and compare everything after every step.

    Raises:
        AssertionError: naming the step, the parameter and the entry where they differ; or, where they are equal,
            that nothing moved.
    """
    Pair(ours, theirs, sizes, dtype, tolerance, gaps=True).train(steps)
