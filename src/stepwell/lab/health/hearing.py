"""The losses that lead to a step."""

import threading
from collections.abc import Callable
from typing import Any

from stepwell.lab.health import backward


class Hearing:
    """What `backward` is called on between two steps, in the thread that steps.

    Args:
        cleared: whether no parameter has a gradient.
        begins: called with the first loss of a step, before it is differentiated.
    """

    def __init__(self, cleared: Callable[[], bool], begins: Callable[[Any], object]):
        self.cleared, self.begins = cleared, begins
        self.losses: list[Any] = []
        self.told: float | None = None
        self.thread = 0

    def start(self) -> None:
        """Begin to listen."""
        self.here()
        backward.listen(self._hear)

    def stop(self) -> None:
        """Listen no more."""
        backward.stop(self._hear)

    def here(self) -> None:
        """A step is made in this thread; what another one differentiates is of another training."""
        self.thread = threading.get_ident()

    def take(self) -> tuple[list[Any], float | None]:
        """What was heard since the last step, without the factor of a GradScaler, and what was told; then forgotten."""
        taken, self.losses, self.told = (self.losses, self.told), [], None
        return taken

    def _hear(self, tensors: Any) -> None:
        import torch

        loss = tensors[0] if isinstance(tensors, list | tuple) and len(tensors) == 1 else tensors
        if self.thread != threading.get_ident():
            return
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or loss.grad_fn is None:
            return
        if self.losses and self.cleared():  # what was heard was of another optimizer's step, or of one left out
            self.losses = []
        self.losses.append(backward.unscaled(loss).detach())
        if len(self.losses) == 1:
            self.begins(loss)
