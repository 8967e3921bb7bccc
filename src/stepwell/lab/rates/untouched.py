"""An existing training that is left as it was, to the last bit, whatever is done in between."""

import contextlib
import copy
import functools
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from stepwell.lab.randomness import preserved

if TYPE_CHECKING:
    from torch import nn

DEEP = 5  # how far attributes of a loader are followed
LONG = 64  # items of a container beyond which it is data, and not looked at
WORKING = (
    "_thread",
    "asyncio",
    "concurrent",
    "multiprocessing",
    "queue",
    "threading",
)  # modules of what others work at

Restore = Callable[[], object]


@contextlib.contextmanager
def untouched(model: "nn.Module", loader: Any) -> Iterator[None]:
    """After the block weights, buffers, gradients, modes, generators and samplers are what they were before it.

    It is for what runs on copies, and so changes them only by a detour: a loss that reads the model itself, or a loader
    that draws. Of the loader, what its attributes lead to is put back: generators, numbers, short lists.
    """
    import torch

    with preserved(), torch.inference_mode(False):  # which has gradients, also under a no_grad outside
        restores = [*_of_model(model), *_of_loader(loader)]
        try:
            yield
        finally:
            for restore in restores:
                restore()


def loader_of_its_own(loader: Any) -> Any:
    """A loader whose passes do not disturb one that is under way, as those with persistent workers do."""
    from torch.utils.data import DataLoader

    if not isinstance(loader, DataLoader):
        return loader
    made = copy.copy(loader)
    made._iterator = None
    return made


def _of_model(model: "nn.Module") -> Iterator[Restore]:
    for module in model.modules():
        yield functools.partial(setattr, module, "training", module.training)
    for tensor in [*model.parameters(), *model.buffers()]:
        yield functools.partial(_put_back, tensor, tensor.detach().clone())
    for parameter in model.parameters():
        grad = parameter.grad
        if grad is not None:
            yield functools.partial(_put_back, grad, grad.detach().clone())
        yield functools.partial(setattr, parameter, "grad", grad)


def _put_back(tensor: Any, before: Any) -> None:
    import torch

    with torch.no_grad():
        if not torch.equal(tensor, before):
            tensor.copy_(before)


def _of_loader(loader: Any) -> Iterator[Restore]:
    """What puts back each thing that a loader's attributes lead to; its data are not among them."""
    seen: dict[int, Any] = {}
    todo = [(loader, 0)]
    while todo:
        thing, depth = todo.pop()
        if id(thing) in seen or depth > DEEP or _is_not_state(thing):
            continue
        seen[id(thing)] = thing  # kept, so that no other thing has its id
        if restore := _of_generator(thing) or _of_container(thing):
            yield restore
        todo += [(each, depth + 1) for each in _parts(thing)]


def _is_not_state(thing: Any) -> bool:
    """Whether it is code, or what another process or thread has a hand in, such as a pass that is under way."""
    from torch.utils.data.dataloader import _BaseDataLoaderIter

    if isinstance(thing, type | ModuleType | FunctionType | _BaseDataLoaderIter):
        return True
    return type(thing).__module__.partition(".")[0] in WORKING


def _of_generator(thing: Any) -> Restore | None:
    import torch

    if isinstance(thing, torch.Generator):
        return functools.partial(thing.set_state, thing.get_state())
    if isinstance(thing, np.random.BitGenerator):
        return functools.partial(setattr, thing, "state", thing.state)
    if isinstance(thing, np.random.Generator):
        return _of_generator(thing.bit_generator)
    if isinstance(thing, np.random.RandomState):
        return functools.partial(thing.set_state, thing.get_state())
    return functools.partial(thing.setstate, thing.getstate()) if isinstance(thing, random.Random) else None


def _of_container(thing: Any) -> Restore | None:
    """What puts back the attributes of an object, or the items of a short container."""
    if isinstance(thing, list | deque | dict | set):
        return functools.partial(_refill, thing, copy.copy(thing)) if len(thing) <= LONG else None
    attributes = _attributes(thing)
    return functools.partial(_refill, attributes, dict(attributes)) if attributes else None


def _refill(container: Any, before: Any) -> None:
    if isinstance(container, dict):  # it may be an object's own, which is not to be empty at any time
        for name in container.keys() - before.keys():
            del container[name]
        container.update(before)
        return
    container.clear()
    container.update(before) if isinstance(container, set) else container.extend(before)


def _parts(thing: Any) -> list[Any]:
    if isinstance(thing, list | tuple | deque | dict | set):
        items = list(thing.values()) if isinstance(thing, Mapping) else list(thing)
        return items if len(items) <= LONG else []
    return list((_attributes(thing) or {}).values())


def _attributes(thing: Any) -> dict[str, Any] | None:
    """The attributes of an object that is no tensor, array or module of a model: those have their own care."""
    import torch

    if isinstance(thing, torch.Tensor | np.ndarray | torch.nn.Module):
        return None
    return getattr(thing, "__dict__", None)
