"""The language of optimizers: a rule is a pure function from a gradient and a state to a step and a new state.

    >>> from stepwell.rule import Decay, Rate, rule
    >>> @rule
    ... def heavy_ball(g, v, *, lr: Rate = 0.1, beta: Decay = 0.9):
    ...     "Polyak's heavy ball."
    ...     v = beta * v + g
    ...     return lr * v, v
    >>> heavy_ball
    <rule heavy_ball(g, v, *, lr=0.1, beta=0.9)>
    >>> heavy_ball(1.0, 2.0, lr=0.5)  # the step to subtract, then the new state
    (1.4, 2.8)

The signature is the declaration: `g` is the gradient; `p`, if named, the parameter; `t`, if named, the step counted
from 1; every other positional name is an array of state, which starts at 0 unless `start` says otherwise.
Keyword-only names are hyperparameters, and their annotation is their domain.
"""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real as RealNumber
from typing import Annotated, Any, get_type_hints, overload

from stepwell.symbolic import Expr, RuleError, exp, log, maximum, minimum, sign, sqrt, symbol, tanh, where

__all__ = [
    "Decay", "Domain", "Hyperparameter", "NonNegative", "Positive", "Rate", "Real", "Rule", "RuleError", "Share",
    "exp", "log", "maximum", "minimum", "rule", "sign", "sqrt", "tanh", "where",
]  # fmt: skip


@dataclass(frozen=True)
class Domain:
    """The set a hyperparameter must lie in: `words` name it for people, `holds` decides it."""

    words: str
    holds: Callable[[float], bool]

    def check(self, name: str, value: Any) -> float:
        """`value` as a float, or a TypeError or ValueError that names the argument, the value and the domain."""
        try:
            number = value if isinstance(value, RealNumber) else value.item()
            number = float(number)
        except (AttributeError, TypeError, ValueError, RuntimeError, OverflowError):
            raise TypeError(f"{name} must be {self.words}; got {value!r}") from None
        if not self.holds(number):
            raise ValueError(f"{name} must be {self.words}; got {value!r}")
        return number


Real = Annotated[float, Domain("a finite number", math.isfinite)]
NonNegative = Annotated[float, Domain("a finite number ≥ 0", lambda x: 0 <= x < math.inf)]
Rate = NonNegative
Positive = Annotated[float, Domain("a finite number > 0", lambda x: 0 < x < math.inf)]
Decay = Annotated[float, Domain("a number in [0, 1)", lambda x: 0 <= x < 1)]
Share = Annotated[float, Domain("a number in [0, 1]", lambda x: 0 <= x <= 1)]


def domain_of(annotation: Any) -> Domain:
    """The domain that an annotation such as `Rate` carries."""
    return annotation.__metadata__[0]


@dataclass(frozen=True)
class Hyperparameter:
    """A keyword of a rule; `default` is None where the user must give one."""

    name: str
    default: float | None
    domain: Domain


