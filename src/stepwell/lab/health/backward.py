"""Who hears that a loss is about to be differentiated."""

import functools
import threading
from collections.abc import Callable
from typing import Any

Listener = Callable[[Any], object]

_lock = threading.Lock()
_listeners: list[Listener] = []
_original: list[Callable[..., Any]] = []


def listen(listener: Listener) -> None:
    """Call `listener(loss)` before each `loss.backward()` and `torch.autograd.backward(loss)` of the process.

    torch has no hook for that: its function is replaced while anyone listens.
    """
    import torch

    with _lock:
        if not _listeners:
            _original.append(torch.autograd.backward)
            torch.autograd.backward = _heard(_original[0])
        _listeners.append(listener)


def stop(listener: Listener) -> None:
    """Call it no more; torch's own function is back once nobody listens."""
    import torch

    with _lock:
        _listeners.remove(listener)
        if not _listeners:
            torch.autograd.backward = _original.pop()


def _heard(backward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(backward)
    def heard(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        for listener in tuple(_listeners):
            listener(tensors)
        return backward(tensors, *args, **kwargs)

    return heard
