# pyright: reportMissingImports=false
"""An optimizer's parameters and state in the rules' own terms, for checkpoints that any framework reads."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from stepwell.checkpoint.snapshot import CheckpointError, Entry, Expected, Snapshot, check, dtype_named, shared_hyper
from stepwell.kernels import Stages, cpu
from stepwell.paddle.entry import LOW, dtype_of
from stepwell.paddle.entry import Entry as Kept
from stepwell.paddle.rates import Following

if TYPE_CHECKING:
    from stepwell.paddle.groups import Group
    from stepwell.paddle.optimizer import Optimizer

Named = dict[str, Any]
_ROUNDING = 2.0**-50  # how far quotients of rounded products may lie apart


def named(optimizer: "Optimizer", params: Any) -> Named:
    """The optimizer's parameters by the names that `params` gives them: a Layer, or a mapping."""
    if isinstance(params, paddle.nn.Layer):
        given = params.named_parameters()
    elif isinstance(params, Mapping):
        given = params.items()
    else:
        raise TypeError(
            f"params must be the paddle.nn.Layer, or a mapping from names to parameters; got {type(params).__name__}"
        )
    own = {id(p): p for _, group in optimizer._grouped() for p in group}
    found: Named = {}
    for name, p in given:
        if not isinstance(name, str):
            raise TypeError(f"params must have text as names; got {name!r}")
        if id(p) in own:
            found[name] = own.pop(id(p))
    if own:
        missing = ", ".join(p.name for p in list(own.values())[:4])
        raise ValueError(f"params must name every parameter of the optimizer; {len(own)} have no name there: {missing}")
    return found


@paddle.no_grad()
def snapshot(optimizer: "Optimizer", names: Named) -> Snapshot:
    """All that a later run needs."""
    entries = {}
    for group, inside in _by_group(optimizer, names):
        for name, p in inside.items():
            kept, hyper = _kept(optimizer, group, p)
            state = {key: _array(x) for key, x in kept.arrays.items()} | dict(kept.numbers)
            entries[name] = Entry.of(kept.rule, _array(kept.target), kept.step, state, hyper)
    rate = optimizer._learning_rate
    steps = max((entry.step for entry in entries.values()), default=0)
    return Snapshot({name: entries[name] for name in names}, rate.last_epoch if isinstance(rate, Following) else steps)


@paddle.no_grad()
def restore(optimizer: "Optimizer", names: Named, taken: Snapshot) -> None:
    """Go on where a snapshot was taken; all of it is checked before anything changes."""
    groups = _by_group(optimizer, names)
    kept = {name: _kept(optimizer, group, p)[0] for group, inside in groups for name, p in inside.items()}
    check(taken, {name: _expected(each) for name, each in kept.items()})
    shared = [(group, shared_hyper(taken, inside)) for group, inside in groups if inside]
    rate = _rate(optimizer, names, taken)
    _take_hyper(optimizer, shared)
    if rate is not None:
        optimizer.set_lr(rate)
    if isinstance(optimizer._learning_rate, Following):
        optimizer._learning_rate.move_to(taken.updates)
    for name, each in kept.items():
        _put(each, taken.entries[name])


def _by_group(optimizer: "Optimizer", names: Named) -> "list[tuple[Group | None, Named]]":
    by_id = {id(p): name for name, p in names.items()}
    return [(group, {by_id[id(p)]: p for p in params}) for group, params in optimizer._grouped()]


def _kept(optimizer: "Optimizer", group: "Group | None", p: Any) -> tuple[Kept, dict[str, float]]:
    """What is kept beside a parameter, made if it is not there; and those hyperparameters that are numbers."""
    optimizer._turn_to(group)
    rule, hyper = optimizer._rule(), optimizer._hyper()
    if "lr" in rule.hyperparameters and isinstance(optimizer._learning_rate, float):
        hyper = {**hyper, "lr": optimizer.get_lr() * optimizer._factor(p)}
    return optimizer._entry(p, rule), {name: hyper[name] for name in rule.hyperparameters if name in hyper}


def _expected(kept: Kept) -> Expected:
    program = cpu.program(kept.rule, Stages())
    keeps = dict(zip(kept.arrays, kept.dtypes[1:], strict=True))
    return Expected(tuple(kept.shape), kept.dtypes[0], kept.rule, program, keeps)


def _rate(optimizer: "Optimizer", names: Named, taken: Snapshot) -> float | None:
    """The optimizer's new learning rate; None where it keeps its own. Its parameters' factors stay what they are."""
    if not isinstance(optimizer._learning_rate, float):
        return None
    found, pairs = {}, set()
    for name, p in names.items():
        factor, value = optimizer._factor(p), taken.entries[name].hyper.get("lr")
        if value is not None and factor:
            found[name] = value / factor
            pairs.add((value, factor))
    if not found:
        return None
    if not math.isclose(min(found.values()), max(found.values()), rel_tol=_ROUNDING):
        raise CheckpointError(f"the learning rates of its parameters are {found}, and this optimizer has one for all")
    return _base(pairs, {*found.values()})


def _base(pairs: set[tuple[float, float]], quotients: set[float]) -> float:
    """The rate that multiplied by each factor gives each value, quotients being rounded; else one of them.

    Where there are several, that with the fewest digits, which a person may have written.
    """
    near = {x + k * math.ulp(x) for x in quotients for k in range(-2, 3)}
    exact = [x for x in near if all(x * factor == value for value, factor in pairs)]
    return min(exact or quotients, key=lambda x: (len(repr(x)), x))


def _take_hyper(optimizer: "Optimizer", shared: "list[tuple[Group | None, dict[str, float]]]") -> None:
    """Take over the groups' hyperparameters; all stay what they were if a group's rule would be another."""
    before = []
    for group, hyper in shared:
        optimizer._turn_to(group)
        rule = optimizer._rule()
        before.append((group, optimizer._hyper()))
        optimizer._set_hyper(group, {name: x for name, x in hyper.items() if name != "lr"})
        optimizer._turn_to(group)
        if (found := optimizer._rule()) is not rule:
            for each, old in before:
                optimizer._set_hyper(each, old)
            raise CheckpointError(
                f"with its hyperparameters this optimizer's rule is {found.name}, and no longer {rule.name}"
            )


def _put(kept: Kept, entry: Entry) -> None:
    _fill(kept.target, entry.value)
    if kept.target is not kept.param:
        kept.param.copy_(kept.target.astype(kept.param.dtype), True)
    kept.param._bump_inplace_version()
    for name, tensor in kept.arrays.items():
        _fill(tensor, entry.state[name])
    for name, number in kept.numbers.items():
        number[...] = entry.state[name]
    kept.step = entry.step


def _array(tensor: Any) -> np.ndarray:
    """A tensor's numbers, copied."""
    found = tensor.detach().numpy()
    return found.view(dtype_named("bfloat16")) if dtype_of(tensor) == "bfloat16" else found


def _fill(tensor: Any, array: np.ndarray) -> None:
    kind = "float32" if dtype_of(tensor) in LOW else dtype_of(tensor)
    tensor.set_value(paddle.to_tensor(np.array(array, kind), place=tensor.place).astype(tensor.dtype))
