"""Variables and their state by name, for checkpoints that any framework reads."""
# pyright: reportMissingImports=false

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from stepwell.checkpoint.snapshot import CheckpointError, Entry, Expected, Snapshot, check, shared_hyper
from stepwell.kernels import Stages
from stepwell.kernels.trace import trace

if TYPE_CHECKING:
    from stepwell.keras.optimizer import Optimizer

Named = dict[str, Any]


def named(optimizer: "Optimizer", model: Any) -> Named:
    """The variables by name: a model's trainable ones by their paths, or a mapping's; all that the optimizer has."""
    if isinstance(model, keras.layers.Layer):
        pairs = [(v.path, v) for v in model.trainable_variables]
    elif isinstance(model, Mapping):
        pairs = list(model.items())
    else:
        raise TypeError(
            f"params must be a keras.Model or a mapping from names to variables; got {type(model).__name__}"
        )
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, v in pairs if found[name] is not v)
        raise ValueError(f"params: two variables of the model have the path {twice!r}; name them in a mapping")
    if optimizer.built:
        optimizer._check_variables_are_known(found.values())
        known = {optimizer._var_key(v) for v in found.values()}
        if left := [v for v in optimizer._trainable_variables if optimizer._var_key(v) not in known]:
            raise ValueError(f"params must name every variable of the optimizer; {_name(left[0])} has no name there")
    return found


def snapshot(optimizer: "Optimizer", variables: Named) -> Snapshot:
    """All that a later run needs."""
    optimizer.build(list(variables.values()))
    every = optimizer.gradient_accumulation_steps or 1
    raw = int(ops.convert_to_numpy(optimizer._iterations.value))
    if raw % every:
        raise ValueError(f"gradients of {raw % every} of {every} steps are summed up; save after the update they make")
    hyper = optimizer._hyperparameters() | optimizer._rate_as_number()
    numbers = {s: np.asarray(_array(v), np.float64) for s, v in optimizer._numbers.items()}
    entries = {}
    for name, variable in variables.items():
        value = _array(variable)
        state = {s: _array(v) for s, v in optimizer._state_of(variable).items()} | numbers
        if optimizer.use_ema:
            average = optimizer._model_variables_moving_average[optimizer._get_variable_index(variable)]
            state["ema"] = _array(average) if raw else value
        entries[name] = Entry.of(optimizer.rule_of(), value, raw // every, state, hyper)
    return Snapshot(entries, raw // every)


def restore(optimizer: "Optimizer", variables: Named, taken: Snapshot) -> None:
    """Go on where a snapshot was taken; all of it is checked before anything changes."""
    check(taken, {name: _expected(optimizer, v) for name, v in variables.items()})
    hyper = shared_hyper(taken, variables)
    step = _shared("step", [entry.step for entry in taken.entries.values()])
    if step != taken.updates and callable(optimizer._learning_rate):
        raise CheckpointError(
            f"its schedule is at {taken.updates} and its step at {step}; Keras has one count for both"
        )
    program = _program(optimizer)
    numbers = {s: _shared(s, [float(e.state[s]) for e in taken.entries.values()]) for s in program.scalar_state}
    _take(optimizer, hyper)
    optimizer.build(list(variables.values()))
    optimizer._iterations.assign(step * (optimizer.gradient_accumulation_steps or 1))
    for s, number in numbers.items():
        optimizer._numbers[s].assign(number)
    for name, variable in variables.items():
        entry = taken.entries[name]
        _fill(variable, entry.value)
        for s, kept in optimizer._state_of(variable).items():
            _fill(kept, entry.state[s])
        if optimizer.use_ema:
            average = optimizer._model_variables_moving_average[optimizer._get_variable_index(variable)]
            _fill(average, entry.state["ema"])
    for sums in getattr(optimizer, "_accumulated_gradients", ()):
        sums.assign(ops.zeros(sums.shape, sums.dtype))


def _take(optimizer: "Optimizer", hyper: dict[str, float]) -> None:
    """Hold a file's hyperparameters; or refuse them, and hold what it held."""
    for name, value in optimizer.fixed.items():
        if hyper.get(name, value) != value:
            raise CheckpointError(f"its {name} is {hyper[name]!r}; this optimizer's is always {value!r}")
    wanted = {optimizer.arguments.get(n, n): x for n, x in hyper.items() if n != "lr" and n not in optimizer.fixed}
    before, rule = {argument: getattr(optimizer, argument) for argument in wanted}, optimizer.rule_of()
    for argument, value in wanted.items():
        setattr(optimizer, argument, value)
    if optimizer.rule_of() is not rule:
        for argument, value in before.items():
            setattr(optimizer, argument, value)
        raise CheckpointError(f"with its hyperparameters {wanted} this optimizer has another rule than {rule.name}")
    if "lr" in hyper and not callable(optimizer._learning_rate):
        optimizer.learning_rate = hyper["lr"]


def _shared(what: str, values: Iterable[float]) -> Any:
    first, *others = values
    if any(other != first for other in others):
        raise CheckpointError(f"its parameters have different values of {what}; Keras has one for all")
    return first


def _expected(optimizer: "Optimizer", variable: Any) -> Expected:
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return Expected(tuple(variable.shape), dtype, optimizer.rule_of(), _program(optimizer))


def _program(optimizer: "Optimizer") -> Any:
    return trace(optimizer.rule_of(), Stages(ema=bool(optimizer.use_ema)))


def _name(variable: Any) -> str:
    return getattr(variable, "path", variable.name)


def _array(variable: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(ops.convert_to_tensor(variable)))


def _fill(variable: Any, array: np.ndarray) -> None:
    variable.assign(ops.cast(ops.convert_to_tensor(np.ascontiguousarray(array)), variable.dtype))
