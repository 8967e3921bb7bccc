"""The mark of an erratum, and how the errata of a rule are found."""

import functools
from collections.abc import Callable, Iterable
from typing import Protocol, cast

import numpy as np

from stepwell.book.section import Experiment, Page
from stepwell.functions.theory.feed import feed
from stepwell.rule import Rule


class Erratum(Protocol):
    """An experiment that knows the names of the rules it is about."""

    __name__: str
    rules: tuple[str, ...]

    def __call__(self, page: Page, /) -> None: ...


found: list[Erratum] = []
"""Every erratum, in the order in which they were marked."""


def erratum(*rules: str) -> Callable[[Experiment], Erratum]:
    """Mark an experiment as an erratum about the rules of these names; about none, it concerns a text's other parts."""

    def mark(function: Experiment) -> Erratum:
        @functools.wraps(function)
        def with_tests(page: Page) -> None:
            function(page)
            number = int(function.__name__[1:3])
            page.say(
                f"Tests: `pytest tests/book -k test_{number}_`; `tests/book/errata_mutants.py` has the error itself."
            )

        marked = cast(Erratum, with_tests)
        marked.rules = rules
        found.append(marked)
        return marked

    return mark


def concerning(rule: str) -> list[Erratum]:
    """The errata about the rule of that name, in their own order.

    >>> from stepwell.book import errata
    >>> [erratum.__name__ for erratum in errata.concerning("yogi")][:2]
    ['e01_epsilon_outside_the_parenthesis', 'e03_yogis_epsilon']
    """
    return sorted((each for each in found if rule in each.rules), key=lambda each: each.__name__)


def follow(rule: Rule, gradients: Iterable[float], **hyper: float) -> np.ndarray:
    """The steps that a rule takes for these gradients one after the other, whatever the parameter does; in float64."""
    return np.array([step for step, _ in feed(rule, gradients, rule.complete(hyper))])
