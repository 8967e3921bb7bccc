"""An optimizer's parameters and state in the rules' own terms, for checkpoints that any framework reads."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from stepwell.checkpoint.snapshot import (
    CheckpointError,
    Entry,
    Expected,
    Snapshot,
    check,
    dtype_named,
    shared_hyper,
)  # fmt: skip
from stepwell.kernels import Stages, cpu
from stepwell.kernels.lossy import CODES, SIGNED
from stepwell.rule import Rule
from stepwell.schedules import rate_at
from stepwell.torch import checks, narrow, state
from stepwell.torch.state import EMA, NUMBER_DTYPE, SCHEDULE, STEP, STEP_DTYPE, UPDATES

if TYPE_CHECKING:
    from stepwell.torch.contract import Contract, Group

Named = dict[str, Tensor]
EXACT_STEPS = 2**24  # what torch's own count, a number in float32, can tell apart


def named(optimizer: "Contract", model: Any) -> Named:
    """The optimizer's parameters by the names that `model` gives them: a Module, or a mapping.

    Without a model, by the names that the optimizer was made with (`Adam(model.named_parameters())`).
    """
    own = {id(p): p for group in optimizer.param_groups for p in group["params"]}
    found: Named = {}
    for name, p in _given(optimizer, model):
        if id(p) in own:
            if name in found:
                raise ValueError(f"params: the name {name!r} stands for two parameters")
            found[name] = own.pop(id(p))
    if own:
        shapes = ", ".join(str(tuple(p.shape)) for p in list(own.values())[:4])
        raise ValueError(
            f"params must name every parameter of the optimizer; {len(own)} have no name there, of shape {shapes}"
        )
    return found


def _given(optimizer: "Contract", model: Any) -> list[tuple[str, Any]]:
    if isinstance(model, torch.nn.Module):
        return list(model.named_parameters())
    if isinstance(model, Mapping):
        for name in model:
            if not isinstance(name, str):
                raise TypeError(f"params must have text as names; got {name!r}")
        return list(model.items())
    if model is None and all("param_names" in group for group in optimizer.param_groups):
        groups = optimizer.param_groups
        return [pair for group in groups for pair in zip(group["param_names"], group["params"], strict=True)]
    raise TypeError(
        "params must be the torch.nn.Module, or a mapping from names to parameters, and is needed where the optimizer "
        f"was not made with model.named_parameters(); got {type(model).__name__}"
    )


def snapshot(optimizer: "Contract", names: Named) -> Snapshot:
    """All that a later run needs; rows that are behind are settled first."""
    optimizer._outside_swap("saving")
    optimizer.flush()
    groups = _groups(optimizer)
    updates = {group[UPDATES] for group in optimizer.param_groups if group.get(SCHEDULE) is not None}
    if len(updates) > 1:
        raise ValueError(f"the schedules of the parameter groups stand at different steps, {sorted(updates)}")
    entries = {name: _entry(optimizer, p, groups[p]) for name, p in names.items()}
    steps = (entry.step for entry in entries.values())
    return Snapshot(entries, updates.pop() if updates else max(steps, default=0))


def restore(optimizer: "Contract", names: Named, taken: Snapshot) -> None:
    """Go on where a snapshot was taken; all of it is checked before anything changes."""
    optimizer._outside_swap("loading")
    groups = _groups(optimizer)
    check(taken, {name: _expected(optimizer, p, groups[p]) for name, p in names.items()})
    for name, entry in taken.entries.items():
        if entry.step > EXACT_STEPS:
            raise CheckpointError(f"parameter {name!r}: its step {entry.step} is more than torch counts, {EXACT_STEPS}")
    options = [_options(optimizer, group, names, taken) for group in optimizer.param_groups]
    optimizer.flush()
    optimizer.tables.clear()
    optimizer._forget_plans()
    for group, new in zip(optimizer.param_groups, options, strict=True):
        group.update(new)
    for name, p in names.items():
        _put(optimizer, p, groups[p], taken.entries[name])


def _groups(optimizer: "Contract") -> "dict[Tensor, Group]":
    return {p: group for group in optimizer.param_groups for p in group["params"]}


def _stages(optimizer: "Contract") -> Stages:
    return Stages(ema=optimizer._ema is not None)


def _expected(optimizer: "Contract", p: Tensor, group: "Group") -> Expected:
    rule = optimizer.rule_of(group)
    program = cpu.program(rule, _stages(optimizer))
    arrays = [name for name in program.arrays if name not in ("p", "g")]
    keeps = {name: _name(state.form(p, program, name, _loaded_as(optimizer))[1]) for name in arrays}
    return Expected(tuple(p.shape), _name(p.dtype), rule, program, keeps)


def _loaded_as(optimizer: "Contract") -> str | None:
    """What numbers of the state are taken in, where they are kept in fewer bits afterwards."""
    return "float32" if narrow.chosen(optimizer) else None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _hyper(optimizer: "Contract", group: "Group") -> dict[str, float]:
    hyper = optimizer.hyperparameters(group)
    return {name: x for name, x in hyper.items() if name != "lr" or group.get(SCHEDULE) is None}


def _entry(optimizer: "Contract", p: Tensor, group: "Group") -> Entry:
    if hasattr(p, "full_tensor") or p.is_meta:
        raise TypeError(
            f"a checkpoint holds whole parameters; got a {type(p).__name__} on {p.device}, shape {tuple(p.shape)} "
            "(torch.distributed.checkpoint saves what is sharded)"
        )
    if narrow.LOW in optimizer.state.get(p, {}):
        raise TypeError('rounding="compensated": a checkpoint has no place for what was rounded away; use state_dict()')
    rule, value = optimizer.rule_of(group), _array(p)
    if optimizer.state.get(p, {}).get(STEP) is None:
        hyper = optimizer.hyperparameters(group)
        return Entry.of(rule, value, 0, _expected(optimizer, p, group).start(value, hyper), _hyper(optimizer, group))
    own = state.ready(optimizer, p, group, rule, _stages(optimizer))
    for name, kind in narrow.kinds(optimizer, p, rule, _stages(optimizer)).items():
        if kind in CODES:
            own[name] = narrow.decoded(own[name], own.pop(f"{name}_exponents"), kind == SIGNED)
    arrays = {name: _array(x) for name, x in own.items() if name != STEP}
    return Entry.of(rule, value, int(own[STEP]), arrays, _hyper(optimizer, group))


def _options(optimizer: "Contract", group: "Group", names: Named, taken: Snapshot) -> "Group":
    """A group's new options: the snapshot's hyperparameters where the group keeps them, checked as if the user's."""
    members = set(map(id, group["params"]))
    inside = [name for name, p in names.items() if id(p) in members]
    if not inside:
        return {}
    options, rule = dict(group), optimizer.rule_of(group)
    scheduled = group.get(SCHEDULE) is not None
    for name, value in shared_hyper(taken, inside).items():
        place = optimizer.arguments.get(name, name)
        if isinstance(place, str):
            if not (scheduled and name == "lr"):
                options[place] = _like(group[place], value)
        else:
            pair = list(options[place[0]])
            pair[place[1]] = _like(pair[place[1]], value)
            options[place[0]] = tuple(pair)
    if scheduled:
        options |= {UPDATES: taken.updates, "lr": rate_at(group[SCHEDULE], max(taken.updates - 1, 0))}
    _refuse_another_rule(optimizer, rule, options)
    return {key: value for key, value in options.items() if key != "params"}


