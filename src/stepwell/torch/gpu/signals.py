"""What a step hears of the loss scale, of an overflow and of the global norm, without the host."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stepwell.kernels.norm import clip_factor
from stepwell.torch.state import SCHEDULE

if TYPE_CHECKING:
    from stepwell.torch.gpu.batch import GpuBatch
    from stepwell.torch.optimizer import Optimizer
    from stepwell.torch.plan import Plan


@torch.no_grad()
def left_to_device(optimizer: "Optimizer", plan: "Plan", found_inf: Tensor | None) -> bool:
    """Tell the batches where to find what this step depends on, and whether that is all that the host has to know.

    It is not where a parameter has no kernel of its own, where an error would have to be raised (check_finite), and
    where the host counts the steps of a schedule that a step left out must not count in.
    """
    scheduled = any(group.get(SCHEDULE) is not None for group in optimizer.param_groups)
    alone = plan.on_device and not optimizer._check_finite and not (scheduled and found_inf is not None)
    for batch in plan.device_batches:
        batch.factor = batch.found = None
    if alone:
        scale = getattr(optimizer, "grad_scale", None)
        factor = _factor(plan.device_batches, scale, optimizer._clip_norm)
        for batch in plan.device_batches:
            batch.factor = None if factor is None else factor.to(batch.device, torch.float64)
            batch.found = None if found_inf is None else found_inf.to(batch.device)
    return alone


def _factor(batches: "list[GpuBatch]", scale: Tensor | None, limit: float | None) -> Tensor | None:
    """1 / the loss scale, times what clips the global norm; nothing where there is neither."""
    factor = None if scale is None else 1.0 / scale.double()
    if limit is None:
        return factor
    totals = [batch.total("squares") for batch in batches]
    norm = sum(total.to(totals[0].device) for total in totals).sqrt()  # pyright: ignore[reportAttributeAccessIssue]
    if factor is None:
        return clip_factor(norm, limit)
    factor = factor.to(norm.device)
    return factor * clip_factor(factor * norm, limit)
