"""A trainer's parameters and their state in the rules' own terms, for checkpoints that any framework reads."""

# pyright: reportMissingImports=false

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from mxnet import gluon, nd
from mxnet import numpy as np_arrays
from mxnet.util import is_np_array

from stepwell.checkpoint.snapshot import CheckpointError, Entry, Expected, Snapshot, check, shared_hyper
from stepwell.kernels import Stages, cpu
from stepwell.mxnet.state import MASTER, State

if TYPE_CHECKING:
    from stepwell.mxnet.optimizer import Optimizer

Named = dict[str, gluon.Parameter]


def named(optimizer: "Optimizer", model: Any) -> Named:
    """The parameters that the optimizer trains, by the names that `model` gives them.

    Args:
        model: a Block (names as `save_parameters` has them), the trainer itself (Gluon's names, which count the blocks
            of a process), or a mapping from names to parameters. Their trainer must have this optimizer.
    """
    if isinstance(model, gluon.Block):
        given = dict(model._collect_params_with_prefix())
    elif isinstance(model, gluon.Trainer):
        given = {p.name: p for p in model._params}
    elif isinstance(model, Mapping):
        given = dict(model)
    else:
        raise TypeError(
            "params must be the gluon.Block, its gluon.Trainer, or a mapping from names to parameters; got "
            f"{type(model).__name__}"
        )
    trainer = _trainer(optimizer, given)
    found: Named = {}
    for name, p in given.items():
        if not isinstance(name, str) or not isinstance(p, gluon.Parameter):
            raise TypeError(f"params must map text to parameters of gluon; got {name!r}: {type(p).__name__}")
        if _is_trained(trainer, p) and not any(p is other for other in found.values()):
            found[name] = p
    missing = [p.name for p in trainer._params if _is_trained(trainer, p) and not any(p is q for q in found.values())]
    if missing:
        raise ValueError(
            f"params must name every parameter of the trainer; {', '.join(missing[:4])} have no name there"
        )
    return found


def _trainer(optimizer: "Optimizer", given: Mapping[str, Any]) -> gluon.Trainer:
    trainers = [t for p in given.values() if (t := getattr(p, "_trainer", None)) and t._optimizer is optimizer]
    if not trainers:
        raise ValueError("params must be those of a gluon.Trainer whose `optimizer` is this one; got none of them")
    return trainers[0]


def _is_trained(trainer: gluon.Trainer, p: gluon.Parameter) -> bool:
    return p._trainer is trainer and p.grad_req != "null"


def snapshot(optimizer: "Optimizer", names: Named) -> Snapshot:
    """All that a later run needs; rows that are behind are settled first."""
    optimizer.flush()
    trainer = _trainer(optimizer, names)
    hyper = _hyper(optimizer)
    entries = {}
    for name, p in names.items():
        own = _updaters(trainer)[0].states.get(trainer._param2idx[p.name])
        value = p._reduce().asnumpy() if own is None or MASTER not in own else own[MASTER]
        expected = _expected(optimizer, p)
        if own is None:
            value = value.astype(expected.dtype, copy=False)
            start = expected.start(value, optimizer.hyperparameters(optimizer.lr or 0.0, optimizer.wd))
            own = {**start, "step": optimizer.begin_num_update}
        state = {key: np.asarray(own[key]) for key in optimizer.rule_of().state}
        entries[name] = Entry.of(optimizer.rule_of(), value, own["step"], state, hyper)
    return Snapshot(entries, optimizer.num_update)


def _updaters(trainer: gluon.Trainer) -> list[Any]:
    """Where the states lie: with the store where that updates parameters, else one a device."""
    return [trainer._kvstore._updater] if trainer._update_on_kvstore else trainer._updaters


def _hyper(optimizer: "Optimizer") -> dict[str, float]:
    found = optimizer.hyperparameters(optimizer.lr or 0.0, optimizer.wd)
    scheduled = optimizer.lr_scheduler is not None
    return {name: x for name, x in found.items() if name not in optimizer.fixed and not (name == "lr" and scheduled)}


def _expected(optimizer: "Optimizer", p: gluon.Parameter) -> Expected:
    dtype = np.dtype(p.dtype).name
    wide = optimizer.multi_precision and dtype == "float16"
    rule = optimizer.rule_of()
    return Expected(tuple(p.shape), "float32" if wide else dtype, rule, cpu.program(rule, Stages()))


def restore(optimizer: "Optimizer", names: Named, taken: Snapshot) -> None:
    """Go on where a snapshot was taken; all of it is checked before anything changes."""
    check(taken, {name: _expected(optimizer, p) for name, p in names.items()})
    array = np_arrays.array if is_np_array() else nd.array  # parameters are of the kind that is switched on
    optimizer.flush()
    _take_options(optimizer, shared_hyper(taken, names))
    optimizer.forget()
    trainer = _trainer(optimizer, names)
    for name, p in names.items():
        p.set_data(array(taken.entries[name].value, dtype=p.dtype))
    if not trainer._kv_initialized:  # also where set_data took away a store that updates parameters
        trainer._init_kvstore()
    if trainer._params_to_init:
        trainer._init_params()
    for updater in _updaters(trainer):
        for name, p in names.items():
            index = trainer._param2idx[p.name]
            updater.states[index] = _state(optimizer, p, taken.entries[name])
            updater.states_synced[index] = True
    optimizer.num_update = taken.updates
    for device in {context.device_id for context in trainer._contexts}:
        counts = optimizer._all_index_update_counts.setdefault(device, {})
        counts.update({trainer._param2idx[p.name]: taken.updates for p in names.values()})


def _state(optimizer: "Optimizer", p: gluon.Parameter, entry: Entry) -> State:
    expected = _expected(optimizer, p)
    state: State = {key: np.array(x, expected.dtype_of(key)) for key, x in entry.state.items()}
    state["step"] = entry.step
    return state | ({MASTER: np.array(entry.value)} if expected.dtype != np.dtype(p.dtype).name else {})


def _take_options(optimizer: "Optimizer", hyper: Mapping[str, float]) -> None:
    """Hold a file's hyperparameters; or refuse them, and hold what it held."""
    rule, scheduled = optimizer.rule_of(), optimizer.lr_scheduler is not None
    only_at_start = set(rule.start.values())
    for name, value in hyper.items():
        if name in optimizer.fixed and name not in only_at_start and value != optimizer.fixed[name]:
            raise CheckpointError(f"its {name} is {value!r}; this optimizer's is always {optimizer.fixed[name]!r}")
    wanted = {name: x for name, x in hyper.items() if name not in optimizer.fixed and not (name == "lr" and scheduled)}
    places = {optimizer.place(name): x for name, x in wanted.items()}
    before = {place: optimizer.number(place) for place in places}
    for place, value in places.items():
        optimizer.hold(place, value)
    found = _hyper(optimizer)
    if optimizer.rule_of() is not rule or any(found[name] != x for name, x in wanted.items()):
        now = optimizer.rule_of().name
        for place, value in before.items():
            optimizer.hold(place, value)
        raise CheckpointError(f"with its hyperparameters {dict(wanted)} this optimizer has {found} and the rule {now}")
