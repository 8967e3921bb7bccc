"""Hyperparameters as JAX has them: numbers, arrays that may be traced, and functions of the count of updates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from stepwell.domain import Domain, domain_of
from stepwell.rule import Rule
from stepwell.schedules import Schedule, reduce_on_plateau


@dataclass(frozen=True)
class Hyper:
    """What a rule was given: `fixed` are Python's numbers, part of the compiled step; `moving` are the others."""

    fixed: Mapping[str, float]
    moving: Mapping[str, Any]

    def at(self, count: Any) -> dict[str, Any]:
        """Those that move, after `count` updates."""
        return {name: _at(value, count) for name, value in self.moving.items()}


def read(rule: Rule, given: Mapping[str, Any], called: Callable[[str], str] = str) -> Hyper:
    """The hyperparameters of a rule, checked as far as their values can be seen.

    Args:
        rule: the rule.
        given: a value for each of its hyperparameters.
        called: what errors call a hyperparameter.

    Raises:
        TypeError: a value that is no number, no array without axes and no function.
        ValueError: a number outside its domain.
    """
    fixed: dict[str, float] = {}
    moving: dict[str, Any] = {}
    for name, hyper in rule.hyperparameters.items():
        value = checked(hyper.domain, called(name), given[name])
        (fixed if isinstance(value, float) else moving)[name] = value
    return Hyper(fixed, moving)


def inside(annotation: Any, name: str, value: Any) -> Any:
    """As `checked`, in the domain of an annotation such as Rate."""
    domain = domain_of(annotation)
    assert domain is not None
    return checked(domain, name, value)


def checked(domain: Domain, name: str, value: Any) -> Any:
    """`value` as a float, or as it is where it is an array or a function of the count."""
    if isinstance(value, reduce_on_plateau):
        raise TypeError(
            f"{name} must be a number or a pure function of the count, since a compiled step sees no other change; got "
            f"{value!r} (optax.inject_hyperparams makes a rate that can be set between steps)"
        )
    if callable(value):
        return value
    if isinstance(value, (jax.Array, np.ndarray)):
        if value.ndim or not jnp.issubdtype(value.dtype, jnp.number):
            raise TypeError(f"{name} must be {domain.words}; got an array of shape {value.shape} and {value.dtype}")
        if not isinstance(value, Tracer):
            domain.check(name, value)
        return value
    return domain.check(name, value)


def _at(value: Any, count: Any) -> Any:
    if isinstance(value, Schedule):
        with jax.enable_x64(True):
            return value(count)
    return value(count) if callable(value) else value
