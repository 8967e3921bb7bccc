"""How far to go along a direction. `named` holds every search by name; each takes a `Line` and gives the length."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import line_search

from stepwell.functions.methods import EPSILON, StepFailed
from stepwell.functions.objective import Objective

SUFFICIENT = 1e-4
"""Armijo's c: the part of the decrease that the slope promises which a step must deliver."""
DOUBLINGS = 100


class Line:
    """φ(α) = f(x + αd): f along a direction d from x, where f is `f` and its gradient `g`.

    Attributes:
        slope: φ'(0) = ∇f(x)·d, below 0 where d descends.
        rounding: what f cannot resolve, also next to a minimum where its decrease is smaller still.
    """

    def __init__(self, objective: Objective, x: Any, d: Any, f: float, g: Any):
        self.objective, self.x, self.d, self.f, self.g = objective, x, d, f, g
        self.slope = float(np.vdot(g, d))
        self.rounding = 4 * EPSILON * abs(f)

    def value(self, a: float) -> float:
        """φ(α)."""
        return self.objective.value(self.x + a * self.d)

    def slope_at(self, a: float) -> float:
        """φ'(α)."""
        return float(np.vdot(self.objective.gradient(self.x + a * self.d), self.d))


def bisection(line: Line) -> float:
    """The zero of φ' by bisection, to the last bit: the least of φ where φ is convex.

    The bracket [0, 1] grows by doubling until φ' is no longer below 0 at its end.
    """
    low, high = 0.0, 1.0
    for _ in range(DOUBLINGS):
        if not line.slope_at(high) < 0:  # also where it is no longer finite: there is an end before that
            break
        low, high = high, 2 * high
    else:
        raise StepFailed("f falls without an end along the direction")
    while low < (middle := (low + high) / 2) < high:
        slope = line.slope_at(middle)
        if slope == 0:
            return middle
        low, high = (middle, high) if slope < 0 else (low, middle)
    return low


def armijo(line: Line) -> float:
    """Backtracking: the first α of 1, ½, ¼ … with φ(α) ≤ φ(0) + cαφ'(0), c = 1e-4.

    Armijo (1966). <https://doi.org/10.2140/pjm.1966.16.1>
    """
    a = 1.0
    while a == 1 or (a > EPSILON**2 and -a * line.slope > 2 * line.rounding):
        if line.value(a) <= line.f + SUFFICIENT * a * line.slope + line.rounding:
            return a
        a /= 2
    raise StepFailed("no step along the direction lowers f")


def wolfe(line: Line) -> float:
    """A step with the strong Wolfe conditions, from `scipy.optimize.line_search`, whose first trial is 1.

    Nocedal & Wright (2006), algorithm 3.5. <https://doi.org/10.1007/978-0-387-40065-5>
    """
    shape = np.shape(line.x)

    def value(x: np.ndarray) -> float:
        return line.objective.value(x.reshape(shape)[()])

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.ravel(line.objective.gradient(x.reshape(shape)[()]))

    x, d, g = np.ravel(line.x), np.ravel(line.d), np.ravel(line.g)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says in its answer that it found nothing
        found = line_search(value, gradient, x, d, g, line.f, c1=SUFFICIENT)[0]
    if found is None and -line.slope <= line.rounding and line.value(1.0) <= line.f + line.rounding:
        return 1.0
    if found is None:
        raise StepFailed("no step along the direction has the strong Wolfe conditions")
    return float(found)


Search = Callable[[Line], float]
named: dict[str, Search] = {search.__name__: search for search in (bisection, armijo, wolfe)}
"""Every search by name."""


def length(search: Search, line: Line) -> float:
    """The length that `search` finds: 0 at a stationary point; StepFailed where the direction climbs."""
    if line.slope == 0:
        return 0.0
    if not line.slope < 0:
        raise StepFailed(f"the direction climbs (slope {line.slope:g}), so there is no step to search")
    return search(line)
