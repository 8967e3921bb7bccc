"""The state of parameters: made where missing, taken over from a checkpoint, handed out as plain dictionaries."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stepwell.kernels import Stages, cpu
from stepwell.kernels.lossy import CODES, STOCHASTIC
from stepwell.kernels.trace import Program
from stepwell.rule import Rule
from stepwell.torch import narrow, sharding
from stepwell.torch.eager import HALF
from stepwell.torch.gpu import device

if TYPE_CHECKING:
    from stepwell.torch.contract import Contract, Group

STEP, EMA = "step", "ema"  # keys of a parameter's state beside the rule's own
SCHEDULE, UPDATES = "schedule", "schedule_step"  # keys of a group whose rate is scheduled
STEP_DTYPE, NUMBER_DTYPE = torch.float32, torch.float64


def ready(optimizer: "Contract", p: Tensor, group: "Group", rule: Rule, stages: Stages) -> dict[str, Tensor]:
    """The state of `p` under the rule's names, with its step; what is missing is made at its start."""
    state = optimizer.state[p]
    program = cpu.program(rule, stages)
    if program.by_rows and sharding.splits_rows(p):
        raise ValueError(
            f"{rule.name} needs whole rows; the parameter of shape {tuple(p.shape)} is {sharding.said(p)}, its last "
            "axis, along which rows lie, in parts"
        )
    named: dict[str, Tensor] = {}
    wanted = {s: optimizer.state_names.get(s, s) for s in rule.state}
    narrow.check_parameter(optimizer, p)
    kinds = narrow.kinds(optimizer, p, rule, stages)
    taken_over = any(state.get(name) is not None for name in wanted.values())
    if state.get(STEP) is None or (wanted and not taken_over):  # a rule without its state begins with it
        state[STEP] = torch.tensor(float(taken_over), dtype=STEP_DTYPE)
    named[STEP] = _as_number(state, STEP, STEP_DTYPE, p)
    for name, key in wanted.items():
        source = rule.start[name]
        start = optimizer.hyperparameter(group, source) if isinstance(source, str) else source
        if kinds.get(name) in CODES:
            named |= {name + k: v for k, v in narrow.coded(state, key, p, kinds[name], start).items()}
            continue
        narrow.as_numbers(state, key)
        if state.get(key) is None:
            state[key] = _started(p, program, name, start, kinds.get(name))
        if name in program.scalar_state:
            named[name] = _as_number(state, key, NUMBER_DTYPE, p)
        else:
            named[name] = _as_array(state, key, p, program, name, kinds.get(name))
    if narrow.is_split(kinds.get("p")):
        named["p_low"] = narrow.low_half(state, p)
    if stages.ema:
        if state.get(EMA) is None:
            state[EMA] = room(p, program, EMA).copy_(p.detach())
        named[EMA] = _as_array(state, EMA, p, program, EMA)
    return named


def form(p: Tensor, program: Program, name: str, kind: str | None = None) -> tuple[tuple[int, ...], torch.dtype]:
    """The shape and dtype of a state of `p`, or of its average, that is no number.

    One number a row is real: a row of complex numbers is that of their real and imaginary parts. An average of
    half-precision weights is kept in float32: in theirs it would not move. `kind` is how the state is kept, where that
    is not as the parameter.
    """
    if kind == STOCHASTIC:
        return p.shape, torch.bfloat16
    if name in program.row_state:
        return program.shape_of(name, p.shape), torch.float32 if kind == "float32" else p.dtype.to_real()
    return p.shape, torch.float32 if kind == "float32" or (name == EMA and p.dtype in HALF) else p.dtype


def room(p: Tensor, program: Program, name: str, kind: str | None = None) -> Tensor:
    """An unfilled tensor of that form, on the device of `p` and in its order in memory."""
    shape, dtype = form(p, program, name, kind)
    if name in program.row_state and sharding.is_sharded(p):
        return sharding.room(p, program, name, shape, dtype)
    if name in program.row_state:
        return p.detach().new_empty(shape, dtype=dtype)
    return torch.empty_like(p, dtype=dtype, memory_format=torch.preserve_format, requires_grad=False)


