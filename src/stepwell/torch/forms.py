"""How parameters and gradients lie in memory, as far as what was made for them depends on it."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from stepwell.torch import checks, state

if TYPE_CHECKING:
    from stepwell.torch.contract import Contract

SPARSE = None  # in place of a gradient's strides
Form = tuple[torch.dtype, torch.Size, tuple[int, ...], tuple[int, ...] | None]


def form_of(p: Tensor, whole: Tensor, owner: "Contract") -> Form | None:
    """How a parameter and its gradient lie in memory; None where there is neither a gradient nor a past."""
    if p.grad is not None:
        return p.dtype, p.shape, p.stride(), p.grad.stride() if p.grad.layout is torch.strided else SPARSE
    if state.STEP not in owner.state.get(whole, ()):
        return None
    return p.dtype, p.shape, p.stride(), SPARSE if whole in owner.tables else p.stride()


def all_alike(params: list[Tensor], grads: np.ndarray, forms: list[Form | None]) -> bool:
    """Whether kernels made for these forms can read the parameters and their gradients."""
    return all(map(_alike, params, grads, forms))


def _alike(p: Tensor, g: Tensor | None, form: Form | None) -> bool:
    """Whether a kernel made for that form can read these, or there is nothing to read."""
    if g is None or form is None:
        return g is None
    dtype, shape, stride, gradient_stride = form
    if gradient_stride is SPARSE:
        return (
            g.layout is not torch.strided
            and g.shape == shape
            and p.stride() == stride
            and p.dtype is dtype
            and checks.is_dtype_of(g, p)
        )
    return (
        type(g) is Tensor
        and g.layout is torch.strided
        and g.dtype is dtype
        and g.shape == shape
        and p.stride() == stride
        and (g.stride() == gradient_stride or (g.is_contiguous() and p.is_contiguous()))
        and not (g.is_neg() or (dtype.is_complex and g.is_conj()))
    )
