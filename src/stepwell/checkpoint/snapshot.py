"""What a checkpoint holds: each parameter by name, and what its optimizer knows of it, in the rule's own terms.

A door makes a `Snapshot` from its optimizer, and takes one over after `check` has compared it with what the optimizer
has. No framework is named here, and nothing is changed here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stepwell.checkpoint.fingerprint import fingerprint
from stepwell.kernels.trace import Program
from stepwell.rule import Rule

LAST = 2**53
"""The largest count of steps: in double precision, in which rules read it, each is still a number of its own."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that is not this optimizer's; nothing was changed."""


@dataclass(frozen=True)
class Entry:
    """One parameter, and what its optimizer knows of it.

    Attributes:
        value: the parameter.
        rule: the name of its rule.
        step: how many updates it has had: `t` of the last one.
        state: every state array under the rule's own name, in the rule's sign and in `Program.shape_of` its shape, and
            `ema` where an average is kept; scalar state as 0-d float64. Complete also before the first step, when it
            stands where the rule starts (`Expected.start`).
        hyper: the rule's hyperparameters that the optimizer holds as numbers; without `lr` where that is a schedule.
        formula: the fingerprint of the rule's formula.
    """

    value: np.ndarray
    rule: str
    step: int
    state: Mapping[str, np.ndarray]
    hyper: Mapping[str, float]
    formula: str = ""

    @classmethod
    def of(
        cls, rule: Rule, value: np.ndarray, step: int, state: Mapping[str, np.ndarray], hyper: Mapping[str, float]
    ) -> "Entry":
        """An entry with its rule's name and fingerprint: what doors call."""
        return cls(value, rule.name, step, state, hyper, fingerprint(rule))


@dataclass(frozen=True)
class Snapshot:
    """All parameters by name, and how many steps were made: the position of a schedule."""

    entries: Mapping[str, Entry]
    updates: int


@dataclass(frozen=True)
class Expected:
    """What an optimizer has for one parameter, against which an entry is checked.

    Attributes:
        shape, dtype: the parameter's; the dtype by NumPy's name ("float32", "bfloat16").
        rule, program: the rule, and a trace of it with the optimizer's stages: names and shapes of the state.
        keeps: the dtypes of those state arrays, by name, that have not the parameter's.
    """

    shape: tuple[int, ...]
    dtype: str
    rule: Rule
    program: Program
    keeps: Mapping[str, str] = field(default_factory=dict)

    def dtype_of(self, state: str) -> str:
        """The dtype in which a state is kept, by NumPy's name."""
        return "float64" if state in self.program.scalar_state else self.keeps.get(state, self.dtype)

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The shape of each state array, `ema` included where an average is kept."""
        names = (*self.rule.state, *(["ema"] if "ema" in self.program.arrays else []))
        return {name: self.program.shape_of(name, tuple(self.shape)) for name in names}

    def start(self, value: np.ndarray, hyper: Mapping[str, float]) -> dict[str, np.ndarray]:
        """The state before the first step, beside this parameter; read-only, and without memory of its own."""
        state = {}
        for name, shape in self.state.items():
            dtype = dtype_named(self.dtype_of(name))
            if name == "ema":
                state[name] = value.astype(dtype, copy=False)
            else:
                number = self.rule.start_of(name, hyper)
                state[name] = np.broadcast_to(np.asarray(number * (1 + 1j if dtype.kind == "c" else 1), dtype), shape)
        return state

    def is_start(self, entry: Entry, hyper: Mapping[str, float]) -> bool:
        """Whether an entry is of a parameter that has had no step: it needs no state as yet."""
        start = self.start(entry.value, hyper) if entry.step == 0 else {}
        return entry.step == 0 and all(np.array_equal(array, entry.state[name]) for name, array in start.items())


def check(snapshot: Snapshot, expected: Mapping[str, Expected]) -> None:
    """Compare a snapshot with what an optimizer has, by parameter name; a door calls this before it changes anything.

    Raises:
        CheckpointError: a parameter that is missing or too many, another shape, dtype or rule, state that is missing,
            too much or of another shape or dtype, a count of steps or a hyperparameter outside its domain.
    """
    same_names("parameter", snapshot.entries, expected)
    count("updates", snapshot.updates)
    for name, entry in snapshot.entries.items():
        try:
            _entry(entry, expected[name])
        except CheckpointError as error:
            raise CheckpointError(f"parameter {name!r}: {error}") from None


def count(name: str, value: Any) -> int:
    """`value` if it is a possible count of steps."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= LAST:
        raise CheckpointError(f"{name} must be a whole number in [0, 2**53]; got {value!r}")
    return int(value)