def _started(p: Tensor, program: Program, name: str, value: float, kind: str | None) -> Tensor:
    if name in program.scalar_state:
        return torch.tensor(value, dtype=NUMBER_DTYPE)
    made = room(p, program, name, kind)
    return made.fill_(complex(value, value) if made.is_complex() else value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _as_number(state: dict[str, Any], key: str, dtype: torch.dtype, p: Tensor) -> Tensor:
    """A number of one parameter, on the CPU, or beside it where the kernels for a GPU count its steps."""
    value, place = state[key], p.device if device.takes(p) else torch.device("cpu")
    if not isinstance(value, Tensor) or value.dtype != dtype or value.dim() or value.device != place:
        state[key] = torch.tensor(float(value), dtype=dtype, device=place)
    return state[key]


def _as_array(
    state: dict[str, Any], key: str, p: Tensor, program: Program, name: str, kind: str | None = None
) -> Tensor:
    """The state in the form that it should have, and on the device and in the order in memory of its parameter."""
    value, (shape, dtype) = state[key], form(p, program, name, kind)
    if value.shape != shape:
        raise ValueError(
            f"the state {key} has shape {tuple(value.shape)}; its parameter has {of(p, shape)}. A parameter that "
            "changes its shape needs new state (delete optimizer.state[p])"
        )
    sharding.refuse_placement(f"the state {key}", value, p)
    if value.dtype != dtype or value.device != p.device or _strides(value) != _strides(p):
        like = room(p, program, name, kind)
        if value.dtype != dtype or value.device != p.device or _strides(value) != _strides(like):
            state[key] = like.copy_(value)
    return state[key]


def _strides(x: Tensor) -> tuple[int, ...]:
    return sharding.share_of(x).stride()


def of(p: Tensor, shape: tuple[int, ...]) -> str:
    """The shape of a parameter, and that of its state where it is another, for an error."""
    return f"{tuple(p.shape)}" + ("" if shape == p.shape else f", whose rows want {tuple(shape)}")


@torch.no_grad()
def follow(average: Tensor, p: Tensor, decay: float, found: Tensor | None = None) -> None:
    """Move the average of a parameter that had no step, unless the device has found that nothing shall move."""
    weight = 1 - decay if found is None else (1 - decay) * (found.to(average) == 0).to(average).squeeze()
    average.lerp_(p.detach().to(average.dtype), weight)


def plain(_: Any, packed: dict[str, Any]) -> dict[str, Any]:
    """A state dict of plain dictionaries and numbers, which every loader of torch accepts."""
    packed["state"] = {index: narrow.handed_out(entry) for index, entry in packed["state"].items()}
    packed["param_groups"] = [
        {**group, **{k: None for k in (SCHEDULE,) if k in group}} for group in packed["param_groups"]
    ]
    return packed


def exact(optimizer: "Contract", state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict with scalar state as Python's numbers: torch would round tensors to the parameter's dtype."""
    names = {
        optimizer.state_names.get(s, s)
        for group in optimizer.param_groups
        for s in cpu.program(optimizer.rule_of(group), Stages()).scalar_state
    }
    entries = {
        index: {k: v.item() if k in names and isinstance(v, Tensor) else v for k, v in entry.items()}
        for index, entry in state_dict["state"].items()
    }
    return {**state_dict, "state": entries}


def own(optimizer: "Contract", loaded: Mapping[str, Any]) -> None:
    """Let no tensor be shared with the state dict just loaded, every number be a tensor, every average unrounded."""
    indices = [i for group in loaded["param_groups"] for i in group["params"]]
    saved = dict(zip((p for group in optimizer.param_groups for p in group["params"]), indices, strict=True))
    for p, entry in optimizer.state.items():
        if p not in saved:
            continue
        if optimizer._rounding != "compensated":
            entry.pop(narrow.LOW, None)
        for key, value in entry.items():
            given = loaded["state"][saved[p]].get(key)
            if key == EMA or (key != STEP and isinstance(given, Tensor) and narrow.chosen(optimizer)):
                value = given.to(p.device)
            if isinstance(value, Tensor):
                dict.__setitem__(entry, key, value.detach().clone(memory_format=torch.preserve_format))
            elif isinstance(value, float):
                dict.__setitem__(entry, key, torch.tensor(value, dtype=NUMBER_DTYPE))


def steps_done(optimizer: "Contract", group: "Group") -> int:
    """How many steps a group has made, as its parameters' own counts tell."""
    entries = (optimizer.state.get(p, {}) for p in group["params"])
    return max((int(_number(entry.get(STEP)) or 0) for entry in entries), default=0)
