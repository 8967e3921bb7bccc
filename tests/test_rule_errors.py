"""What a declaration may not be, and how it is said: when the rule is defined, by its name."""

import math
from typing import Annotated

import pytest

from stepwell import rules
from stepwell.rule import Rate, Rule, RuleError, rule


def ill_default(g, *, lr: Rate = -1):
    return lr * g


def default_of_no_number(g, *, lr: Rate = "fast"):  # pyright: ignore[reportArgumentType]
    return lr * g


def no_gradient(m, *, lr: Rate = 1):
    return lr * m, m


def all_positional(*g, lr: Rate = 1):
    return lr * g[0]


def all_keywords(g, **hyper):
    return g


def positional_hyperparameter(g, lr=0.1):
    return lr * g


def keyword_gradient(m, *, g=1.0):
    return m, m


def keyword_time(g, *, t=1.0):
    return g * t


def annotated_with_a_type(g, *, steps: int = 3):
    return g * steps


def annotated_without_domain(g, *, lr: Annotated[float, "a rate"] = 3):
    return g * lr


def annotated_with_an_unknown_name(g, *, lr: "Unheard" = 3):  # pyright: ignore # noqa: F821
    return g * lr


def private_state(g, _x0):
    return g, _x0


def state_called_step(g, step):
    return g, step


def too_few(g, m, v):
    return g, m


def too_many(g, m):
    return g, m, m


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        (ill_default, "the default of lr must be a finite number ≥ 0; got -1"),
        (default_of_no_number, "the default of lr must be a finite number ≥ 0; got 'fast'"),
        (no_gradient, "the gradient must be an argument named g; got (m)"),
        (all_positional, "*g hides arguments"),
        (all_keywords, "**hyper hides arguments"),
        (positional_hyperparameter, "lr has a default, as hyperparameters have; those stand after a *"),
        (keyword_gradient, "'g' names an array or the step; it stands before the *"),
        (keyword_time, "'t' names an array or the step; it stands before the *"),
        (annotated_with_a_type, "steps: int = 3 is annotated with no domain"),
        (annotated_without_domain, "is annotated with no domain"),
        (annotated_with_an_unknown_name, "name 'Unheard' is not defined"),
        (private_state, "the name '_x0' is reserved"),
        (state_called_step, "the name 'step' is reserved"),
        (too_few, "it must return (step, m, v): 3 values, not 2"),
        (too_many, "it must return (step, m): 2 values, not 3"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_declaration_that_is_none_is_refused(formula, words):
    with pytest.raises(RuleError) as error:
        rule(formula)
    assert str(error.value).startswith(f"rule {formula.__name__}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("thing", [3, "adam", None, max, rules.adam, type("Callable", (), {"__call__": None})()])
def test_only_a_function_is_a_rule(thing):
    with pytest.raises(RuleError, match="a rule is made from a function"):
        Rule(thing)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({"x": 0}, "start names 'x', which is not among its state ('m',)"),
        ({"lr": 0}, "start names 'lr'"),
        ({"m": "beta"}, "start['m']='beta' is not one of its hyperparameters"),
        ({"m": None}, "start['m'] must be a finite number; got None"),
        ({"m": math.nan}, "start['m'] must be a finite number; got nan"),
        ({"m": [1.0]}, "start['m'] must be a finite number"),
    ],
)
def test_a_start_that_means_nothing_is_refused(start, words):
    def formula(g, m, *, lr: Rate = 1):
        return lr * g, m

    with pytest.raises(RuleError) as error:
        rule(start=start)(formula)
    assert words in str(error.value)
