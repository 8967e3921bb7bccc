"""How far to go along a direction. `named` holds every search by name; each takes a `Line` and gives the length."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import line_search

from stepwell.functions.gradients import EPSILON
from stepwell.functions.methods import StepFailed
from stepwell.functions.objective import Objective

SUFFICIENT = 1e-4
"""Armijo's c: the part of the decrease that the slope promises which a step must deliver."""
FLAT = 0.9
"""Wolfe's c₂: the part of the slope that may be left, up or down."""
DOUBLINGS = 100
SCATTER = 1000
"""Roundings by which f may scatter from point to point: what is lower by less may not be."""
TINIEST = float(np.finfo(np.float64).tiny)
TRIALS = 2200  # every power of two that a double can hold


class Hidden(StepFailed):
    """No step is found, and what the slope promises up to where it turns is within the rounding of f."""


class Line:
    """φ(α) = f(x + αd): f along a direction d from x, where f is `f` and its gradient `g`.

    Attributes:
        slope: φ'(0) = ∇f(x)·d, below 0 where d descends.
        rounding: what f cannot resolve; a rise within it is none. Next to a minimum every decrease is smaller still.
        largest: the largest |f| on the way to x: of about that size are the terms that may cancel in f.
    """

    def __init__(self, objective: Objective, x: Any, d: Any, f: float, g: Any, largest: float = 0.0):
        self.objective, self.x, self.d, self.f, self.g, self.largest = objective, x, d, f, g, max(abs(f), largest)
        self.slope = float(np.vdot(g, d))
        self.rounding = 4 * EPSILON * abs(f)

    def value(self, a: float) -> float:
        """φ(α)."""
        return self.objective.value(self.x + a * self.d)

    def slope_at(self, a: float) -> float:
        """φ'(α)."""
        return float(np.vdot(self.objective.gradient(self.x + a * self.d), self.d))

    def falls_enough(self, a: float) -> bool:
        """φ(α) ≤ φ(0) + cαφ'(0), c = 1e-4, rounding aside."""
        return self.value(a) <= self.f + SUFFICIENT * a * self.slope + self.rounding


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

    Where f resolves no such decrease, φ'(α) ≤ c₂|φ'(0)| is asked for too, c₂ = .9: then the slope still shrinks.
    Armijo (1966). <https://doi.org/10.2140/pjm.1966.16.1>
    """
    a = 1.0
    while True:
        unresolved = -a * line.slope <= 2 * line.rounding or a < TINIEST
        if line.falls_enough(a) and (not unresolved or line.slope_at(a) <= FLAT * -line.slope):
            return a
        if unresolved and not line.slope_at(a) >= 0:
            raise StepFailed("no step along the direction lowers f")
        a /= 2


def wolfe(line: Line) -> float:
    """A step with the strong Wolfe conditions, φ(α) ≤ φ(0) + cαφ'(0) and |φ'(α)| ≤ c₂|φ'(0)|, c₂ = .9; first trial 1.

    SciPy's `line_search`. Where that gives up after its fixed number of trials: a bracket that doubles while φ falls,
    and is halved then; its lower end always descends below the line of the first condition, so that a step is inside.
    Nocedal & Wright (2006), algorithms 3.5 and 3.6. <https://doi.org/10.1007/978-0-387-40065-5>
    """
    found = _by_scipy(line)
    if found is not None and line.falls_enough(found) and abs(line.slope_at(found)) <= FLAT * -line.slope:
        return found
    low, high, a = 0.0, np.inf, 1.0
    for _ in range(TRIALS):
        if not line.falls_enough(a):
            high = a
        elif abs(slope := line.slope_at(a)) <= FLAT * -line.slope:
            return a
        elif slope < 0:
            low = a
        else:
            high = a
        a = 2 * a if high == np.inf else (low + high) / 2
    raise StepFailed("no step along the direction was found to have the strong Wolfe conditions")


def _by_scipy(line: Line) -> float | None:
    along, start = np.ones(1), np.zeros(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The line search algorithm|Rounding errors")  # it has given up
        return line_search(
            lambda a: line.value(float(a[0])), lambda a: np.array([line.slope_at(float(a[0]))]), start, along,
            np.array([line.slope]), line.f, c1=SUFFICIENT, c2=FLAT,
        )[0]  # fmt: skip


Search = Callable[[Line], float]
named: dict[str, Search] = {search.__name__: search for search in (bisection, armijo, wolfe)}
"""Every search by name."""


def length(search: Search, line: Line) -> float:
    """The length that `search` finds: 0 at a stationary point; StepFailed where the direction climbs."""
    if line.slope == 0:
        return 0.0
    if not line.slope < 0:
        raise StepFailed(f"the direction climbs (slope {line.slope:g}), so there is no step to search")
    try:
        return search(line)
    except StepFailed:
        if not _hidden(line):
            raise
        raise Hidden("the rounding of f hides any further decrease") from None


def _hidden(line: Line) -> bool:
    try:
        turn = bisection(line)
    except StepFailed:
        return False
    return -line.slope * turn <= SCATTER * EPSILON * line.largest
