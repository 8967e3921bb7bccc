"""What every schedule is: a pure function of the step that can be scaled, chained and counted in epochs."""

import functools
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from types import SimpleNamespace
from typing import Any

import numpy as np

from stepwell.domain import Rate, number
from stepwell.schedules.domains import Period, Steps, domains_of

# Formulas are written once, in this vocabulary: these are its meanings for a Python integer and for an array.
SCALARS = SimpleNamespace(
    where=lambda condition, yes, no: yes if condition else no,
    minimum=min,
    maximum=max,
    exp=math.exp,
    log=math.log,
    sin=math.sin,
    floor=math.floor,
)


@functools.cache
def _arrays(xp: Any) -> SimpleNamespace:
    names = {name: getattr(xp, name) for name in vars(SCALARS)}
    return SimpleNamespace(**names | {"floor": lambda x: xp.floor(x).astype(int)})


def _array_library(step: Any) -> Any:
    """The namespace of an array's functions; None for a single number, also one of NumPy's."""
    if isinstance(step, np.ndarray):
        return np
    if isinstance(step, np.generic) or not hasattr(step, "__array_namespace__"):
        return None
    return step.__array_namespace__()


class Schedule(ABC):
    """A learning rate as a function of the step, which counts from 0: update k, from 0, uses `schedule(k)`.

    `schedule(step)` takes a Python integer (and gives a float), a NumPy array of integers (and gives float64) or a JAX
    array, traced or not. It raises TypeError for a step that is no integer, NaN included, and ValueError for a negative
    one; JAX steps are checked for their type alone, since a traced value cannot be looked at.

    Schedules are immutable, picklable and hashable; equal ones compare equal; `repr` evaluates back to the schedule.
    A number times a schedule is a schedule. A schedule of one's own is a frozen dataclass with a `formula`, and any
    function of the step will do as a learning rate too.

    >>> from stepwell import schedules
    >>> rate = 1e-3 * schedules.warmup(500).then(schedules.cosine(10_000))
    >>> rate(0), rate(250), rate(500), round(rate(5500), 6), rate(10_500)
    (0.0, 0.0005, 0.001, 0.0005, 0.0)
    >>> rate
    0.001 * linear(steps=500, rate=0.0, end=1.0).then(cosine(steps=10000, rate=1.0, end=0.0))
    """

    __array_ufunc__ = None  # or NumPy makes an array of schedules of an array times a schedule

    @abstractmethod
    def formula(self, k: Any, xp: Any) -> Any:
        """The rate at step k ≥ 0, an integer or an array of them, in the vocabulary `xp`: the names of `SCALARS`."""

    @property
    def length(self) -> int | None:
        """The number of steps after which a schedule that follows may start; None where there is no end."""
        return None

    def __post_init__(self) -> None:
        for name, domain in domains_of(type(self)).items():
            object.__setattr__(self, name, domain.check(name, getattr(self, name)))

    def __call__(self, step: Any) -> Any:
        if type(step) is int and step >= 0:
            return self.formula(step, SCALARS)
        xp = _array_library(step)
        if xp is not None:
            return self._over_array(step, xp)
        try:
            k = operator.index(step)
        except TypeError:
            raise TypeError(f"step must be an integer ≥ 0; got {step!r}") from None
        if k < 0:
            raise ValueError(f"step must be an integer ≥ 0; got {step!r}")
        return self.formula(k, SCALARS)

    def _over_array(self, steps: Any, xp: Any) -> Any:
        if not xp.issubdtype(steps.dtype, xp.integer):
            raise TypeError(f"step must be an array of integers ≥ 0; got one of {steps.dtype}")
        if xp is np and np.any(steps < 0):
            raise ValueError(f"step must be an array of integers ≥ 0; got {steps!r}")
        signed = steps.astype(int)  # unsigned and narrow integers would wrap around in differences and products
        return xp.zeros(signed.shape) + self.formula(signed, _arrays(xp))

    def __mul__(self, factor: Any) -> "Schedule":
        return _Scaled(self, float(factor)) if isinstance(factor, Real) else NotImplemented

    __rmul__ = __mul__

    def then(self, next: "Schedule", at: int | None = None) -> "Schedule":
        """This schedule for `at` steps (its own length unless said), then `next`, which starts at its own step 0.

        Errors: ValueError if `at` is not given and this schedule has no length; TypeError if `next` is no schedule.

        >>> from stepwell import schedules
        >>> twice = schedules.constant(0.1).then(schedules.constant(0.01), at=30)
        >>> twice(29), twice(30)
        (0.1, 0.01)
        """
        if not isinstance(next, Schedule):
            raise TypeError(f"next must be a schedule; got {next!r}")
        end = self.length if at is None else at
        if end is None:
            raise ValueError(f"at must be an integer ≥ 0; got None, and {self!r} has no length of its own")
        return _Then(self, next, end)

    def per_epoch(self, steps: Period) -> "Schedule":
        """The same schedule counted in epochs of `steps` steps: step k has the rate of epoch floor(k / steps).

        >>> from stepwell import schedules
        >>> halved = schedules.multi_factor([15, 30], rate=0.5).per_epoch(235)
        >>> halved(15 * 235 - 1), halved(15 * 235)
        (0.5, 0.25)
        """
        return _PerEpoch(self, steps)


