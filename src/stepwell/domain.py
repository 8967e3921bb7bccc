"""The sets that arguments must lie in, each with the words that an error uses.

An annotation such as `Rate` carries its `Domain`, so that a signature is the one place where a domain is written.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real as RealNumber
from typing import Annotated, Any


def number(value: Any) -> float:
    """A real number, or an array or tensor of one element, as a float; TypeError for anything else."""
    if not isinstance(value, RealNumber):
        try:
            value = value.item()
        except (AttributeError, RuntimeError, ValueError):
            raise TypeError from None
    if isinstance(value, bool) or not isinstance(value, RealNumber):
        raise TypeError
    return float(value)


def integer(value: Any) -> int:
    """An integer of any kind as an int; TypeError for anything else."""
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


@dataclass(frozen=True)
class Domain:
    """A set of values: the words that name it, what is in it, how to read a value, one that a drawing may use.

    >>> Domain("a number in [0, 1)", lambda x: 0 <= x < 1).check("beta", 1.5)
    Traceback (most recent call last):
    ValueError: beta must be a number in [0, 1); got 1.5
    """

    words: str
    holds: Callable[[Any], bool]
    read: Callable[[Any], Any] = number
    example: Any = None

    def check(self, name: str, value: Any) -> Any:
        """`value` in its plain Python form; TypeError for another kind of thing, ValueError outside the domain."""
        complaint = f"{name} must be {self.words}; got {value!r}"
        try:
            plain = self.read(value)
        except (TypeError, OverflowError):
            raise TypeError(complaint) from None
        if not self.holds(plain):
            raise ValueError(complaint)
        return plain


def domain_of(annotation: Any) -> Domain | None:
    """The domain that an annotation carries, if it does, or is."""
    marks = (annotation, *getattr(annotation, "__metadata__", ()))
    return next((mark for mark in marks if isinstance(mark, Domain)), None)


def check(annotation: Any, name: str, value: Any) -> Any:
    """`value`, checked against a domain or that of an annotation."""
    domain = domain_of(annotation)
    return value if domain is None else domain.check(name, value)


def optional(annotation: Any, name: str, value: Any) -> Any:
    """`value`, checked, or None."""
    return None if value is None else check(annotation, name, value)


REAL = Domain("a finite number", math.isfinite)
Real = Annotated[float, REAL]
NonNegative = Annotated[float, Domain("a finite number ≥ 0", lambda x: 0 <= x < math.inf, example=0.1)]
Rate = Annotated[float, Domain("a finite number ≥ 0", lambda x: 0 <= x < math.inf, example=1.0)]
Positive = Annotated[float, Domain("a finite number > 0", lambda x: 0 < x < math.inf, example=1.0)]
Decay = Annotated[float, Domain("a number in [0, 1)", lambda x: 0 <= x < 1, example=0.9)]
Share = Annotated[float, Domain("a number in [0, 1]", lambda x: 0 <= x <= 1, example=0.3)]


def at_least(least: int, example: int | None = None) -> Domain:
    """The integers from that one on.

    >>> at_least(1).check("trials", 0)
    Traceback (most recent call last):
    ValueError: trials must be an integer ≥ 1; got 0
    """
    return Domain(f"an integer ≥ {least}", lambda x: x >= least, integer, example)
