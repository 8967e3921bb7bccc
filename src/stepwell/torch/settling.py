"""What a step finds out about all gradients before it writes anything, and if parameters are sharded asks all for."""

import math
from typing import TYPE_CHECKING

from stepwell.kernels.norm import clip_factor
from stepwell.torch import checks
from stepwell.torch.sharding import Shares

if TYPE_CHECKING:
    from stepwell.torch.contract import Contract
    from stepwell.torch.plan import Plan

ELSEWHERE = "another process refused its gradients or state, and says why there; nothing was changed here"


def gradient_scale(owner: "Contract", plan: "Plan", threads: int) -> float | None:
    """The factor on all gradients: 1 / the loss scale, and clipping; they are checked first if asked.

    None where a loss was scaled and finite values of one row add up to infinity: the step is left out.

    Raises:
        FloatingPointError: with check_finite, if a gradient is not finite, here or on another process.
        RuntimeError: another process has refused its gradients.
    """
    skip = _is_scaled(owner) and not plan.rows_are_finite(threads)
    odd = owner._check_finite and not plan.all_finite(threads)
    squares = {} if owner._clip_norm is None else plan.squares(threads)
    total = squares.get(None, 0.0)
    if plan.shares.agreement is not None and _settles(owner):
        total, (skip, odd, elsewhere) = plan.shares.agreement.settle(squares, skip, odd, False)
        if elsewhere:
            raise RuntimeError(ELSEWHERE)
    if skip:
        return None
    if odd:
        raise FloatingPointError(checks.FINITE)
    amp = getattr(owner, "grad_scale", None)
    scale = 1.0 if amp is None else 1.0 / float(amp)
    return scale if owner._clip_norm is None else scale * clip_factor(scale * math.sqrt(total), owner._clip_norm)


def tell(owner: "Contract", error: Exception) -> None:
    """Let the processes that wait for this one's share know that it has none to give."""
    agreement = Shares(owner.param_groups).agreement if _settles(owner) else None
    if agreement is not None:
        odd = isinstance(error, FloatingPointError)
        agreement.settle({}, False, odd, not odd)


def _settles(owner: "Contract") -> bool:
    """Whether a step of sharded parameters asks all processes for something."""
    return owner._clip_norm is not None or owner._check_finite or _is_scaled(owner)


def _is_scaled(owner: "Contract") -> bool:
    return getattr(owner, "found_inf", None) is not None
