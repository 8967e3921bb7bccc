"""An existing training that is left as it was, to the last bit, whatever is done in between."""

import contextlib
import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from stepwell.lab.randomness import preserved
from stepwell.lab.rates.numbers import of_tensors
from stepwell.lab.rates.reachable import of_reachable, refill

if TYPE_CHECKING:
    from torch import nn

Restore = Callable[[], object]


@contextlib.contextmanager
def untouched(model: "nn.Module", loader: Any) -> Iterator[None]:
    """After the block weights, buffers, gradients, modes, generators and samplers are what they were before it.

    It is for what runs on copies, and so changes them only by a detour: a loss that reads the model itself, or a loader
    that draws. Of the loader, what it leads to is put back: see `stepwell.lab.rates.reachable`.

    Errors: what cannot be put back is said after all else is; an ExceptionGroup, if it is more than one thing.
    """
    import torch

    with preserved(), torch.inference_mode(False):  # which has gradients, also under a no_grad outside
        restores = [*_of_model(model), *of_reachable(loader)]
        try:
            yield
        finally:
            _all(restores)


def loader_of_its_own(loader: Any) -> Any:
    """A loader whose passes do not disturb one that is under way, as those with persistent workers do."""
    from torch.utils.data import DataLoader

    if not isinstance(loader, DataLoader):
        return loader
    made = copy.copy(loader)
    made._iterator = None
    return made


def _all(restores: Iterable[Restore]) -> None:
    """Call each, whatever the others raise; then raise it."""
    errors: list[BaseException] = []
    for restore in restores:
        try:
            restore()
        except BaseException as error:  # Ctrl-C, too, is no reason to leave the rest undone
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else BaseExceptionGroup("the training was not all put back", errors)


def _of_model(model: "nn.Module") -> Iterator[Restore]:
    """What puts back the parts first, then their numbers."""
    for module in model.modules():
        yield functools.partial(setattr, module, "training", module.training)
        for own in (module._parameters, module._buffers):
            yield functools.partial(refill, own, dict(own))
    tensors = [*model.parameters(), *model.buffers()]
    for parameter in model.parameters():
        yield functools.partial(setattr, parameter, "grad", parameter.grad)
        tensors += [] if parameter.grad is None else [parameter.grad]
    yield from of_tensors(tensors)
