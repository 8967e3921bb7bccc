"""What an optimizer refuses, before anything is changed, and how it says so."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from stepwell.domain import NonNegative, check
from stepwell.kernels import Stages, cpu
from stepwell.torch import narrow, sharding
from stepwell.torch.coo import merged, refuse_outside
from stepwell.torch.eager import HALF, is_finite
from stepwell.torch.gpu import capture
from stepwell.torch.state import EMA, SCHEDULE, UPDATES, form, of

if TYPE_CHECKING:
    from stepwell.torch.contract import Contract


def known_options(where: str, given: Mapping[str, Any], known: Any) -> None:
    """Refuse an option that does not exist."""
    for name in given:
        if name not in known.__annotations__:
            raise TypeError(
                f"{where} has no option {name!r}; beside torch's own it has {', '.join(known.__annotations__)}"
            )


def flag(name: str, value: Any) -> bool:
    """`value` if it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False; got {value!r}")
    return value


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """`value` if it is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}; got {value!r}")
    return value


def indices(value: Any) -> np.ndarray:
    """Rows of a table as a flat array of int32 or int64."""
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if isinstance(value, (list, tuple)) and not array.size:
        array = array.astype(np.int64)
    if array.dtype not in (np.int32, np.int64):
        raise TypeError(f"indices must be int32 or int64; got {array.dtype}")
    return np.ascontiguousarray(array).reshape(-1)


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


OF_ALL = {"clip_norm": None, "ema": None, "zero_grad": False, "check_finite": False, "sparse": "lazy"}


def of_the_whole(given: Mapping[str, Any], group: dict[str, Any]) -> None:
    """Take the options given for the whole step out of a group that torch's ZeroRedundancyOptimizer puts them into.

    It gives the optimizer of each process some of the parameters.

    Raises:
        ValueError: an option that needs all of them, or what other processes do with the others.
    """
    for name, value in given.items():
        if name in group and group[name] == value:
            del group[name]
            if name in OF_ALL and value != OF_ALL[name]:
                raise ValueError(
                    f"{name}={value!r} needs all parameters, and with ZeroRedundancyOptimizer each process steps some "
                    f"of them; only {name}={OF_ALL[name]!r} is possible there (torch.nn.utils.clip_grad_norm_ clips "
                    "before step())"
                )


def group(optimizer: "Contract", options: Mapping[str, Any]) -> None:
    """Refuse options that are unknown, out of their domain, or that this engine cannot honour."""
    name = type(optimizer).__name__
    if options.get("differentiable"):
        raise ValueError(
            f"differentiable={options['differentiable']!r}: {name} updates tensors in place outside autograd; only "
            "differentiable=False is possible (use torch.optim for the other)"
        )
    capture.refuse_options(optimizer, options)
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


def narrowed(optimizer: "Contract", group: Mapping[str, Any]) -> None:
    """Refuse parameters that `state_dtype` or `rounding` cannot be for."""
    params = group["params"]
    for p in [params] if isinstance(params, Tensor) else params:
        narrow.check_parameter(optimizer, p[1] if isinstance(p, tuple) else p)


KEPT = ("params", "param_names", "name", "initial_lr", SCHEDULE, UPDATES)  # what torch and its users add to a group


def _element(options: Mapping[str, Any], name: str, index: int) -> tuple[str, Any]:
    pair = options[name]
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{name} must be a pair of numbers; got {pair!r}")
    return f"{name}[{index}]", pair[index]


FINITE = "a gradient has a NaN or an infinity; nothing was changed (check_finite=True)"


def gradients(groups: Iterable[Iterable[Tensor]], finite: bool) -> None:
    """Refuse gradients that do not belong to their parameters, or as asked that are not finite."""
    for params in groups:
        for p in params:
            if p.grad is not None:
                gradient(p)
                if finite and not is_finite(p.grad if p.grad.layout is torch.strided else merged(p.grad).values()):
                    raise FloatingPointError(FINITE)


def gradient(p: Tensor) -> None:
    """Refuse a gradient of another shape or dtype than its parameter's, or that names what it does not have."""
    g = p.grad
    assert g is not None
    if p.is_meta:
        raise ValueError(
            f"a parameter of shape {tuple(p.shape)} is on meta and has no numbers; give it some (to_empty)"
        )
    if g.shape != p.shape:
        raise ValueError(f"a gradient has shape {tuple(g.shape)}; its parameter has {tuple(p.shape)}")
    if not is_dtype_of(g, p):
        raise TypeError(f"a gradient has dtype {g.dtype}; its parameter has {p.dtype}")
    if g.layout is not torch.strided:
        refuse_outside(g)