@dataclass(frozen=True, repr=False)
class _Scaled(Schedule):
    schedule: Schedule
    factor: Rate

    def __repr__(self) -> str:
        return f"{self.factor!r} * {_operand(self.schedule)}"

    @property
    def length(self) -> int | None:
        return self.schedule.length

    def formula(self, k: Any, xp: Any) -> Any:
        return self.factor * self.schedule.formula(k, xp)


@dataclass(frozen=True, repr=False)
class _Then(Schedule):
    first: Schedule
    next: Schedule
    at: Steps

    def __repr__(self) -> str:
        at = "" if self.at == self.first.length else f", at={self.at}"
        return f"{_operand(self.first)}.then({self.next!r}{at})"

    @property
    def length(self) -> int | None:
        return None if self.next.length is None else self.at + self.next.length

    def formula(self, k: Any, xp: Any) -> Any:
        later = self.next.formula(xp.maximum(k - self.at, 0), xp)
        return xp.where(k < self.at, self.first.formula(k, xp), later)


@dataclass(frozen=True, repr=False)
class _PerEpoch(Schedule):
    schedule: Schedule
    steps: Period

    def __repr__(self) -> str:
        return f"{_operand(self.schedule)}.per_epoch({self.steps})"

    @property
    def length(self) -> int | None:
        return None if self.schedule.length is None else self.steps * self.schedule.length

    def formula(self, k: Any, xp: Any) -> Any:
        return self.schedule.formula(k // self.steps, xp)


def _operand(schedule: Schedule) -> str:
    return f"({schedule!r})" if isinstance(schedule, _Scaled) else repr(schedule)


def rate_at(lr: float | Callable[[int], Any], step: int) -> float:
    """The learning rate at `step` of a number, a schedule or any function of the step.

    Errors: TypeError if the rate is no real number; ValueError if it is negative, infinite or NaN.

    >>> from stepwell import schedules
    >>> [schedules.rate_at(lr, 3) for lr in (0.1, schedules.linear(4), lambda k: 1 / (k + 1))]
    [0.1, 0.25, 0.25]
    """
    value = lr(step) if callable(lr) else lr
    try:
        rate = number(value)
    except TypeError:
        raise TypeError(f"lr must be a finite number ≥ 0; got {value!r} at step {step}") from None
    if not 0 <= rate < math.inf:
        raise ValueError(f"lr must be a finite number ≥ 0; got {rate!r} at step {step}")
    return rate
