"""A rule at work: gradients of many decades, and what they must lead to, in float64 and straight from the rule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stepwell.domain import Domain
from stepwell.kernels import Stages, cpu
from stepwell.rule import Rule

STEPS = 50
SHAPE = (7, 5)
LIMITS = {"float32": 2e-6, "float64": 1e-12}
"""How far an array may lie from the reference, by dtype, relative to the largest element that it ever had."""

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """A rule, its hyperparameters, a parameter and a gradient a step.

    Attributes:
        rule, hyper: the rule, and every hyperparameter of it.
        dtype, shape, steps: of the parameter and its gradients; how many there are.
        age: how many steps the parameter has behind it, of which its state knows nothing but their number.
        pauses: whether there is no gradient (None) at some of the steps.
        sparse: None, or what the rows mean that gradients do not name: "lazy" or "exact".
        seed: of the random numbers.
        scale: of the parameter at the start.
    """

    rule: Rule
    hyper: Mapping[str, float]
    dtype: str = "float64"
    shape: tuple[int, ...] = SHAPE
    steps: int = STEPS
    age: int = 0
    pauses: bool = False
    sparse: str | None = None
    seed: int = 0
    scale: float = 1.0

    def __str__(self) -> str:
        age = f", {self.age} steps old" if self.age else ""
        return f"{self.rule.name}{dict(self.hyper)} in {self.dtype}, shape {self.shape}{age}"

    @property
    def start(self) -> np.ndarray:
        """The parameter before the first step; a new array each time."""
        return np.asarray(self.scale * np.random.default_rng(99).standard_normal(self.shape)).astype(self.dtype)

    @property
    def state(self) -> Arrays:
        """The state before the first step: new arrays, and float64 where a state is one number."""
        program = cpu.program(self.rule, Stages())
        kinds = {name: "float64" if name in program.scalar_state else self.dtype for name in self.rule.state}
        return {name: x.astype(kinds[name]) for name, x in starts(self.rule, self.hyper, self.shape).items()}

    @cached_property
    def gradients(self) -> list[np.ndarray | None]:
        """Normal numbers whose size runs through eight decades, again and again; zero in rows that are not named."""
        rng = np.random.default_rng(self.seed)
        found: list[np.ndarray | None] = []
        for k in range(self.steps):
            g = np.asarray(rng.standard_normal(self.shape) * 10.0 ** (k % 8 - 4)).astype(self.dtype)
            if self.sparse is not None:
                g[~np.isin(np.arange(len(g)), self.named[k])] = 0.0
            found.append(None if self.pauses and k % 7 == 3 else g)
        return found

    @cached_property
    def named(self) -> list[np.ndarray]:
        """The rows that each gradient names, if it is sparse: the first ones often, the last ones hardly ever."""
        rng = np.random.default_rng(self.seed + 1)
        counts = [0 if k % 11 == 5 else int(rng.integers(1, 4)) for k in range(self.steps)]
        return [np.unique((self.shape[0] * rng.random(n) ** 3).astype(np.int64)) for n in counts]

    @cached_property
    def path(self) -> list[Arrays]:
        """The reference: the parameter and its state after each step."""
        named = self.named if self.sparse == "lazy" else None
        return list(reference(self.rule, self.hyper, self.start, self.gradients, self.age, named))

    @property
    def is_finite(self) -> bool:
        """Whether the reference has neither NaN nor infinity."""
        return all(np.isfinite(x).all() for x in self.path[-1].values())


def starts(rule: Rule, hyper: Mapping[str, float], shape: tuple[int, ...]) -> Arrays:
    """The state before the first step beside a parameter of this shape, in float64."""
    program = cpu.program(rule, Stages())
    return {name: np.full(program.shape_of(name, shape), rule.start_of(name, hyper)) for name in rule.state}


def reference(
    rule: Rule, hyper: Mapping[str, float], p: np.ndarray, gradients: Sequence[np.ndarray | None],
    age: int = 0, named: Sequence[np.ndarray] | None = None,
) -> Iterator[Arrays]:  # fmt: skip
    """The parameter and its state after each step, in float64 and straight from the rule.

    Args:
        rule, hyper, p: the rule, every hyperparameter of it, the parameter before the first step.
        gradients: one a step; None: no step.
        age: how many steps lie behind.
        named: for each step, the only rows that it changes; None: all of them.
    """
    arrays: Arrays = {"p": p.astype(np.float64), **starts(rule, hyper, p.shape)}
    numbers, t = set(cpu.program(rule, Stages()).scalar_state), age
    for k, g in enumerate(gradients):
        if g is not None:
            t += 1
            with np.errstate(all="ignore"):
                change, *state = rule.bind({**arrays, "g": g.astype(np.float64), "t": t}, hyper)
            new = {"p": arrays["p"] - change, **dict(zip(rule.state, state, strict=True))}
            if named is not None:
                rest = np.setdiff1d(np.arange(len(p)), named[k])
                for name in new.keys() - numbers:
                    new[name] = np.array(new[name])
                    new[name][rest] = arrays[name][rest]
            arrays = new
        yield dict(arrays)


def difference(trial: Trial, end: np.ndarray) -> float:
    """How far a parameter lies from the reference's last, relative to the largest element on the way."""
    largest = max(np.abs(arrays["p"]).max(initial=0.0) for arrays in trial.path)
    return float(np.abs(end.astype(np.float64) - trial.path[-1]["p"]).max(initial=0.0) / (largest or 1.0))


