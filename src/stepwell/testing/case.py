"""The tests of one rule."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from stepwell import door
from stepwell.kernels import Stages, cpu, interpret
from stepwell.kernels.table import MODES
from stepwell.kernels.trace import trace
from stepwell.rule import Rule
from stepwell.testing import doors, training
from stepwell.testing.engines import ENGINES, by_eager, by_rows
from stepwell.testing.mutants import mutants
from stepwell.testing.trial import LIMITS, STEPS, Trial, assert_follows, settings

Hyper = Mapping[str, float]

SHAPES = ((), (0,), (1,), (15,), (16,), (17,), (3, 0), (2, 3, 5), (16385,))  # around a vector, and a block with a tail
TABLE = (40, 3)
HALF = STEPS // 2
TIMES = (1, 2, 10, 1000)
ELSEWHERE = (0, 1, 2, 5, 8, 13, 60, 200, 500, 2000, 100_000)  # ages at which wrong rules are told from the right one


class RuleTestCase:
    """A subclass whose name begins with Test and that names a rule is a suite of tests of it.

    The reference is the rule itself, called in float64 on gradients of eight decades, some steps without one. The
    suite asserts that the rule is pure, that its state has its shape, that the traced formula is the function, that
    every engine and every installed door follows the reference, dense and by rows, that training goes on unchanged
    from a state dict and from a checkpoint, and that these comparisons see every wrong rule that `mutants` makes.

    Attributes:
        rule: the rule.
        hyper: settings of its hyperparameters, each over the defaults; a last one, made from their domains, is added.
        ages: how many steps a parameter has behind it when it is compared. A rule that changes at some step wants
            ages before and after.
        limits: on the errors, by dtype; see `LIMITS`. A rule that subtracts nearly equal numbers may want wider ones.
        doors: names of doors; None is all that are installed.
    """

    rule: ClassVar[Rule]
    hyper: ClassVar[Sequence[Hyper]] = ({},)
    ages: ClassVar[Sequence[int]] = (0, 3, 1000)
    limits: ClassVar[Mapping[str, float]] = LIMITS
    doors: ClassVar[Sequence[str] | None] = None

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Each test runs at every setting, dtype, engine and door that it names."""
        every: dict[str, Callable[[], Any]] = {
            "setting": lambda: [pytest.param(each, id=_words(self.rule, each)) for each in self.settings()],
            "dtype": lambda: list(self.limits),
            "engine": lambda: list(ENGINES),
            "mode": lambda: list(MODES),
            "at": lambda: list(door.installed() if self.doors is None else self.doors),
        }
        for name in metafunc.fixturenames:
            if name in every:
                metafunc.parametrize(name, every[name]())

    @classmethod
    def settings(cls) -> list[dict[str, float]]:
        """Every hyperparameter, at each setting that is tested."""
        if not isinstance(getattr(cls, "rule", None), Rule):
            raise TypeError(
                f"{cls.__name__}.rule must be made by @stepwell.rule.rule; got {getattr(cls, 'rule', None)!r}"
            )
        defaults, *examples = settings(cls.rule)
        given = [cls.rule.complete({**_required(cls.rule, defaults), **each}) for each in cls.hyper]
        return [*given, *(each for each in examples if each not in given)]

    def test_the_rule_is_pure(self, setting: Hyper) -> None:
        """Nothing is mutated, nothing of what is returned is what was given, and the same is returned again."""
        arrays = _arrays(self.rule, TABLE)
        before = {name: np.copy(x) for name, x in arrays.items()}
        with np.errstate(all="ignore"):
            first = self.rule.bind(arrays, setting)
            self.rule.bind({name: x + 1 for name, x in arrays.items()}, setting)
            second = self.rule.bind(arrays, setting)
        for found, again in zip(first, second, strict=True):
            assert np.array_equal(found, again, equal_nan=True), "called again with the same, it returns something else"
        for name, x in before.items():
            assert np.array_equal(arrays[name], x), f"it mutates its argument {name}"
        held = [x for x in (*arrays.values(), *first) if isinstance(x, np.ndarray)]
        for k, x in enumerate(held):
            assert not any(np.shares_memory(x, y) for y in held[:k]), (
                "it returns an array twice, or one that it was given"
            )

    def test_state_has_its_shape(self, setting: Hyper) -> None:
        """Step and state fit the parameter; the state starts at finite numbers."""
        program = cpu.program(self.rule, Stages())
        for shape in (TABLE, *SHAPES[:-1]):
            with np.errstate(all="ignore"):
                step, *state = self.rule.bind(_arrays(self.rule, shape), setting)
            assert np.broadcast_shapes(np.shape(step), shape) == shape, (
                f"the step of a parameter of {shape} has another"
            )
            for name, x in zip(self.rule.state, state, strict=True):
                wanted = program.shape_of(name, shape)
                assert np.broadcast_shapes(np.shape(x), wanted) == wanted, (
                    f"{name} of a parameter of {shape} has another"
                )
                assert np.isfinite(self.rule.start_of(name, setting)), f"{name} starts at no finite number"

    def test_the_trace_is_the_formula(self, setting: Hyper) -> None:
        """The expressions that engines are made from compute what the function does, at any point."""
        program = trace(self.rule, Stages())
        for t in TIMES:
            for size in (1e-4, 1.0, 1e3):
                arrays = {name: size * x for name, x in _arrays(self.rule, TABLE).items()} | {"t": t}
                with np.errstate(all="ignore"):
                    step, *state = self.rule.bind(arrays, setting)
                numbers = {name: float(arrays[name]) for name in program.scalar_state}
                given = {name: x for name, x in arrays.items() if name in program.arrays}
                new = interpret.run(program, {"p": np.zeros(TABLE), **given}, {**setting, **numbers, "t": t})
                wanted = {"p": arrays.get("p", 0.0) - step, **dict(zip(self.rule.state, state, strict=True))}
                for name, x in wanted.items():
                    np.testing.assert_allclose(new[name], x, rtol=1e-12, atol=1e-300, err_msg=f"{name} at step {t}")

    def test_the_engine_is_the_reference(self, setting: Hyper, dtype: str, engine: str) -> None:
        """At every age, and for parameters of every shape."""
        trials = self._trials(setting, dtype=dtype, pauses=True)
        trials += [self._trial(setting, dtype=dtype, shape=shape, steps=12) for shape in SHAPES]
        for trial in trials:
            assert_follows(trial, ENGINES[engine](trial), self.limits[dtype])

    def test_rows_are_the_reference(self, setting: Hyper, dtype: str, mode: str) -> None:
        """Of sparse gradients: lazy is the rule on the rows that are named, exact is the dense step."""
        trial = self._trial(setting, dtype=dtype, shape=TABLE, sparse=mode, pauses=True)
        assert_follows(trial, by_rows(trial), self.limits[dtype])

    def test_the_door_is_the_reference(self, setting: Hyper, dtype: str, at: str) -> None:
        """The door's `from_rule`, step by step."""
        trial = self._trial(setting, dtype=dtype, pauses=True)
        with _installed():
            assert_follows(trial, doors.at(at)(trial), self.limits[dtype])

    def test_training_goes_on_from_saved_state(self, setting: Hyper, dtype: str, at: str) -> None:
        """Interrupted and resumed with the framework's own way of saving, to the last bit."""
        trial = self._trial(setting, dtype=dtype, pauses=True)
        with _installed():
            first = doors.begin(at, self.rule, setting, trial.start)
        *_, halfway = training.run(first, trial.gradients[:HALF])
        second = doors.begin(at, self.rule, setting, halfway["p"])
        second.restore(first.saved())
        *_, whole = training.run(first, trial.gradients[HALF:])
        *_, resumed = training.run(second, trial.gradients[HALF:])
        assert np.array_equal(resumed["p"], whole["p"]), f"{trial}: resumed at {at} it ends elsewhere"

    def test_training_goes_on_from_a_checkpoint(self, setting: Hyper, dtype: str, at: str, tmp_path: Path) -> None:
        """Begun in NumPy and resumed at the door, and the other way round."""
        trial = self._trial(setting, dtype=dtype, pauses=True)
        for number, (here, there) in enumerate(((at, "numpy"), ("numpy", at))):
            path = tmp_path / f"{number}.safetensors"
            with _installed():
                first = doors.begin(here, self.rule, setting, trial.start)
                second = doors.begin(there, self.rule, setting, 0 * trial.start)
            found = list(training.run(first, trial.gradients[:HALF]))
            first.save(path)
            second.load(path)
            found += training.run(second, trial.gradients[HALF:])
            assert_follows(trial, found, self.limits[dtype])

    def test_wrong_rules_are_rejected(self) -> None:
        """A comparison of this suite fails for each mutant of the rule that is not the same rule in other words."""
        trials = [trial for setting in self.settings() for trial in self._trials(setting)]
        others = [replace(trial, age=age, seed=1) for trial in trials if not trial.age for age in ELSEWHERE]
        alive, unseen = [], []
        for mutant in mutants(self.rule):
            if not any(self._tells(trial, mutant.rule) for trial in trials):
                alive.append(mutant.what)
                if any(self._tells(trial, mutant.rule) for trial in others):
                    unseen.append(mutant.what)
        assert "no step" not in alive, f"{self.rule.name} never moves a parameter"
        words = (
            "these wrong rules pass every comparison here, and are others elsewhere; give `hyper` or `ages` that reach"
        )
        assert not unseen, f"{self.rule.name}: {words} them: {'; '.join(unseen)}"

    def _tells(self, trial: Trial, wrong: Rule) -> bool:
        try:
            assert_follows(trial, by_eager(replace(trial, rule=wrong)), self.limits[trial.dtype])
        except AssertionError:
            return True
        return False

    def _trials(self, setting: Hyper, **more: Any) -> list[Trial]:
        return [self._trial(setting, age=age, **more) for age in self.ages]

    def _trial(self, setting: Hyper, **more: Any) -> Trial:
        trial = Trial(self.rule, setting, **more)
        assert trial.is_finite, f"{trial}: the rule itself leaves the finite numbers; give `hyper` at which it does not"
        return trial


@contextmanager
def _installed() -> Iterator[None]:
    """A door that lacks something beside its framework is left out, saying what it lacks."""
    try:
        yield
    except ImportError as missing:
        pytest.skip(str(missing))


def _arrays(rule: Rule, shape: tuple[int, ...]) -> dict[str, Any]:
    """Arguments of a rule; a state that is one number is of no dimension."""
    program, rng = cpu.program(rule, Stages()), np.random.default_rng(0)
    names = [name for name in rule.arguments if name != "t"]
    return {name: rng.uniform(0.1, 0.2, program.shape_of(name, shape)) for name in names} | {"t": 3}


def _required(rule: Rule, defaults: Hyper) -> dict[str, float]:
    return {h.name: defaults[h.name] for h in rule.hyperparameters.values() if h.default is None}


def _words(rule: Rule, setting: Hyper) -> str:
    other = [f"{name}={x:g}" for name, x in setting.items() if x != rule.hyperparameters[name].default]
    return ",".join(other) or "defaults"
