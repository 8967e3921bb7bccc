"""Who hears that a loss is about to be differentiated."""

import functools
import threading
from collections.abc import Callable
from typing import Any

Listener = Callable[[Any], object]

_UNSCALED = "_stepwell_unscaled"  # of a scaled loss: what it was
_lock = threading.Lock()
_listeners: list[Listener] = []
_original: list[Callable[..., Any]] = []


def listen(listener: Listener) -> None:
    """Call `listener(loss)` before each `loss.backward()` and `torch.autograd.backward(loss)` of the process.

    torch has no hook for that: its function is replaced while anyone listens, and that by which a GradScaler makes a
    loss a multiple of itself.
    """
    import torch

    with _lock:
        if not _listeners:
            _original.extend((torch.autograd.backward, torch.amp.GradScaler.scale))
            torch.autograd.backward, torch.amp.GradScaler.scale = _heard(_original[0]), _noted(_original[1])
        _listeners.append(listener)


def stop(listener: Listener) -> None:
    """Call it no more; torch's own function is back once nobody listens."""
    import torch

    with _lock:
        _listeners.remove(listener)
        if not _listeners:
            torch.autograd.backward, torch.amp.GradScaler.scale = _original
            _original.clear()


def unscaled(loss: Any) -> Any:
    """The loss of which a GradScaler has made this one; itself where none has."""
    return getattr(loss, _UNSCALED, loss)


def _heard(backward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(backward)
    def heard(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        for listener in tuple(_listeners):
            listener(tensors)
        return backward(tensors, *args, **kwargs)

    return heard


def _noted(scale: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(scale)
    def noted(scaler: Any, outputs: Any) -> Any:
        scaled = scale(scaler, outputs)
        if scaled is not outputs and hasattr(outputs, "detach"):
            setattr(scaled, _UNSCALED, outputs.detach())
        return scaled

    return noted
