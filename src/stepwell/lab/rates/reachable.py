"""What a loader leads to and a pass over it may change: random generators, counters, orders; put back to the bit.

Followed are attributes (also in `__slots__`, and of modules), closures, defaults, partials, bound methods, and the
items of containers of up to 64, eight deep; of the globals that a function names only random generators. Put back are
Python's, NumPy's and torch's generators, the attributes themselves, lists, sets, dicts and deques of up to a million
items, and arrays and tensors of up to 8 MiB. Not put back is what is larger or elsewhere: data, iterators that are
under way, files, other processes.
"""

import contextlib
import functools
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from stepwell.lab.rates.numbers import of_tensors, size

DEEP = 8  # how far a loader's parts are followed
LONG = 64  # items of a container beyond which they are data, and not looked at
ITEMS, BYTES = 1 << 20, 1 << 23  # of a container, and of an array, beyond which it is data itself
WORKING = (
    "_thread",
    "asyncio",
    "concurrent",
    "multiprocessing",
    "queue",
    "threading",
)  # modules of what others work at

Restore = Callable[[], object]


def of_reachable(loader: Any) -> Iterator[Restore]:
    """What puts back each thing that a loader leads to; nothing that is as it was is written."""
    seen: dict[int, Any] = {}
    todo = deque([(loader, 0)])
    while todo:
        thing, depth = todo.popleft()  # the nearest first, since what is seen is not followed again
        if id(thing) in seen or depth > DEEP or _is_not_state(thing):
            continue
        seen[id(thing)] = thing  # kept, so that no other thing has its id
        if restore := of_generator(thing):
            yield restore
            continue
        yield from _of_state(thing)
        todo += [(each, depth + 1) for each in _parts(thing)]


def refill(container: Any, before: Any) -> None:
    """Give a container its items again, in their order; one that has them is left alone."""
    if _ids(container) == _ids(before):
        return
    container.clear()
    container.update(before) if isinstance(container, dict | set) else container.extend(before)


def of_generator(thing: Any) -> Restore | None:
    """What puts back a random generator; None for anything else."""
    import torch

    if isinstance(thing, torch.Generator):
        return functools.partial(thing.set_state, thing.get_state())
    if isinstance(thing, np.random.BitGenerator):
        return functools.partial(setattr, thing, "state", thing.state)
    if isinstance(thing, np.random.Generator):
        return of_generator(thing.bit_generator)
    if isinstance(thing, np.random.RandomState):
        return functools.partial(thing.set_state, thing.get_state())
    return functools.partial(thing.setstate, thing.getstate()) if isinstance(thing, random.Random) else None


def _is_not_state(thing: Any) -> bool:
    """Whether it is a number, a class, or what another process or thread has a hand in, as a pass under way."""
    from torch.utils.data.dataloader import _BaseDataLoaderIter

    if isinstance(thing, str | bytes | int | float | type | ModuleType | _BaseDataLoaderIter | None):
        return True
    return type(thing).__module__.partition(".")[0] in WORKING


def _of_state(thing: Any) -> Iterator[Restore]:
    """What puts back a thing's own items, numbers and attributes."""
    import torch

    if isinstance(thing, torch.Tensor):
        if thing.layout == torch.strided and size(thing) <= BYTES:
            yield from of_tensors([thing])
    elif isinstance(thing, np.ndarray):
        if thing.nbytes <= BYTES and thing.flags.writeable:
            yield functools.partial(_rewrite, thing, thing.copy())
    elif isinstance(thing, list | deque | dict | set):
        if len(thing) <= ITEMS:
            yield functools.partial(refill, thing, dict(thing) if isinstance(thing, dict) else list(thing))
    elif isinstance(thing, CellType):
        yield functools.partial(setattr, thing, "cell_contents", thing.cell_contents)
    else:
        if attributes := getattr(thing, "__dict__", None):
            yield functools.partial(_reset, attributes, dict(attributes))
        for slot, value in _slots(thing):
            yield functools.partial(slot.__set__, thing, value)


def _rewrite(array: Any, before: Any) -> None:
    """Put an array's numbers back if a bit of them has changed."""
    if array.tobytes() != before.tobytes():
        array[...] = before


def _reset(attributes: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Put an object's attributes back, of which it is not to be without one at any time."""
    for name in attributes.keys() - before.keys():
        del attributes[name]
    attributes.update(before)


def _slots(thing: Any) -> Iterator[tuple[Any, Any]]:
    """The slots of an object that hold something, and what."""
    for kind in type(thing).__mro__:
        for slot in vars(kind).values() if "__slots__" in vars(kind) else ():
            if isinstance(slot, MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # an empty one
                    yield slot, slot.__get__(thing)


def _parts(thing: Any) -> list[Any]:
    """What is followed from a thing."""
    if isinstance(thing, list | tuple | deque | dict | set):
        items = list(thing.values()) if isinstance(thing, Mapping) else list(thing)
        items = items if len(items) <= LONG else []
    elif isinstance(thing, FunctionType):
        items = _parts_of_function(thing)
    elif isinstance(thing, functools.partial):
        items = [thing.func, thing.args, thing.keywords]
    elif isinstance(thing, MethodType):
        items = [thing.__self__, thing.__func__]
    elif isinstance(thing, BuiltinMethodType):
        items = [thing.__self__]
    else:
        items = [thing.cell_contents] if isinstance(thing, CellType) else []
    return [*items, *(getattr(thing, "__dict__", None) or {}).values(), *(value for _, value in _slots(thing))]


def _parts_of_function(function: FunctionType) -> list[Any]:
    cells = [cell for cell in function.__closure__ or () if cell != CellType()]  # one without contents has no state
    named = [function.__globals__.get(name) for name in _names(function.__code__)]
    generators = [each for each in named if of_generator(each)]
    return [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *generators]


def _names(code: CodeType) -> Iterator[str]:
    """The globals and attributes that code names, and the functions within it."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def _ids(container: Any) -> list[Any]:
    if isinstance(container, dict):
        return [(key, id(value)) for key, value in container.items()]
    return [id(each) for each in container]
