"""Rules run on given gradients, without a function: the parameter stays at 0, what they answer is kept."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from stepwell import rules
from stepwell.functions.given import one_of
from stepwell.rule import Rule


def rule_of(rule: Rule | str) -> Rule:
    """A rule, or the library's of that name; ValueError for another name, TypeError for another thing."""
    if not isinstance(rule, (Rule, str)):
        raise TypeError(f"rule must be a rule or the name of one; got {rule!r}")
    return one_of("rule", rule, rules.named) if isinstance(rule, str) else rule


def feed(
    rule: Rule, gradients: Iterable[Any], hyper: Mapping[str, float]
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """The step and the new state after each gradient, t from 1; `hyper` is complete. Overflow and 0/0 are silent."""
    state: dict[str, Any] = {name: np.float64(rule.start_of(name, hyper)) for name in rule.state}
    for t, g in enumerate(gradients, 1):
        arrays = {"p": np.zeros_like(g), "g": np.asarray(g, dtype=np.float64)[()], "t": t, **state}
        with np.errstate(all="ignore"):
            step, *new = rule.bind(arrays, hyper)
        state = dict(zip(rule.state, new, strict=True))
        yield step, state
