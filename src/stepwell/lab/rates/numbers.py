"""The numbers of tensors, kept to be put back to the bit: also NaN, views that overlap, and sparse tensors."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Restore = Callable[[], object]


def of_tensors(tensors: Iterable[Any]) -> Iterator[Restore]:
    """What puts back where these tensors have their numbers, then the numbers, memory that they share once."""
    import torch

    memories: dict[int, Any] = {}
    for tensor in tensors:
        memory = _memory(tensor)
        memories[memory._cdata] = memory
        if isinstance(memory, torch.UntypedStorage):
            yield functools.partial(_point, tensor, tensor.detach())
    for memory in memories.values():
        if memory.device.type != "meta":
            yield _of_memory(memory)


def size(tensor: Any) -> int:
    """Bytes of all the memory that a tensor is a view of."""
    import torch

    memory = _memory(tensor)
    return memory.nbytes() if isinstance(memory, torch.UntypedStorage) else memory.nbytes


def _memory(tensor: Any) -> Any:
    """All bytes that a tensor is a view of; the tensor itself if it is none, such as one that is sparse."""
    import torch

    if tensor.layout != torch.strided:
        return tensor
    try:
        return tensor.untyped_storage()
    except NotImplementedError:  # a subclass with memory of its own kind
        return tensor


def _of_memory(memory: Any) -> Restore:
    import torch

    if isinstance(memory, torch.Tensor):
        return functools.partial(_copy, memory, memory.detach().clone())
    seen = torch.empty(0, dtype=torch.uint8, device=memory.device).set_(memory)
    return functools.partial(_put_back, seen, seen.clone())


def _copy(tensor: Any, before: Any) -> None:
    import torch

    with torch.no_grad():
        tensor.copy_(before)


def _put_back(seen: Any, before: Any) -> None:
    import torch

    if not torch.equal(seen, before):
        seen.copy_(before)


def _point(tensor: Any, before: Any) -> None:
    """Undo `tensor.data = …`."""
    if (tensor.data_ptr(), tensor.shape, tensor.stride()) != (before.data_ptr(), before.shape, before.stride()):
        tensor.data = before
