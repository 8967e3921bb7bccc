"""Steps inside a CUDA graph: what cannot be captured is refused, and what a graph reads is kept."""

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from stepwell.kernels import gpu
from stepwell.torch.gpu import device
from stepwell.torch.state import SCHEDULE

if TYPE_CHECKING:
    from stepwell.torch.contract import Contract
    from stepwell.torch.plan import Plan

_kept: "weakref.WeakKeyDictionary[Contract, list[Plan]]" = weakref.WeakKeyDictionary()


def refuse_options(optimizer: "Contract", options: Mapping[str, Any]) -> None:
    """Refuse capturable=True where a step needs the host.

    Raises:
        ValueError: parameters that are not on a GPU; a scheduled rate; check_finite; in_backward.
    """
    if not options.get("capturable"):
        return
    if callable(options.get("lr")) or options.get(SCHEDULE) is not None:
        raise ValueError(
            "capturable=True: a graph cannot ask a schedule for its rate; give lr as a tensor on the GPU and fill it "
            "before each replay"
        )
    if optimizer._in_backward:
        raise ValueError("capturable=True: a step inside backward() is not captured; in_backward must be False")
    if optimizer._check_finite:
        raise ValueError("capturable=True: check_finite=True raises an error, which needs the host; choose one of them")
    given = options.get("params", ())
    params = [given] if isinstance(given, torch.Tensor) else given
    for p in (p[1] if isinstance(p, tuple) else p for p in params):
        if isinstance(p, torch.Tensor) and not device.takes(p):
            why = "" if gpu.usable() else ', and Triton: pip install "stepwell[gpu]"'
            raise ValueError(f"capturable=True needs parameters on a GPU; got one on {p.device}{why}")


def refuse_new_plan(optimizer: "Contract") -> None:
    """Refuse to prepare a step inside a graph, where no memory may be asked for and nothing read."""
    if device.capturing():
        raise RuntimeError(
            f"{type(optimizer).__name__}.step() inside a CUDA graph must be the step that was made before it: step a "
            "few times outside, with the same parameters having gradients, then capture"
        )


def check(optimizer: "Contract", plan: "Plan", alone: bool) -> None:
    """Inside a graph: refuse what cannot be captured, and keep what the graph will read.

    Raises:
        RuntimeError: some group has capturable=False, a schedule, or a parameter that the kernels do not take.
    """
    if not (plan.device_batches and device.capturing()):
        return
    groups = optimizer.param_groups
    if any(group.get("capturable") is False for group in groups):
        raise RuntimeError(f"a CUDA graph of {type(optimizer).__name__}.step() needs capturable=True in every group")
    if any(group.get(SCHEDULE) is not None for group in groups):
        raise RuntimeError("a CUDA graph cannot ask a schedule for its rate; give lr as a tensor on the GPU")
    if not alone:
        raise RuntimeError(
            "a CUDA graph needs dense gradients, and parameters that the kernels for a GPU take (contiguous, on a GPU, "
            "without check_finite); another one would be stepped by the host"
        )
    plans = _kept.setdefault(optimizer, [])
    if plan not in plans:
        plans.append(plan)
