"""What a task is, in a few words and numbers that any process finds again: runs of another are not its own.

Functions are known by their names, models and data by what comes of them: the parameters at one seed, the first batch.
Numbers have four digits, so that the last bits, in which machines differ, do not count.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stepwell.lab.batches import Source, TaskError, explained, leaves
from stepwell.lab.candidates import Candidate
from stepwell.lab.randomness import preserved
from stepwell.lab.task import Task, describe
from stepwell.rules import named
from stepwell.schedules import Schedule

if TYPE_CHECKING:
    from torch import Tensor

SEED = 0
MOST = 1 << 14  # numbers of a tensor that are looked at, from its beginning to its end


def fingerprint(task: Task, steps: int) -> dict[str, Any]:
    """A task with runs of so many steps, as JSON can have it.

    Errors: `TaskError` if the model cannot be made, or there is no batch.
    """
    model = task.fresh(SEED)
    parameters = dict(model.named_parameters())
    return {
        "name": task.name,
        "about": describe(task),
        "batch": task.batch,
        "every": task.every,
        "clip_norm": task.clip_norm,
        "schedule": schedule(task, steps),
        "goal": asdict(task.goal) if task.goal else None,
        **{name: word(getattr(task, name)) for name in ("loss", "metric", "call")},
        "parameters": {name: form(p) for name, p in parameters.items()},
        "weights": mark(parameters.values()),
        "data": _beginning("data", task.source),
        "validation": _beginning("validation", task.held_out) if task.held_out else None,
    }


def foreign(candidates: Mapping[str, Candidate]) -> dict[str, str]:
    """What makes those optimizers that are not this library's rule of the name, which they may have."""
    others = {name: c for name, c in candidates.items() if c.rule is None or c.rule is not named.get(name)}
    return {name: str(word(c.make) if c.rule is None else c.rule.name) for name, c in others.items()}


def schedule(task: Task, steps: int) -> str | None:
    """The schedule of runs of so many steps as the expression that makes it, if it is one of `schedules`; or its name.

    Errors: `TaskError` if there can be no such runs.
    """
    made = task.rate(steps)
    return None if task.schedule is None else word(made if isinstance(made, Schedule) else task.schedule)


def word(function: Callable[..., Any] | None) -> str | None:
    """What a function is called: its name, or what it says of itself but for where it lies.

    >>> import functools
    >>> word(len), word(functools.partial(print, end=""))
    ('len', "functools.partial(<built-in function print>, end='')")
    """
    if function is None:
        return None
    return getattr(function, "__qualname__", None) or re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(function))


def form(tensor: "Tensor") -> str:
    """The shape and the dtype."""
    return f"{'×'.join(map(str, tensor.shape)) or 'scalar'} {str(tensor.dtype).removeprefix('torch.')}"


def mark(tensors: Iterable[Any]) -> str:
    """A number that tensors of other values, or in another order, hardly share."""
    import torch

    total = 0.0
    for place, each in enumerate(tensors, 1):
        if isinstance(each, torch.Tensor) and each.layout == torch.strided and each.numel():
            flat = torch.real(each.detach()).reshape(-1)
            some = flat[:: -(-len(flat) // MOST)].cpu().double()
            total += float(some @ torch.cos(place + torch.arange(len(some), dtype=torch.float64)))
    return f"{total:.4g}"


def _beginning(name: str, source: Source) -> dict[str, Any]:
    """The form and the mark of a source's first batch."""
    with preserved(), explained(f"{name} fails"):
        batch = next(source.whole(), None)
    if batch is None:
        raise TaskError(f"{name} gave no batch: a loader must not be empty")
    parts = leaves(batch)
    forms = [form(x) if hasattr(x, "shape") else type(x).__name__ for x in parts]
    return {"batch": forms, "mark": mark(parts)}