def _entry(entry: Entry, expected: Expected) -> None:
    _rule(entry, expected.rule)
    _shape("it", entry.value, expected.shape)
    if entry.value.dtype.name != expected.dtype:
        raise CheckpointError(f"it has dtype {entry.value.dtype.name}; the optimizer's has {expected.dtype}")
    count("step", entry.step)
    _hyper(entry.hyper, expected.rule)
    same_names("state", entry.state, expected.state)
    for name, shape in expected.state.items():
        _shape(f"its state {name!r}", entry.state[name], shape)
        found, kept = entry.state[name].dtype, expected.dtype_of(name)
        if not np.can_cast(found, dtype_named(kept), "safe"):
            raise CheckpointError(f"its state {name!r} has dtype {found.name}; the optimizer keeps it in {kept}")


def _rule(entry: Entry, rule: Rule) -> None:
    if entry.rule != rule.name:
        raise CheckpointError(
            f"its rule is {entry.rule}; this optimizer's is {rule.name} (from_rule of a door makes an optimizer of any "
            "rule)"
        )
    if entry.formula and entry.formula != fingerprint(rule):
        raise CheckpointError(f"its rule {entry.rule} has another formula than this optimizer's rule of that name")


def _shape(what: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != tuple(shape):
        raise CheckpointError(f"{what} has shape {array.shape}; the optimizer's has {tuple(shape)}")


def _hyper(hyper: Mapping[str, float], rule: Rule) -> None:
    for name, value in hyper.items():
        if name not in rule.hyperparameters:
            known = ", ".join(rule.hyperparameters)
            raise CheckpointError(f"{name!r} is no hyperparameter of {rule.name}; it has {known}")
        try:
            rule.hyperparameters[name].domain.check(name, value)
        except (TypeError, ValueError) as error:
            raise CheckpointError(str(error)) from None


def same_names(kind: str, found: Iterable[str], expected: Iterable[str]) -> None:
    """Refuse names of a file that are not those of the optimizer."""
    found, expected = list(found), list(expected)
    known = set(found)
    if missing := [name for name in expected if name not in known]:
        raise CheckpointError(f"{kind} {_few(missing)} is missing; it has {_few(found)}")
    known = set(expected)
    if extra := [name for name in found if name not in known]:
        raise CheckpointError(f"{kind} {_few(extra)} is not the optimizer's, which has {_few(expected)}")


def _few(names: list[str], most: int = 4) -> str:
    shown = ", ".join(map(repr, names[:most])) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def dtype_named(name: str) -> np.dtype[Any]:
    """NumPy's dtype of that name, bfloat16 included."""
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError('arrays of bfloat16 need ml_dtypes: pip install "stepwell[checkpoint]"') from error
    return np.dtype(ml_dtypes.bfloat16)


def shared_hyper(snapshot: Snapshot, names: Iterable[str]) -> dict[str, float]:
    """The hyperparameters of parameters that one set of options rules: those of each, which must be equal.

    Raises:
        CheckpointError: two of them differ.
    """
    first, *others = names
    hyper = dict(snapshot.entries[first].hyper)
    for name in others:
        if (other := dict(snapshot.entries[name].hyper)) != hyper:
            raise CheckpointError(
                f"parameters {first!r} and {name!r} share their options in this optimizer, and have "
                f"others in the file: {hyper} and {other}"
            )
    return hyper