def assert_follows(trial: Trial, found: Iterator[Arrays] | Sequence[Arrays], limit: float) -> None:
    """The arrays after each step are the reference's.

    Args:
        trial: the work.
        found: after each step, arrays by name; those that are not there are not compared.
        limit: on the error, relative to the largest element so far.

    Raises:
        AssertionError: they part, or what was found has another shape, or is not finite; it says where.
    """
    largest: dict[str, float] = {}
    for k, (ours, theirs) in enumerate(zip(found, trial.path, strict=True)):
        for name, x in ours.items():
            y, where = theirs[name], f"{trial}: {name} after step {k + 1}"
            assert np.shape(x) == np.shape(y), f"{where} has the shape {np.shape(x)}; it must have {np.shape(y)}"
            largest[name] = max(largest.get(name, 0.0), np.abs(y).max(initial=0.0))
            error = np.abs(np.asarray(x, np.float64) - y).max(initial=0.0) / (largest[name] or 1.0)
            assert error <= limit, f"{where} is {error:.2g} off; it may be {limit:g}"


def settings(rule: Rule) -> list[dict[str, float]]:
    """Two settings of a rule's hyperparameters: the defaults, and one at which each counts, and differs from the rest.

    The second is made of the domains' examples, but for those at which the rule by itself leaves the finite numbers.

    >>> from stepwell import rules
    >>> settings(rules.momentum)
    [{'lr': 0.01, 'beta': 0.9}, {'lr': 0.9, 'beta': 0.729}]
    """
    defaults = rule.complete({h.name: 0.1 for h in rule.hyperparameters.values() if h.default is None})
    examples = {name: _example(h.domain, 0.9 ** (k + 1)) for k, (name, h) in enumerate(rule.hyperparameters.items())}
    if not Trial(rule, examples).is_finite:
        alone = {name: Trial(rule, {**defaults, name: example}) for name, example in examples.items()}
        examples = {name: examples[name] if alone[name].is_finite else defaults[name] for name in examples}
    return [defaults, *([examples] if examples != defaults and Trial(rule, examples).is_finite else [])]


def _example(domain: Domain, share: float) -> float:
    example = 0.25 if domain.example is None else domain.example
    value = float(f"{share * example:.3g}")
    return value if domain.holds(value) else example
