"""A training that there is, as a task and an optimizer to try, while it is itself left as it is."""

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import Candidate, choose, existing
from stepwell.lab.rates.untouched import loader_of_its_own, untouched
from stepwell.lab.task import Task
from stepwell.rule import Rule

if TYPE_CHECKING:
    from torch import nn

Hyper = dict[str, float]


@contextlib.contextmanager
def existing_training(
    model: "nn.Module", optimizer: Any, loss: Callable[[Any, Any], Any], loader: Any, **more: Any
) -> Iterator[tuple[Task, Candidate, Hyper]]:
    """The task, the candidate and its hyperparameters of a training; all of it is what it was after the block.

    Args:
        optimizer: torch's, in the state it is in, or what `candidate_of` takes.
        more: other attributes of the task.

    Errors: `TaskError` for what cannot be copied, or an optimizer that is not the model's.
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TaskError(f"model must be a torch.nn.Module; got {type(model).__name__}")
    with untouched(model, loader):
        if not model.training:
            model.train()
        loss = copy.deepcopy(loss) if isinstance(loss, torch.nn.Module) else loss
        try:
            task = Task.of(model, None, loss, loader_of_its_own(loader), **{"name": type(model).__name__, **more})
        except TypeError as error:
            raise TypeError(f"find_lr: {error}") from error
        if not isinstance(optimizer, torch.optim.Optimizer):
            yield task, candidate_of(optimizer), {}
            return
        yield task, *_existing(model, optimizer)


def candidate_of(optimizer: Any) -> Candidate:
    """What is to be tried: a rule, its name, or a function that makes an optimizer.

    Errors: ValueError or TypeError, which says what is wrong with it.
    """
    import torch

    if isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError("an optimizer that there is needs its model, loss and loader too, and no task")
    if callable(optimizer) and not isinstance(optimizer, Rule):
        make: dict[str, Any] = {getattr(optimizer, "__name__", "optimizer").lower(): optimizer}
        return next(iter(choose(make).values()))
    (found,) = choose([optimizer]).values()
    return found


def _existing(model: "nn.Module", optimizer: Any) -> tuple[Candidate, Hyper]:
    """Copies of the optimizer; or its rule, which can be stacked, where it is torch's own and has not begun."""
    trained = [id(p) for p in model.parameters() if p.requires_grad]
    groups = optimizer.param_groups
    members = [[id(p) for p in group["params"]] for group in groups]
    if not set(trained) & {p for each in members for p in each}:
        raise TaskError("the optimizer has none of the model's parameters that are trained")
    if any(callable(value) for group in groups for value in group.values()):
        raise TaskError("the optimizer's rate follows a schedule: make it with a number, and give schedule=… here")
    begun = any(float(entry.get("step", 1)) for entry in optimizer.state.values())
    known = None if begun or members != [trained] else _as_rule(type(optimizer), groups[0])
    if known is None:
        return existing(model, optimizer), {}
    rule, hyper = known
    return Candidate(type(optimizer).__name__.lower(), rule, rate=hyper.pop("lr")), hyper


def _as_rule(kind: type, group: Mapping[str, Any]) -> tuple[Rule, dict[str, float]] | None:
    """The rule and the hyperparameters of an optimizer of torch's; None where there is none."""
    import torch

    import stepwell.torch as door

    name = kind.__name__
    named = getattr(door, name, None)
    if named is None or kind is not getattr(torch.optim, name, None) or group.get("maximize"):
        return None
    options = {key: group[key] for key in inspect.signature(named).parameters.keys() & group.keys() if key != "params"}
    try:
        (made,) = (ours := named([torch.nn.Parameter(torch.zeros(1))], **options)).param_groups
    except (TypeError, ValueError):
        return None
    rule, hyper = ours.rule_of(made), ours.hyperparameters(made)
    decay = float(made.get("weight_decay", 0.0))
    return rule, hyper | ({"weight_decay": decay} if decay and "weight_decay" not in hyper else {})