def _refuse_another_rule(optimizer: "Contract", rule: Rule, options: "Group") -> None:
    try:
        checks.group(optimizer, options)
        found = optimizer.rule_of(options)
    except (TypeError, ValueError) as error:
        raise CheckpointError(str(error)) from None
    if found is not rule:
        raise CheckpointError(
            f"with its hyperparameters this optimizer's rule is {found.name}, and no longer {rule.name}"
        )


def _like(old: Any, value: float) -> Any:
    if float(old) == value:
        return old
    return torch.full_like(old, value) if isinstance(old, Tensor) else value


def _put(optimizer: "Contract", p: Tensor, group: "Group", entry: Entry) -> None:
    expected = _expected(optimizer, p, group)
    _fill(p, entry.value)
    torch._C._increment_version([p])
    if p not in optimizer.state and expected.is_start(entry, optimizer.hyperparameters(group)):
        return
    made: dict[str, Tensor] = {STEP: torch.tensor(float(entry.step), dtype=STEP_DTYPE)}
    for name, array in entry.state.items():
        key = EMA if name == EMA else optimizer.state_names.get(name, name)
        if name in expected.program.scalar_state:
            made[key] = torch.tensor(float(array), dtype=NUMBER_DTYPE)
        else:
            made[key] = state.room(p, expected.program, name, _loaded_as(optimizer))
            _fill(made[key], array)
    optimizer.state[p] = made  # pyright: ignore[reportArgumentType]


def _array(x: Tensor) -> np.ndarray:
    """A tensor's numbers: where they lie if they lie on the CPU, else copied there."""
    x = x.detach().resolve_conj().resolve_neg().cpu()
    if x.dtype is torch.bfloat16:
        return x.view(torch.int16).numpy().view(dtype_named("bfloat16"))
    return x.numpy()


@torch.no_grad()
def _fill(x: Tensor, array: np.ndarray) -> None:
    if x.device.type == "cpu" and not (x.is_conj() or x.is_neg()):
        np.copyto(_array(x), array, casting="safe")
        return
    own = np.array(array.astype(dtype_named(_name(x.dtype)), copy=False))
    flat = own.view(np.int16) if x.dtype is torch.bfloat16 else own
    x.copy_(torch.from_numpy(flat).view(x.dtype))