class Rule:
    """A pure update `(p, g, state, t; hyperparameters) → (step, new state)`, checked when it is defined.

    Attributes:
        name: the function's name.
        formula: the function itself; calling the rule calls it.
        state: the names of the state arrays, in order.
        start: where each state array starts: a number, or the name of the hyperparameter that holds it.
        hyperparameters: by name, with defaults and domains.
        reads_parameter, reads_time: whether the rule names `p`, and `t`.

    Raises:
        RuleError: the function breaks the language (branches on data, works in place, calls an unknown function,
            returns the wrong number of values …).
    """

    def __init__(self, formula: Callable[..., Any], start: Mapping[str, float | str] | None = None):
        self.formula = formula
        self.name = self.__name__ = formula.__name__
        self.__qualname__, self.__module__, self.__doc__ = formula.__qualname__, formula.__module__, formula.__doc__
        self.__signature__ = inspect.signature(formula)
        self.arguments = self._positional()
        self.state = tuple(a for a in self.arguments if a not in ("p", "g", "t"))
        self.reads_parameter, self.reads_time = "p" in self.arguments, "t" in self.arguments
        self.hyperparameters = self._keywords()
        self.start: dict[str, float | str] = dict.fromkeys(self.state, 0.0) | self._starts(start or {})
        _ = self.trace

    def __call__(self, *arrays: Any, **hyper: Any) -> tuple[Any, ...]:
        result = self.formula(*arrays, **hyper)
        return result if isinstance(result, tuple) else (result,)

    def __repr__(self) -> str:
        hyper = [f"{h.name}={h.default!r}" if h.default is not None else h.name for h in self.hyperparameters.values()]
        return f"<rule {self.name}({', '.join([*self.arguments, '*', *hyper] if hyper else self.arguments)})>"

    def __reduce__(self) -> str:
        return self.__qualname__

    def _positional(self) -> tuple[str, ...]:
        for parameter in self.__signature__.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise RuleError(f"rule {self.name}: {parameter} hides arguments; name each one")
        names = tuple(n for n, p in self.__signature__.parameters.items() if p.kind is not p.KEYWORD_ONLY)
        if "g" not in names:
            raise RuleError(f"rule {self.name}: the gradient must be an argument named g; got ({', '.join(names)})")
        return names

    def _keywords(self) -> dict[str, Hyperparameter]:
        hints = get_type_hints(self.formula, include_extras=True)
        found = {}
        for name, parameter in self.__signature__.parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:
                marks = getattr(hints.get(name), "__metadata__", ())
                domain = next((m for m in marks if isinstance(m, Domain)), domain_of(Real))
                default = None if parameter.default is parameter.empty else domain.check(name, parameter.default)
                found[name] = Hyperparameter(name, default, domain)
        return found

    def _starts(self, start: Mapping[str, float | str]) -> dict[str, float | str]:
        for name, value in start.items():
            if name not in self.state:
                raise RuleError(f"rule {self.name}: start names {name!r}, which is not among its state {self.state}")
            if isinstance(value, str) and value not in self.hyperparameters:
                raise RuleError(f"rule {self.name}: start[{name!r}]={value!r} is not one of its hyperparameters")
        return dict(start)

    def bind(self, arrays: Mapping[str, Any], hyper: Mapping[str, Any]) -> tuple[Any, ...]:
        """The step and the new state, arguments given by name."""
        return self(*(arrays[a] for a in self.arguments), **{h: hyper[h] for h in self.hyperparameters})

    @cached_property
    def trace(self) -> tuple[Expr, ...]:
        """The step and the new state as expressions in the rule's own argument names."""
        symbols = {name: symbol(name) for name in (*self.arguments, *self.hyperparameters)}
        try:
            returned = self.bind(symbols, symbols)
        except RuleError as error:
            raise RuleError(f"rule {self.name}: {error}") from None
        except Exception as error:
            raise RuleError(
                f"rule {self.name} uses something outside the language of rules (arithmetic and the functions of "
                f"stepwell.rule): {type(error).__name__}: {error}"
            ) from error
        if len(returned) != 1 + len(self.state):
            expected = ", ".join(("step", *self.state))
            raise RuleError(f"rule {self.name} must return ({expected}): {1 + len(self.state)} values, "
                            f"not {len(returned)}")  # fmt: skip
        return tuple(Expr.of(value) for value in returned)

    def complete(self, hyper: Mapping[str, Any]) -> dict[str, float]:
        """All hyperparameters as floats: `hyper` over the defaults, each inside its domain.

        Raises:
            TypeError: an unknown name, a missing one, or a value that is not a number.
            ValueError: a value outside its domain, NaN included.
        """
        unknown = [name for name in hyper if name not in self.hyperparameters]
        if unknown:
            raise TypeError(
                f"{self.name} has no hyperparameter {unknown[0]!r}; it has {', '.join(self.hyperparameters)}"
            )
        values = {name: hyper.get(name, h.default) for name, h in self.hyperparameters.items()}
        return {name: self.hyperparameters[name].domain.check(name, value) for name, value in values.items()}

    def start_of(self, state: str, hyper: Mapping[str, float]) -> float:
        """The number that a state array starts at."""
        value = self.start[state]
        return float(hyper[value]) if isinstance(value, str) else float(value)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return inspect.getdoc(self.formula).splitlines()[0] if self.__doc__ else ""  # pyright: ignore[reportOptionalMemberAccess]

    @property
    def reference(self) -> str:
        """The first link of the docstring, or an empty string."""
        found = re.search(r"<(https?://[^>]+)>", self.__doc__ or "")
        return found[1] if found else ""

    def latex(self) -> str:
        """The formula as lines of LaTeX, new state first: what a printed page shows."""
        from stepwell.latex import latex

        return latex(self)


@overload
def rule(formula: Callable[..., Any]) -> Rule: ...
@overload
def rule(*, start: Mapping[str, float | str]) -> Callable[[Callable[..., Any]], Rule]: ...
def rule(formula: Callable[..., Any] | None = None, *, start: Mapping[str, float | str] | None = None) -> Any:
    """Turn a function into a `Rule`; `start` says where state that does not start at 0 does."""
    return Rule(formula, start) if formula else lambda f: Rule(f, start)
