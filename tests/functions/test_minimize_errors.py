"""What `minimize` refuses, and in which words, before it takes a step."""

import math
from typing import Any

import numpy as np
import pytest

from stepwell.functions import minimize, sets, surfaces


def square(x: Any) -> Any:
    return float(np.sum(x * x))


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (TypeError, "fun must return one real number", {"fun": lambda x: x * np.ones(2)}),
        (TypeError, "fun must return one real number", {"fun": lambda x: None}),
        (TypeError, "fun must return one real number", {"fun": lambda x: 1j * x}),
        (TypeError, "fun must be a function", {"fun": 3}),
        (TypeError, "jac must be a function", {"jac": 3}),
        (TypeError, "callback must be a function", {"callback": 3}),
        (ValueError, "fun must be finite at x0", {"fun": lambda x: math.nan}),
        (ValueError, "fun must be finite at x0", {"fun": lambda x: math.exp(1000 * x)}),
        (ValueError, r"the gradient \(jac\) must be finite at x0", {"jac": lambda x: math.inf}),
        (ValueError, r"jac must return an array of shape \(\)", {"jac": lambda x: [x, x]}),
        (ValueError, r"jac must return an array of shape \(3,\)", {"x0": [1.0, 2.0, 3.0], "jac": lambda x: x[:2]}),
        (TypeError, "jac must return real numbers; got", {"jac": lambda x: np.complex128(2 * x + 1j)}),
        (TypeError, "jac must return real numbers; got None", {"jac": lambda x: None}),
        (TypeError, "hess must return real numbers; got", {"method": "newton", "hess": lambda x: np.array(2 + 1j)}),
        (ValueError, "fun must be finite at x0; got nan at x0=-3", {"x0": -3.0, "fun": math.log}),
        (ValueError, r"the gradient \(jac\) must be finite at x0; got nan", {"jac": lambda x: math.sqrt(-x)}),
        (ValueError, "hess must be finite at x0", {"method": "newton", "hess": lambda x: math.exp(1000 * x)}),
        (ValueError, "hess must return an array", {"method": "newton", "hess": lambda x: [x, x]}),
        (ValueError, "hess must be finite at x0", {"method": "newton", "hess": lambda x: math.inf}),
        (ValueError, "x0 must lie in Ball", {"project": sets.Ball(1.0)}),
        (ValueError, "project must return an array of shape", {"project": lambda x: [x, x]}),
        (TypeError, "project must be a set", {"project": 3}),
        (TypeError, "project must be a set with .project or a function of x; got <class", {"project": sets.Box}),
        (TypeError, "project must return real numbers", {"project": lambda x: "a"}),
        (TypeError, "noise must return real numbers", {"noise": lambda rng, x, g: 1j * g}),
        (TypeError, "x0 must be", {"x0": "here"}),
        (TypeError, "x0 must be", {"x0": 1j}),
        (TypeError, "x0 must be", {"x0": True}),
        (TypeError, "x0 must be", {"x0": [[1.0], [2.0, 3.0]]}),
        (ValueError, "x0 must be", {"x0": math.nan}),
        (ValueError, "x0 must be", {"x0": []}),
        (ValueError, "method must be one of .* got 'addam' .did you mean 'adam'", {"method": "addam"}),
        (TypeError, "method must be a name, a rule, or", {"method": 3}),
        (ValueError, "line_search must be one of bisection.* .did you mean 'armijo'", {"line_search": "armilo"}),
        (TypeError, "line_search must be", {"line_search": 3}),
        (ValueError, "steps must be an integer ≥ 0; got -1", {"steps": -1}),
        (TypeError, "steps must be an integer ≥ 0; got 2.5", {"steps": 2.5}),
        (TypeError, "steps must be an integer ≥ 0; got True", {"steps": True}),
        (ValueError, "noise must be a finite number ≥ 0", {"noise": -1.0}),
        (ValueError, "noise must return an array", {"noise": lambda rng, x, g: [g, g]}),
        (TypeError, "seed must be what numpy.random.default_rng takes; got 'a'", {"seed": "a"}),
        (ValueError, "seed must be what numpy.random.default_rng takes; got -1", {"seed": -1}),
        (ValueError, "tol must be a finite number ≥ 0", {"tol": -1e-3}),
        (ValueError, "lr must be a finite number ≥ 0; got -1", {"lr": -1}),
        (ValueError, "lr must be a finite number ≥ 0; got nan", {"lr": lambda k: math.nan}),
        (ValueError, "lr must be a finite number ≥ 0; got -1", {"method": "newton", "lr": -1}),
        (ValueError, "beta must be a number in", {"method": "momentum", "beta": 1.0}),
        (TypeError, "adam has no hyperparameter 'beta'", {"method": "adam", "beta": 0.9}),
        (TypeError, "newton has no hyperparameter 'beta'; it has lr", {"method": "newton", "beta": 0.9}),
    ],
)  # fmt: skip
def test_refused_before_the_first_step(error: type[Exception], words: str, arguments: dict[str, Any]):
    steps = []
    given = {"fun": square, "x0": 3.0, "callback": steps.append} | arguments
    with pytest.raises(error, match=words):
        minimize(**given)
    assert not steps


def test_a_surface_says_which_shape_it_wants():
    with pytest.raises(ValueError, match="shape"):
        minimize(surfaces.bowl, [1.0, 2.0, 3.0])


def test_an_error_of_the_users_function_is_the_users():
    def broken(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        minimize(broken, 1.0)
    with pytest.raises(ValueError, match="invalid literal"):
        minimize(lambda x: int("mine"), 1.0)
