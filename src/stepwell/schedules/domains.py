"""What an argument of a schedule may be: each domain is named, checked and exemplified in one place."""

import functools
import inspect
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Annotated, Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Domain:
    """A set of values: how to read one, whether it belongs, how to say so, and one that a drawing may use."""

    meaning: str
    read: Callable[[Any], Any]
    holds: Callable[[Any], bool]
    example: Any

    def check(self, name: str, value: Any) -> Any:
        """`value` in its plain Python form; TypeError for another kind of thing, ValueError outside the domain."""
        complaint = f"{name} must be {self.meaning}; got {value!r}"
        try:
            plain = self.read(value)
        except TypeError:
            raise TypeError(complaint) from None
        if not self.holds(plain):
            raise ValueError(complaint)
        return plain


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError
    return float(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _flag(value: Any) -> bool | None:
    return {0: False, 1: True}.get(operator.index(value))


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _each(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda values: tuple(read(value) for value in values)


def _finite(x: float, least: float = 0.0) -> bool:
    return least <= x < math.inf


def _increasing(steps: tuple[int, ...]) -> bool:
    return all(a < b for a, b in zip((-1, *steps), steps, strict=False))


def choice(*words: str) -> Domain:
    """One of the given words."""
    return Domain(" or ".join(map(repr, words)), _word, lambda word: word in words, words[0])


Rate = Annotated[float, Domain("a finite number ≥ 0", _number, _finite, 1.0)]
Slope = Annotated[float, Domain("a finite number ≥ 0", _number, _finite, 0.1)]
Positive = Annotated[float, Domain("a finite number > 0", _number, lambda x: 0 < x < math.inf, 1.0)]
Fraction = Annotated[float, Domain("a number in (0, 1]", _number, lambda x: 0 < x <= 1, 0.9)]
Share = Annotated[float, Domain("a number in (0, 1)", _number, lambda x: 0 < x < 1, 0.3)]
Steps = Annotated[int, Domain("an integer ≥ 0", _integer, lambda n: n >= 0, 100)]
Period = Annotated[int, Domain("an integer ≥ 1", _integer, lambda n: n >= 1, 100)]
Flag = Annotated[bool, Domain("True or False", _flag, lambda flag: flag is not None, False)]
Milestones = Annotated[Sequence[int], Domain("increasing integers ≥ 0", _each(_integer), _increasing, (30, 60))]
Rates = Annotated[
    Sequence[float], Domain("finite numbers ≥ 0", _each(_number), lambda xs: all(map(_finite, xs)), (1.0, 0.5, 0.25))
]


@functools.cache
def domains_of(maker: Callable[..., Any]) -> Mapping[str, Domain]:
    """The domain of each argument of a schedule's constructor that has one, read from its annotations."""
    annotations = {name: p.annotation for name, p in inspect.signature(maker).parameters.items()}
    found = {name: next(iter(getattr(a, "__metadata__", ())), None) for name, a in annotations.items()}
    return {name: domain for name, domain in found.items() if isinstance(domain, Domain)}


def checked(make: Callable[P, T]) -> Callable[P, T]:
    """A function whose arguments are checked against the domains in its annotations."""

    signature = inspect.signature(make)

    @functools.wraps(make)
    def make_checked(*args: P.args, **kwargs: P.kwargs) -> T:
        bound = signature.bind(*args, **kwargs)
        for name, domain in domains_of(make).items():
            if name in bound.arguments:
                bound.arguments[name] = domain.check(name, bound.arguments[name])
        return make(*bound.args, **bound.kwargs)

    return make_checked
