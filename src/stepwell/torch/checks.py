"""What an optimizer refuses, before anything is changed, and how it says so."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stepwell.domain import NonNegative, check

if TYPE_CHECKING:
    from stepwell.torch.optimizer import Optimizer


def known_options(where: str, given: Mapping[str, Any], known: Any) -> None:
    """Refuse an option that does not exist."""
    for name in given:
        if name not in known.__annotations__:
            raise TypeError(
                f"{where} has no option {name!r}; beside torch's own it has {', '.join(known.__annotations__)}"
            )


def distinct(group: Mapping[str, Any]) -> None:
    """Refuse a group that names a parameter twice."""
    params = group.get("params")
    if isinstance(params, (list, tuple)):
        tensors = [p[1] if isinstance(p, tuple) else p for p in params]
        seen: set[int] = set()
        for k, p in enumerate(tensors):
            if id(p) in seen:
                raise ValueError(f"params[{k}] is given twice in one parameter group; each parameter may appear once")
            seen.add(id(p))


def group(optimizer: "Optimizer", options: Mapping[str, Any]) -> None:
    """Refuse options that are unknown, out of their domain, or that this engine cannot honour."""
    name = type(optimizer).__name__
    for flag in ("differentiable", "capturable"):
        if options.get(flag):
            raise ValueError(
                f"{flag}={options[flag]!r}: {name} updates tensors in place outside autograd and CUDA graphs; "
                f"only {flag}=False is possible (use torch.optim for the other)"
            )
    for key in options:
        if key not in optimizer.defaults and key not in KEPT:
            raise TypeError(f"{name} has no option {key!r}; it has {', '.join(optimizer.defaults)}")
    rule = optimizer.rule_of(dict(options))
    for hyper in rule.hyperparameters.values():
        place = optimizer.arguments.get(hyper.name, hyper.name)
        label, value = (place, options[place]) if isinstance(place, str) else _element(options, *place)
        if not (callable(value) and hyper.name == "lr"):
            hyper.domain.check(label, value)
    if "weight_decay" in options:
        check(NonNegative, "weight_decay", options["weight_decay"])


KEPT = ("params", "param_names", "initial_lr", "schedule_step")  # what torch, its schedulers and ours add to a group


def _element(options: Mapping[str, Any], name: str, index: int) -> tuple[str, Any]:
    try:
        return f"{name}[{index}]", options[name][index]
    except (TypeError, IndexError, KeyError):
        raise TypeError(f"{name} must be a pair of numbers; got {options[name]!r}") from None


def gradient(p: Tensor) -> None:
    """Refuse a gradient that does not belong to its parameter."""
    g = p.grad
    if g is None:
        return
    if g.layout is not torch.strided:
        raise RuntimeError(
            f"a gradient has layout {g.layout}; stepwell's torch optimizers take dense gradients "
            "(build the layer with sparse=False, or call .to_dense() on the gradient)"
        )
    if g.shape != p.shape:
        raise ValueError(f"a gradient has shape {tuple(g.shape)}; its parameter has {tuple(p.shape)}")
    if g.dtype != p.dtype:
        raise TypeError(f"a gradient has dtype {g.dtype}; its parameter has {p.dtype}")


def saved(optimizer: "Optimizer", state_dict: Any) -> None:
    """Refuse a state dict that cannot be this optimizer's, and say what is wrong where."""
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        found = list(state_dict) if isinstance(state_dict, Mapping) else type(state_dict).__name__
        raise ValueError(f"state_dict must have the keys 'state' and 'param_groups'; got {found}")
    groups, own = state_dict["param_groups"], optimizer.param_groups
    if len(groups) != len(own):
        raise ValueError(f"state_dict has {len(groups)} parameter groups; the optimizer has {len(own)}")
    for k, (theirs, ours) in enumerate(zip(groups, own, strict=True)):
        saved_count, count = len(theirs["params"]), len(ours["params"])
        if saved_count != count:
            raise ValueError(f"state_dict: group {k} has {saved_count} parameters; the optimizer's has {count}")
        options = {**optimizer.defaults, **{key: v for key, v in theirs.items() if key in optimizer.defaults}}
        group(optimizer, options)
        for index, p in zip(theirs["params"], ours["params"], strict=True):
            if entry := state_dict["state"].get(index):
                _entry(optimizer, options, index, p, entry)


def _entry(optimizer: "Optimizer", options: dict[str, Any], index: Any, p: Tensor, entry: Any) -> None:
    where = f"state_dict: the state of parameter {index}"
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} must be a dict; got {type(entry).__name__}")
    names = [optimizer.state_names.get(s, s) for s in optimizer.rule_of(options).state]
    present = [n for n in names if entry.get(n) is not None]
    if present and len(present) < len(names):
        missing = next(n for n in names if n not in present)
        raise ValueError(f"{where} lacks {missing!r}; it has {', '.join(map(str, entry))}")
    for name in present:
        value = entry[name]
        if isinstance(value, Tensor) and value.numel() != 1 and value.shape != p.shape:
            raise ValueError(f"{where}: {name} has shape {tuple(value.shape)}; the parameter has {tuple(p.shape)}")
        if not isinstance(value, (Tensor, int, float)):
            raise ValueError(f"{where}: {name} must be a tensor; got {type(value).__name__}")
    step = entry.get("step", 0)
    if not isinstance(step, (Tensor, int, float)) or (isinstance(step, Tensor) and step.numel() != 1) or not step >= 0:
        raise ValueError(f"{where}: step must be one number ≥ 0; got {step!r}")