def is_dtype_of(g: Tensor, p: Tensor) -> bool:
    """Whether a gradient has a dtype that its parameter can take: its own, or sparse halves for float32."""
    return g.dtype == p.dtype or (g.layout is not torch.strided and p.dtype is torch.float32 and g.dtype in HALF)


def mapping(state_dict: Any) -> None:
    """Refuse what is no dictionary."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"state_dict must be a dict with the keys 'state' and 'param_groups'; got {state_dict!r}")


def saved(optimizer: "Contract", state_dict: Any) -> None:
    """Refuse a state dict that cannot be this optimizer's, and say what is wrong where."""
    if not {"state", "param_groups"} <= set(state_dict):
        raise ValueError(f"state_dict must have the keys 'state' and 'param_groups'; got {list(state_dict)}")
    groups, own = state_dict["param_groups"], optimizer.param_groups
    if not isinstance(groups, (list, tuple)):
        raise ValueError(f"state_dict: param_groups must be a list; got {groups!r}")
    if not isinstance(state_dict["state"], Mapping):
        raise ValueError(f"state_dict: state must be a dict; got {state_dict['state']!r}")
    for index, entry in state_dict["state"].items():
        if not isinstance(entry, Mapping):
            raise ValueError(f"state_dict: the state of parameter {index} must be a dict; got {type(entry).__name__}")
    if len(groups) != len(own):
        raise ValueError(f"state_dict has {len(groups)} parameter groups; the optimizer has {len(own)}")
    for k, (theirs, ours) in enumerate(zip(groups, own, strict=True)):
        if not isinstance(theirs, Mapping) or "params" not in theirs:
            raise ValueError(f"state_dict: group {k} must be a dict with the key 'params'; got {theirs!r}")
        if not isinstance(theirs["params"], (list, tuple)) or not all(
            isinstance(i, (int, str)) for i in theirs["params"]
        ):
            raise ValueError(
                f"state_dict: params of group {k} must be a list of integers or names; got {theirs['params']!r}"
            )
        saved_count, count = len(theirs["params"]), len(ours["params"])
        if saved_count != count:
            raise ValueError(f"state_dict: group {k} has {saved_count} parameters; the optimizer's has {count}")
        options = {**optimizer.defaults, **{key: v for key, v in theirs.items() if key in optimizer.defaults}}
        group(optimizer, options)
        _number(f"state_dict: schedule_step of group {k}", theirs.get(UPDATES, 0))
        for index, p in zip(theirs["params"], ours["params"], strict=True):
            if entry := state_dict["state"].get(index):
                _entry(optimizer, options, index, p, entry)


def _entry(optimizer: "Contract", options: dict[str, Any], index: Any, p: Tensor, entry: Any) -> None:
    where = f"state_dict: the state of parameter {index}"
    rule = optimizer.rule_of(options)
    names = {optimizer.state_names.get(s, s): s for s in rule.state}
    present = [n for n in names if entry.get(n) is not None]
    wanted = [*names, *(["step"] if optimizer.steps_are_saved else [])]
    missing = [n for n in wanted if entry.get(n) is None]
    foreign = set(entry) - {*names, "step", "ema", narrow.LOW}
    if missing and (present or foreign):
        raise ValueError(f"{where} lacks {missing[0]!r}; it has {', '.join(map(str, entry))}")
    program = cpu.program(rule, Stages())
    for name in present:
        if names[name] in program.scalar_state:
            _number(f"{where}: {name}", entry[name])
        else:
            _array(f"{where}: {name}", entry[name], p, *form(p, program, names[name]))
    if entry.get("ema") is not None:
        _array(f"{where}: ema", entry["ema"], p, *form(p, program, EMA))
    if entry.get(narrow.LOW) is not None:
        _array(f"{where}: {narrow.LOW}", entry[narrow.LOW], p, p.shape, torch.int32)
    if entry.get("step") is not None:
        _number(f"{where}: step", entry["step"])


def _array(what: str, value: Any, p: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{what} must be a tensor; got {type(value).__name__}")
    if value.shape != shape:
        raise ValueError(f"{what} has shape {tuple(value.shape)}; the parameter has {of(p, shape)}")
    sharding.refuse_placement(what, value, p)
    if value.layout is not torch.strided or value.is_meta or (value.is_complex() and not dtype.is_complex):
        raise ValueError(
            f"{what} must hold the parameter's numbers; got {value.layout} {value.dtype} on {value.device}"
        )


def _number(what: str, value: Any) -> None:
    try:
        check(NonNegative, what, value)
    except TypeError as error:
        raise ValueError(error) from None
