"""An optimizer whose parameters the kernels for a GPU take, beside another on the CPU, compared after every step."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from stepwell.torch.gpu import device
from tests.kernels.interpreter import DEVICE, ON_GPU
from tests.torch.harness import TOLERANCE, absent, gradient, parameters, size_of

SIZES = (0, 1, 5, 2047, 2048, 2049)  # a block of the kernels, and its neighbours
SMALL = (1, 5, 17)
Maker = Callable[[list[Tensor]], Any]


@contextmanager
def engine(on: bool = True) -> Iterator[None]:
    """Within this, tensors on DEVICE are taken by the kernels for a GPU, also where that is the CPU."""
    before = device.takes
    if not ON_GPU:
        device.takes = lambda x: on and x.device.type == DEVICE
    try:
        yield
    finally:
        device.takes = before


class Pair:
    """`ours` on the device, `theirs` on the CPU; each step gives both the same gradients.

    Args:
        gaps: parameters lack their gradient at times.
        fresh: gradients are new tensors at each step.
    """

    def __init__(
        self, ours: Maker, theirs: Maker, sizes: Sequence[Any] = SIZES, dtype: torch.dtype = torch.float32,
        gaps: bool = True, fresh: bool = True,
    ):  # fmt: skip
        self.qs = parameters(sizes, dtype)
        self.ps = [q.detach().clone().to(DEVICE).requires_grad_() for q in self.qs]
        self.gaps, self.fresh, self.steps, self.dtype = gaps, fresh, 0, dtype
        self.scales: dict[tuple[int, str], float] = {}
        with engine():
            self.mine = ours(self.ps)
        self.theirs = theirs(self.qs)

    def give(self) -> None:
        """The gradients of the next step."""
        for k, (p, q) in enumerate(zip(self.ps, self.qs, strict=True)):
            g = None if self.gaps and absent(self.steps, k) else gradient(q.shape, q.dtype, self.steps, k)
            q.grad = None if g is None else g.clone()
            if g is None or p.grad is None or self.fresh:
                p.grad = None if g is None else g.clone().to(DEVICE)
            else:
                p.grad.copy_(g)

    def step(self) -> None:
        """One step of both, and the comparison."""
        self.give()
        with engine():
            self.mine.step()
        self.theirs.step()
        self.steps += 1
        self.compare()

    def train(self, steps: int = 8) -> None:
        """Several steps."""
        for _ in range(steps):
            self.step()

    def compare(self) -> None:
        """Parameters, state and zeroed gradients are equal to the tolerance of the dtype."""
        for k, (p, q) in enumerate(zip(self.ps, self.qs, strict=True)):
            found, expected = {"p": p, **self.mine.state.get(p, {})}, {"p": q, **self.theirs.state.get(q, {})}
            if q.grad is not None and q.grad.layout is torch.strided and not q.grad.any():
                assert p.grad is not None
                assert not p.grad.any()
            for name in expected:
                if expected[name] is None:
                    continue
                x, y = (torch.as_tensor(side[name]).detach().cpu() for side in (found, expected))
                scale = self.scales[k, name] = max(self.scales.get((k, name), 0.0), size_of(y))
                where = f"step {self.steps}, {name} of {tuple(q.shape)}"
                assert x.shape == y.shape, where
                assert size_of(x - y) <= TOLERANCE[self.dtype] * scale, f"{where}: {size_of(x - y) / scale:.2g}"


class HostRead(AssertionError):
    """The host waited for the device."""


@contextmanager
def no_host_reads() -> Iterator[None]:
    """Within this, whatever makes the host wait for the device raises."""
    if ON_GPU:
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
        return
    names = ("__float__", "__bool__", "__int__", "__index__", "item", "tolist", "cpu", "numpy")
    kept = {name: getattr(Tensor, name) for name in names}

    def refuse(name: str) -> Callable[..., Any]:
        def read(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            if _of_the_interpreter() or not device.takes(x):
                return kept[name](x, *args, **kwargs)
            raise HostRead(name)

        return read

    for name in names:
        setattr(Tensor, name, refuse(name))
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Tensor, name, method)


def _of_the_interpreter() -> bool:
    """Whether it is Triton's interpreter that reads: it stands for the device."""
    import sys

    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("triton."):
            return True
        frame = frame.f_back
    return False
