"""On PyTorch nothing of a step is recorded for the backward pass."""
# pyright: reportMissingImports=false

from typing import Any

import torch


class Engine:
    """What runs the step."""

    @torch.no_grad()
    def _backend_apply_gradients(self, grads: Any, trainable_variables: Any) -> None:
        super()._backend_apply_gradients(grads, trainable_variables)  # pyright: ignore[reportAttributeAccessIssue]
