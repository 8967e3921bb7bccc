"""The state of parameters: made where missing, taken over from a checkpoint, handed out as plain dictionaries."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stepwell.kernels import Stages, cpu
from stepwell.rule import Rule

if TYPE_CHECKING:
    from stepwell.torch.optimizer import Group, Optimizer

STEP, EMA = "step", "ema"
STEP_DTYPE, NUMBER_DTYPE = torch.float32, torch.float64


def ready(optimizer: "Optimizer", p: Tensor, group: "Group", rule: Rule, stages: Stages) -> dict[str, Tensor]:
    """The state of `p` under the rule's names, with its step; what is missing is made at its start."""
    state = optimizer.state[p]
    program = cpu.program(rule, stages)
    named: dict[str, Tensor] = {}
    wanted = {s: optimizer.state_names.get(s, s) for s in rule.state}
    taken_over = any(state.get(name) is not None for name in wanted.values())
    if state.get(STEP) is None or (wanted and not taken_over):  # a rule without its state begins with it
        state[STEP] = torch.tensor(float(taken_over), dtype=STEP_DTYPE)
    named[STEP] = _as_number(state, STEP, STEP_DTYPE)
    for name, key in wanted.items():
        if state.get(key) is None:
            source = rule.start[name]
            start = optimizer.hyperparameter(group, source) if isinstance(source, str) else source
            state[key] = torch.tensor(start, dtype=NUMBER_DTYPE) if name in program.scalar_state else _full(p, start)
        named[name] = _as_number(state, key, NUMBER_DTYPE) if name in program.scalar_state else _as_array(state, key, p)
    if stages.ema:
        if state.get(EMA) is None:
            state[EMA] = p.detach().clone(memory_format=torch.preserve_format)
        named[EMA] = _as_array(state, EMA, p)
    return named


def _full(p: Tensor, value: float) -> Tensor:
    if p.is_complex():
        return torch.full_like(p, complex(value, value), memory_format=torch.preserve_format, requires_grad=False)
    return torch.full_like(p, value, memory_format=torch.preserve_format, requires_grad=False)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _as_number(state: dict[str, Any], key: str, dtype: torch.dtype) -> Tensor:
    value = state[key]
    if not isinstance(value, Tensor) or value.dtype != dtype or value.dim() or value.device.type != "cpu":
        state[key] = torch.tensor(float(value), dtype=dtype)
    return state[key]


def _as_array(state: dict[str, Any], key: str, p: Tensor) -> Tensor:
    """The state in the parameter's own dtype, device and order in memory."""
    value = state[key]
    if value.dtype != p.dtype or value.device != p.device or value.stride() != p.stride():
        like = torch.empty_like(p, memory_format=torch.preserve_format, requires_grad=False)
        if value.dtype != p.dtype or value.device != p.device or value.stride() != like.stride():
            state[key] = like.copy_(value.reshape(p.shape))
    return state[key]


def plain(packed: dict[str, Any]) -> dict[str, Any]:
    """A state dict whose states are plain dictionaries, which every loader of torch accepts."""
    packed["state"] = {index: dict(entry) for index, entry in packed["state"].items()}
    return packed


def exact(optimizer: "Optimizer", state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict with scalar state as Python's numbers: torch would round tensors to the parameter's dtype."""
    names = {
        optimizer.state_names.get(s, s)
        for group in optimizer.param_groups
        for s in cpu.program(optimizer.rule_of(group), Stages()).scalar_state
    }
    entries = {
        index: {k: v.item() if k in names and isinstance(v, Tensor) else v for k, v in entry.items()}
        if isinstance(entry, Mapping)
        else entry
        for index, entry in state_dict["state"].items()
    }
    return {**state_dict, "state": entries}


def own(optimizer: "Optimizer") -> None:
    """Let no tensor be shared with the state dict just loaded, and every number be a tensor again."""
    for entry in optimizer.state.values():
        for key, value in entry.items():
            if isinstance(value, Tensor):
                dict.__setitem__(entry, key, value.clone(memory_format=torch.preserve_format))
            elif isinstance(value, float):
                dict.__setitem__(entry, key, torch.tensor(value, dtype=NUMBER_DTYPE))


def steps_done(optimizer: "Optimizer", group: "Group") -> int:
    """How many steps a group has made, as its parameters' own counts tell."""
    entries = (optimizer.state.get(p, {}) for p in group["params"])
    return max((int(_number(entry.get(STEP)) or 0) for entry in entries), default=0)
