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

A formula says what happens to one element, with arithmetic and the functions of this module; `row_mean` alone looks
beyond it, along the last axis. A state that is made from such means is one number a row.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

from stepwell.domain import REAL, Decay, Domain, NonNegative, Positive, Rate, Real, Share, domain_of
from stepwell.symbolic import Expr, RuleError, exp, log, maximum, minimum, row_mean, sign, sqrt, symbol, tanh, where

__all__ = [
    "Decay", "Domain", "Hyperparameter", "NonNegative", "Positive", "Rate", "Real", "Rule", "RuleError", "Share",
    "exp", "log", "maximum", "minimum", "row_mean", "rule", "sign", "sqrt", "tanh", "where",
]  # fmt: skip


RESERVED = frozenset(
    [
        "check_finite", "clip_decayed_value", "clip_norm", "clip_value", "ema", "ema_decay", "grad_scale",
        "in_backward", "l2_decay", "maximize", "params", "rounding", "sparse", "state_dtype", "step", "zero_grad",
    ]
)  # fmt: skip
"""Names of the engines' own arrays, scalars and options, which a rule cannot take."""


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
        if not inspect.isfunction(formula):
            raise RuleError(f"a rule is made from a function (def …); got {formula!r}")
        self.formula = formula
        self.name = self.__name__ = formula.__name__
        self.__qualname__, self.__module__, self.__doc__ = formula.__qualname__, formula.__module__, formula.__doc__
        self.__signature__ = inspect.signature(formula)
        self._check_names()
        self.arguments = self._positional()
        self.state = tuple(a for a in self.arguments if a not in ("p", "g", "t"))
        self.reads_parameter, self.reads_time = "p" in self.arguments, "t" in self.arguments
        self.hyperparameters = self._keywords()
        self.start: dict[str, float | str] = dict.fromkeys(self.state, 0.0) | self._starts(start or {})
        _ = self.trace

    def __call__(self, /, *arrays: Any, **hyper: Any) -> tuple[Any, ...]:
        result = self.formula(*arrays, **hyper)
        taken, fresh = {id(x) for x in (*arrays, *hyper.values())}, []
        for value in result if isinstance(result, tuple) else (result,):
            if id(value) in taken and not isinstance(value, Expr):
                value = value * 1.0  # where(True, g, …) is g itself: the result is an array of its own
            taken.add(id(value))
            fresh.append(value)
        return tuple(fresh)

    def __repr__(self) -> str:
        hyper = [f"{h.name}={h.default!r}" if h.default is not None else h.name for h in self.hyperparameters.values()]
        return f"<rule {self.name}({', '.join([*self.arguments, '*', *hyper] if hyper else self.arguments)})>"

    def __reduce__(self) -> str:
        return self.__qualname__

    def _error(self, reason: Any) -> RuleError:
        return RuleError(f"rule {self.name}: {reason}")

    def _check_names(self) -> None:
        for name, parameter in self.__signature__.parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise self._error(f"{parameter} hides arguments; name each one")
            if name.startswith("_") or name in RESERVED:
                raise self._error(f"the name {name!r} is reserved; choose another")
            if parameter.kind is parameter.KEYWORD_ONLY:
                if name in ("p", "g", "t"):
                    raise self._error(f"{name!r} names an array or the step; it stands before the *")
            elif parameter.default is not parameter.empty:
                raise self._error(f"{name} has a default, as hyperparameters have; those stand after a *")

    def _positional(self) -> tuple[str, ...]:
        names = tuple(n for n, p in self.__signature__.parameters.items() if p.kind is not p.KEYWORD_ONLY)
        if "g" not in names:
            raise self._error(f"the gradient must be an argument named g; got ({', '.join(names)})")
        return names

    def _keywords(self) -> dict[str, Hyperparameter]:
        keywords = [p for p in self.__signature__.parameters.values() if p.kind is p.KEYWORD_ONLY]
        return {p.name: Hyperparameter(p.name, self._default(p), self._domain(p)) for p in keywords}

    def _default(self, parameter: inspect.Parameter) -> float | None:
        if parameter.default is parameter.empty:
            return None
        return self._checked(self._domain(parameter), f"the default of {parameter.name}", parameter.default)

    def _checked(self, domain: Domain, name: str, value: Any) -> float:
        try:
            return domain.check(name, value)
        except (TypeError, ValueError) as error:
            raise self._error(error) from None

    def _domain(self, parameter: inspect.Parameter) -> Domain:
        annotation = parameter.annotation
        try:
            if isinstance(annotation, str):  # the module says `from __future__ import annotations`
                annotation = eval(annotation, self.formula.__globals__)
        except Exception as error:
            raise self._error(f"the annotation of {parameter} cannot be read: {error}") from None
        if annotation in (parameter.empty, float):
            return REAL
        if (domain := domain_of(annotation)) is None:
            raise self._error(f"{parameter} is annotated with no domain (Rate, Decay, Positive, Real …)")
        return domain

    def _starts(self, start: Mapping[str, float | str]) -> dict[str, float | str]:
        for name, value in start.items():
            if name not in self.state:
                raise self._error(f"start names {name!r}, which is not among its state {self.state}")
            if isinstance(value, str) and value not in self.hyperparameters:
                raise self._error(f"start[{name!r}]={value!r} is not one of its hyperparameters")
            if not isinstance(value, str):
                self._checked(REAL, f"start[{name!r}]", value)
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
            if len(returned) != 1 + len(self.state):
                expected = ", ".join(("step", *self.state))
                raise RuleError(f"it must return ({expected}): {1 + len(self.state)} values, not {len(returned)}")
            return tuple(Expr.of(value) for value in returned)
        except RuleError as error:
            raise self._error(error) from None
        except Exception as error:
            outside = "it uses something outside the language (arithmetic and the functions of stepwell.rule)"
            raise self._error(f"{outside}: {type(error).__name__}: {error}") from error

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
        if missing := [name for name, h in self.hyperparameters.items() if h.default is None and name not in hyper]:
            domain = self.hyperparameters[missing[0]].domain
            raise TypeError(f"{self.name} needs the hyperparameter {missing[0]!r}, {domain.words}")
        return {name: self.hyperparameters[name].domain.check(name, value) for name, value in values.items()}

    def start_of(self, state: str, hyper: Mapping[str, float]) -> float:
        """The number that a state array starts at."""
        value = self.start[state]
        return float(hyper[value]) if isinstance(value, str) else float(value)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.formula) or "").partition("\n")[0]

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
