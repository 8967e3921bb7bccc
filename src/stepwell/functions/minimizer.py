"""Any method on any function of numbers, watched: `minimize`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from stepwell.domain import NonNegative, check, optional
from stepwell.functions import line_search as searches
from stepwell.functions import methods
from stepwell.functions.descent import Descent, Result
from stepwell.functions.given import one_of, reals
from stepwell.functions.objective import Objective
from stepwell.rule import Rule
from stepwell.schedules.domains import Steps

INSIDE = 1e-9
"""How far outside its set x0 may lie."""


def minimize(
    fun: Callable[[Any], Any],
    x0: Any,
    method: str | Rule | methods.Method = "gradient_descent",
    *,
    lr: float | Callable[[int], float] | None = None,
    steps: int = 100,
    jac: Callable[[Any], Any] | None = None,
    hess: Callable[[Any], Any] | None = None,
    noise: float | Callable[[np.random.Generator, Any, Any], Any] | None = None,
    project: Any = None,
    line_search: str | searches.Search | None = None,
    callback: Callable[[OptimizeResult], Any] | None = None,
    tol: float | None = None,
    seed: Any = 0,
    **hyper: Any,
) -> Result:
    """Make `steps` steps of a method down `fun` from x0, in float64.

    Args:
        fun: a function of an array of x0's shape (a number for a number) that returns one number, or a `Surface`.
            A surface of n variables at an x0 of shape (m, n) is m particles side by side; f is then their sum.
        method: a rule or its name (`stepwell.rules.named`), "newton", "newton_abs" (|H| for H), "newton_floored" (|H|
            also where it is singular), "diagonal" (Newton in each coordinate alone), or an object with `init` and
            `step` (`methods.Method`).
        lr: the rate: a number, a schedule, or any function of the step, from 0. None is the method's own default,
            which for Newton's is 1; with a line search, whose first trial the rate is, it is 1.
        jac, hess: the gradient, of x's shape, and the Hessian, (n, n). Without them: the surface's own;
            `torch.func` where the function works on tensors, as long as it agrees with differences (checked at x0, and
            along one direction at each x); central differences.
        noise: the standard deviation of N(0, noise²) on each coordinate of each gradient, or a function
            (generator, x, gradient) → gradient.
        project: a set (`stepwell.functions.sets`) or function to project x with after each step; x0 lies in it.
        line_search: "bisection", "armijo" or "wolfe": scales each step of the method; it sees no projection. The
            run ends, with success, where the rounding of f hides any further decrease.
        callback: called after each step with an OptimizeResult of x, fun and nit; StopIteration ends the run.
        tol: stop when no coordinate of ∇f is above it, of x - P(x - ∇f) where x is projected by P; without it all steps
            are made.
        seed: of the noise: what `numpy.random.default_rng` takes.
        hyper: the rule's other hyperparameters.

    Returns:
        SciPy's OptimizeResult: x, fun, jac, nit, nfev, njev, nhev, success, status (`descent.Status`), message; path
        (nit+1, *x.shape) from x0 on and values, f along it; gradient_from "jac", "surface", "torch.func" or
        "central differences" (of the last gradient). Divergence, and a step that cannot be computed, is a result
        without success.

    Errors: ValueError or TypeError, before the first step, for an argument outside its domain, for a function that
    returns no single number, and where f, its gradient or (if used) its Hessian are not finite at x0.

    >>> from stepwell.functions import minimize, surfaces
    >>> result = minimize(surfaces.bowl, [-5.0, -2.0], "momentum", lr=0.1, beta=0.5, steps=100)
    >>> abs(result.x).max() < 1e-9, result.gradient_from, result.message
    (np.True_, 'surface', '100 steps made')
    """
    x = start(x0)
    steps, tol = check(Steps, "steps", steps), optional(NonNegative, "tol", tol)
    chosen, search = _method(method), _search(line_search)
    rate, state = chosen.init(x, 1.0 if lr is None and search is not None and _has_rate(chosen) else lr, hyper)
    noisy = _noise(noise, _generator(seed))
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of an OptimizeResult; got {callback!r}")
    objective = Objective(fun, x, jac, hess)
    with np.errstate(all="ignore"):  # overflow is an outcome, told in the result
        projected = _projection(project, x, objective.dimension)
        return Descent(objective, chosen, rate, state, x, search, noisy, projected, callback, tol).run(steps)


def start(x0: Any) -> Any:
    """x0 as float64, its own array; TypeError or ValueError for what is not finite real numbers."""
    words = "x0 must be a number or an array of finite real numbers"
    x = reals(words, x0)
    if not x.size or not np.isfinite(x).all():
        raise ValueError(f"{words}; got {x0!r}")
    return x[()]


def _method(method: Any) -> methods.Method:
    if isinstance(method, str):
        return one_of("method", method, methods.named)
    if isinstance(method, Rule):
        return methods.FromRule(method)
    if not isinstance(method, methods.Method) or isinstance(method, type):
        raise TypeError(f"method must be a name, a rule, or an object with init and step; got {method!r}")
    return method


def _has_rate(method: methods.Method) -> bool:
    return not isinstance(method, methods.FromRule) or "lr" in method.rule.hyperparameters


def _search(search: Any) -> Any:
    if isinstance(search, str):
        return one_of("line_search", search, searches.named)
    if search is not None and not callable(search):
        raise TypeError(f"line_search must be None, a name or a function of a Line; got {search!r}")
    return search


def _generator(seed: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed must be what numpy.random.default_rng takes; got {seed!r}") from None


def _noise(noise: Any, generator: np.random.Generator) -> Callable[[Any, Any], Any] | None:
    if noise is None:
        return None
    if not callable(noise):
        sd = check(NonNegative, "noise", noise)
        return lambda x, g: g + sd * generator.standard_normal(np.shape(g))

    def noisy(x: Any, g: Any) -> Any:
        found = reals("noise must return real numbers", noise(generator, x.copy(), g.copy()))
        if found.shape != np.shape(g):
            raise ValueError(f"noise must return an array of shape {np.shape(g)}; got shape {found.shape}")
        return found[()]

    return noisy


def _projection(project: Any, x0: Any, dimension: int) -> Callable[[Any], Any] | None:
    """The projection of x, or of each of its particles."""
    if project is None:
        return None
    one = getattr(project, "project", project)
    if not callable(one) or isinstance(project, type):
        raise TypeError(f"project must be a set with .project or a function of x; got {project!r}")

    def projected(x: Any) -> Any:
        points = [x] if x.size == dimension else x.reshape(-1, dimension)
        found = reals("project must return real numbers", [one(point.copy()) for point in points])
        if found.size != x.size:
            raise ValueError(f"project must return an array of shape {x.shape}; got {found.shape[1:]}")
        return found.reshape(x.shape)[()]

    if np.max(abs(projected(x0) - x0)) > INSIDE * max(1.0, float(np.max(abs(x0)))):
        raise ValueError(f"x0 must lie in {project!r}; got {x0}")
    return projected
