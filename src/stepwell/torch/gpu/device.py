"""What a GPU takes, and how the host hands it numbers without waiting for it."""

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepwell.kernels import gpu

WORDS = 64  # that one launch of `put` hands over, as the kernel's own arguments

_PUT = '''\
"""Words from a kernel's arguments into an array."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize={names})
def put(target, at, count, {arguments}):
{stores}
'''


def takes(x: Tensor) -> bool:
    """Whether a tensor lies where the kernels for a GPU run."""
    return x.device.type == "cuda" and gpu.usable()


def capturing() -> bool:
    """Whether what is launched now goes into a CUDA graph instead of to the device."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def on(device: torch.device) -> Any:
    """Within this, launches go to that device."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def filled(device: torch.device, array: np.ndarray) -> Tensor:
    """A new tensor with an array's numbers."""
    made = torch.empty(array.shape, dtype=torch.from_numpy(array[:0]).dtype, device=device)
    hand_over(made, array)
    return made


def hand_over(target: Tensor, array: np.ndarray) -> None:
    """Put 8-byte numbers into a tensor, in the order of the current stream; the array may change once this returns.

    The copy is from pinned memory, which torch gives to nobody else before the copy is done. A graph has the numbers
    themselves: it would read the host's memory anew at each replay.
    """
    source = torch.from_numpy(np.ascontiguousarray(array))
    if capturing():
        _put(target.view(torch.int64).view(-1), source.view(torch.int64).view(-1).tolist())
    elif target.device.type == "cpu":
        target.copy_(source)
    else:
        target.copy_(source.pin_memory(), non_blocking=True)


def _put(target: Tensor, words: Sequence[int]) -> None:
    kernel = _put_kernel()
    for at in range(0, len(words), WORDS):
        some = words[at : at + WORDS]
        with on(target.device):
            kernel[(1,)](target, at, len(some), *some, *[0] * (WORDS - len(some)), num_warps=1, **gpu.OPTIONS)


@functools.cache
def _put_kernel() -> Any:
    words = [f"w{k}" for k in range(WORDS)]
    source = _PUT.format(
        names=["at", "count", *words], arguments=", ".join(f"{w}: tl.int64" for w in words),
        stores="\n".join(f"    tl.store(target + at + {k}, {w}, mask={k} < count)" for k, w in enumerate(words)),
    )  # fmt: skip
    return gpu.functions(source)["put"]


def option(value: Any) -> Any:
    """A number among a group's options: itself as a float, or the tensor on the device, which is not waited for."""
    return value if isinstance(value, Tensor) and takes(value) else float(value)
