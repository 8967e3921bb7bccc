"""A training that changes frameworks on its way: torch, then a door, then torch and NumPy, as if it had never stopped.

A door's test says how its framework trains, in a class that is a `Training`, and runs the cases:

    @pytest.mark.parametrize("case", resume.CASES, ids=str)
    def test_a_training_goes_on_here_and_back(case, tmp_path):
        resume.check(InKeras, case, tmp_path)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

import stepwell.numpy
import stepwell.torch
from stepwell import checkpoint, rules, schedules
from stepwell.checkpoint import reader
from stepwell.kernels import Stages
from stepwell.kernels.trace import trace
from stepwell.rule import Rule
from tests.doors.matrix import LIMITS

Arrays = dict[str, np.ndarray]
LEG = 10  # steps in each framework
START = {"weight": (4, 3), "bias": (3,)}
ELSEWHERE = {"dense/kernel": ("weight", (1, 0)), "dense/bias": "bias"}  # as a framework of other habits has them


class Training(Protocol):
    """Parameters of one framework, and stepwell's optimizer of them."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Arrays):
        """Begin; `hyper` are all of the rule's, `lr` perhaps a schedule."""
        ...

    def step(self, gradients: Arrays) -> None:
        """One update with these gradients."""
        ...

    def save(self, path: Path, names: Any) -> None:
        """`checkpoint.save`."""
        ...

    def load(self, path: Path, names: Any) -> None:
        """`checkpoint.load`."""
        ...

    def arrays(self) -> Arrays:
        """The parameters as they are now."""
        ...


class InTorch:
    """A `Training` in torch."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Arrays):
        self.params = {name: torch.nn.Parameter(torch.from_numpy(x.copy())) for name, x in arrays.items()}
        self.optimizer = stepwell.torch.from_rule(rule)(list(self.params.values()), **hyper)

    def step(self, gradients: Arrays) -> None:
        for name, p in self.params.items():
            p.grad = torch.from_numpy(gradients[name].copy())
        self.optimizer.step()

    def save(self, path: Path, names: Any) -> None:
        checkpoint.save(path, self.optimizer, self.params, names=names)

    def load(self, path: Path, names: Any) -> None:
        checkpoint.load(path, self.optimizer, self.params, names=names)

    def arrays(self) -> Arrays:
        return {name: p.detach().numpy().copy() for name, p in self.params.items()}


class InNumpy:
    """A `Training` in NumPy."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Arrays):
        self.optimizer = stepwell.numpy.from_rule(rule)({name: x.copy() for name, x in arrays.items()}, **hyper)

    def step(self, gradients: Arrays) -> None:
        self.optimizer.step(gradients)

    def save(self, path: Path, names: Any) -> None:
        checkpoint.save(path, self.optimizer, names=names)

    def load(self, path: Path, names: Any) -> None:
        checkpoint.load(path, self.optimizer, names=names)

    def arrays(self) -> Arrays:
        return {name: np.array(x) for name, x in self.optimizer.params.items()}


@dataclass(frozen=True)
class Case:
    """A rule and a dtype; whether the rate is a schedule, and whether the door has other names and orders of axes."""

    rule: Rule
    dtype: str = "float32"
    scheduled: bool = False
    renamed: bool = False

    def __str__(self) -> str:
        marks = [word for word in ("scheduled", "renamed") if getattr(self, word)]
        return "-".join([self.rule.name, self.dtype, *marks])

    @property
    def hyper(self) -> dict[str, Any]:
        """All hyperparameters."""
        found: dict[str, Any] = self.rule.complete({"lr": 0.01})
        return found | {"lr": 0.02 * schedules.cosine(25)} if self.scheduled else found


def _may_turn(rule: Rule) -> bool:
    return not trace(rule, Stages()).row_state


CASES = [
    *(Case(rule, dtype) for rule in rules.named.values() for dtype in LIMITS),
    *(Case(rule, scheduled=True) for rule in (rules.gradient_descent, rules.adam, rules.nadam)),
    *(Case(rule, renamed=True) for rule in rules.named.values() if _may_turn(rule)),
]


def check(make: Callable[[Rule, Mapping[str, Any], Arrays], Training], case: Case, folder: Path) -> None:
    """Train in torch, go on in the door, and from there in torch and in NumPy; each leg of ten steps.

    What is loaded and saved again is the file that was loaded, to the bit; the end is that of thirty steps in torch, to
    the limits of the matrix.
    """
    names = ELSEWHERE.__getitem__ if case.renamed else None
    gradients = [_arrays(case.dtype, step) for step in range(3 * LEG)]
    begin = _arrays(case.dtype, -1)
    path = [x.arrays() for x in _trained(InTorch(case.rule, case.hyper, begin), gradients)]

    first = InTorch(case.rule, case.hyper, begin)
    _train(first, gradients[:LEG])
    first.save(folder / "first", None)
    second = make(case.rule, case.hyper, _there(_arrays(case.dtype, -2), case))
    second.load(folder / "first", names)
    second.save(folder / "again", names)
    assert_same(folder / "again", folder / "first")
    _train(second, [_there(g, case) for g in gradients[LEG : 2 * LEG]])
    second.save(folder / "second", names)
    for kind in (InTorch, InNumpy):
        third = kind(case.rule, case.hyper, _arrays(case.dtype, -3))
        third.load(folder / "second", None)
        halfway = third.arrays()
        _train(third, gradients[2 * LEG :])
        for name, found in third.arrays().items():
            size = max(abs(x[name]).max() for x in path)
            error = abs(found.astype("f8") - path[-1][name]).max() / size
            assert error <= LIMITS[case.dtype], f"{name} ends {error:.1e} apart in {kind.__name__}"
            assert not np.array_equal(found, halfway[name]), "nothing was trained"


def assert_same(one: Path, other: Path) -> None:
    """Two files hold the same arrays, to the bit, and the same steps under the same rules."""
    (left, about), (right, expected) = reader.read(one), reader.read(other)
    assert {name: (x.dtype, x.shape, x.tobytes()) for name, x in left.items()} == {
        name: (x.dtype, x.shape, x.tobytes()) for name, x in right.items()
    }
    assert about["updates"] == expected["updates"]
    for name, said in expected["parameters"].items():
        for key in ("rule", "formula", "step"):
            assert about["parameters"][name][key] == said[key]
        for key, value in about["parameters"][name]["hyper"].items():  # as far as the door holds them
            assert value == said["hyper"][key], key


def _arrays(dtype: str, step: int) -> Arrays:
    """Normal numbers: the gradients of a step, running through eight decades, or before 0 parameters."""
    rng = np.random.default_rng(step + 100)
    size = 10.0 ** (step % 8 - 4) if step >= 0 else 1.0
    return {name: (size * rng.standard_normal(shape)).astype(dtype) for name, shape in START.items()}


def _there(arrays: Arrays, case: Case) -> Arrays:
    """Arrays as the door has them."""
    if not case.renamed:
        return arrays
    return {"dense/kernel": np.ascontiguousarray(arrays["weight"].T), "dense/bias": arrays["bias"]}


def _train(training: Training, gradients: list[Arrays]) -> None:
    for _ in _trained(training, gradients):
        pass


def _trained(training: Training, gradients: list[Arrays]) -> Any:
    for given in gradients:
        training.step(given)
        yield training
