# pyright: reportMissingImports=false
"""Taking over a state dict: all of it is compared with what the optimizer has before anything changes."""

import copy
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import paddle
from paddle.optimizer.lr import LambdaDecay, LRScheduler

from stepwell.checkpoint.snapshot import count
from stepwell.domain import number
from stepwell.paddle.entry import dtype_of, form_of

if TYPE_CHECKING:
    from stepwell.paddle.optimizer import Optimizer

RATE, MASTERS = "LR_Scheduler", "master_weights"  # entries of Paddle's state dicts that are no accumulators


def take_over(optimizer: "Optimizer", state_dict: Mapping[str, Any]) -> None:
    """Paddle's `set_state_dict`; accumulators that are not made yet wait in `_accumulators_holder` for `resume`.

    Raises:
        ValueError: something is missing, or of another shape or dtype; nothing has changed.
    """
    found = {name: x for name, x in state_dict.items() if name not in (RATE, MASTERS)}
    made = {own.name: own for each in optimizer._accumulators.values() for own in each.values()}
    for name, own in made.items():
        _refuse_misfit(f"state_dict[{name!r}]", found.get(name), dtype_of(own), own.shape)
    given = state_dict.get(MASTERS)
    masters = {} if given is None else _masters(optimizer, given)
    rate, position = optimizer._learning_rate, state_dict.get(RATE)
    if isinstance(rate, LRScheduler):
        _refuse_position(rate, position)
        if position:
            rate.set_state_dict(position)
    for name, own in made.items():
        own.set_value(found.pop(name))
    for name, x in masters.items():
        if name in optimizer._master_weights:
            optimizer._master_weights[name].set_value(x)
        else:
            optimizer._master_weights[name] = _copied(x)
    owned = {p.name for p in optimizer._all()}
    optimizer._accumulators_holder = found
    optimizer._resumed = {_owner(name, owned) for name in [*found, *made]} if found else set()


def resume(optimizer: "Optimizer", made: Any, param: Any) -> None:
    """Fill an accumulator, new beside a parameter or its master weight, with what was loaded for it.

    It may start anew where nothing was loaded for the parameter, and everything was for another of the optimizer's.

    Raises:
        ValueError: what was loaded does not fit, or should have held this one.
    """
    found, resumed = optimizer._accumulators_holder, optimizer._resumed
    if made.name in found:
        _refuse_misfit(f"the state dict's {made.name!r}", found[made.name], dtype_of(made), made.shape)
        made.set_value(found.pop(made.name))
    elif None in resumed or _owner(param.name, resumed) is not None:
        raise ValueError(f"the state dict that was loaded must have {made.name!r}; it has {_few(found)}")


def refuse_odd_steps(what: str, given: Any, numbers: Collection[str]) -> None:
    """Refuse what is no mapping from parameters to their `step` and scalar state."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{what} must be a mapping; got {given!r}")
    for name, own in given.items():
        if not isinstance(own, Mapping) or own.keys() != {"step", *numbers}:
            raise ValueError(f"{what}[{name!r}] must be a mapping with {', '.join(['step', *numbers])}; got {own!r}")
        count(f"{what}[{name!r}]['step']", own["step"])
        for each in numbers:
            number(own[each])


def _masters(optimizer: "Optimizer", given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"state_dict[{MASTERS!r}] must be a mapping; got {given!r}")
    for p in optimizer._all():
        if p.name in given or p.name in optimizer._master_weights:
            _refuse_misfit(f"state_dict[{MASTERS!r}][{p.name!r}]", given.get(p.name), "float32", p.shape)
    return given


def _refuse_misfit(what: str, found: Any, dtype: str, shape: Any) -> None:
    if not hasattr(found, "dtype") or not hasattr(found, "shape"):
        got = "nothing" if found is None else repr(found)
    elif list(found.shape) == list(shape) and _DTYPES.get(dtype_of(found), dtype_of(found)) == dtype:
        return
    else:
        got = form_of(found)
    raise ValueError(f"{what} must have the shape {list(shape)} and dtype {dtype}; got {got}")


_DTYPES = {"uint16": "bfloat16"}  # as Paddle's files give it to NumPy


def _refuse_position(scheduler: Any, position: Any) -> None:
    """Refuse what a scheduler cannot take over, which a copy of it is asked."""
    if position is None and isinstance(scheduler, LambdaDecay):
        return
    if not isinstance(position, Mapping):
        raise ValueError(f"state_dict[{RATE!r}] must hold what the scheduler's state_dict() gave; got {position!r}")
    trial = copy.copy(scheduler)
    for name, inner in vars(scheduler).items():
        if isinstance(inner, LRScheduler):
            setattr(trial, name, copy.copy(inner))
    try:
        if position:
            trial.set_state_dict(position)
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"state_dict[{RATE!r}] is not of a {type(scheduler).__name__}: {error}") from error


def _copied(x: Any) -> Any:
    """A tensor of its own, with the name that its accumulators are called by."""
    if not isinstance(x, paddle.Tensor):
        return paddle.to_tensor(x)
    made = x.detach().clone()
    made.name = x.name
    return made


def _owner(name: str, owned: Collection[str | None]) -> str | None:
    """Whose accumulator goes by this name: the longest of those that it begins with."""
    ends = [len(name), *(k for k in range(len(name) - 1, 0, -1) if name[k] == "_")]
    return next((name[:k] for k in ends if name[:k] in owned), None)


def _few(names: Iterable[str], most: int = 4) -> str:
    names = [*names]
    return (", ".join(map(repr, names[:most])) or "no more") + (" …" if len(names) > most else "")
