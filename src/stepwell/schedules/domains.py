"""What an argument of a schedule may be, beside the domains that all of the library shares."""

import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ParamSpec, TypeVar

from stepwell.domain import Domain, Rate, at_least, domain_of, integer, number

P = ParamSpec("P")
T = TypeVar("T")
FINITE = domain_of(Rate)


def _flag(value: Any) -> bool | None:
    return {0: False, 1: True}.get(operator.index(value))


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _each(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda values: tuple(read(value) for value in values)


def _increasing(steps: tuple[int, ...]) -> bool:
    return all(a < b for a, b in zip((-1, *steps), steps, strict=False))


def choice(*words: str) -> Domain:
    """One of the given words."""
    return Domain(" or ".join(map(repr, words)), lambda word: word in words, _word, words[0])


def _all_rates(values: tuple[float, ...]) -> bool:
    return FINITE is not None and all(map(FINITE.holds, values))


Fraction = Annotated[float, Domain("a number in (0, 1]", lambda x: 0 < x <= 1, example=0.9)]
OpenShare = Annotated[float, Domain("a number in (0, 1)", lambda x: 0 < x < 1, example=0.3)]
Steps = Annotated[int, at_least(0, example=100)]
Period = Annotated[int, at_least(1, example=100)]
Flag = Annotated[bool, Domain("True or False", lambda flag: flag is not None, _flag, False)]
Milestones = Annotated[Sequence[int], Domain("increasing integers ≥ 0", _increasing, _each(integer), (30, 60))]
Rates = Annotated[Sequence[float], Domain("finite numbers ≥ 0", _all_rates, _each(number), (1.0, 0.5, 0.25))]


@functools.cache
def domains_of(maker: Callable[..., Any]) -> Mapping[str, Domain]:
    """The domain of each argument of a schedule's constructor that has one, read from its annotations."""
    found = {name: domain_of(p.annotation) for name, p in inspect.signature(maker).parameters.items()}
    return {name: domain for name, domain in found.items() if domain is not None}


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
