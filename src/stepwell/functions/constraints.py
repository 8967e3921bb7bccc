"""Minima under constraints c(x) ≤ 0 and h(x) = 0: penalties, and Lagrange multipliers.

>>> from stepwell.functions.constraints import augmented_lagrangian
>>> result = augmented_lagrangian(lambda x: x**2, 3.0, inequalities=[lambda x: 1 - x])  # x² where x ≥ 1
>>> float(result.x.round(4)), result.multipliers["inequalities"].round(4)
(1.0, array([2.]))
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from scipy.optimize import OptimizeResult

from stepwell.domain import Domain, NonNegative, Positive, check
from stepwell.functions.descent import Status
from stepwell.functions.given import reals
from stepwell.functions.methods import HessianNotFinite
from stepwell.functions.minimizer import minimize, start
from stepwell.functions.objective import Function, Objective
from stepwell.rule import maximum
from stepwell.schedules.domains import Period, Steps

Growth = Annotated[float, Domain("a finite number > 1", lambda x: 1 < x < math.inf)]
STIFFEST = 1e10
"""The penalty weight at which growth ends: beyond it float64 no longer resolves the minimum."""


def penalized(
    fun: Function, inequalities: Iterable[Function] = (), equalities: Iterable[Function] = (), weight: float = 1.0
) -> Function:
    """f(x) + α·(Σ max(0, cᵢ(x))² + Σ hⱼ(x)²): a minimum outside the set, the nearer the larger the weight α ≥ 0.

    The square makes it smooth; *Dive into Deep Learning* writes the plain αc(x), which also rewards c below 0.
    The constraint's multiplier is about 2α·max(0, c(x)) at the minimum. Functions may be vectors of constraints.

    >>> from stepwell.functions import minimize
    >>> f = penalized(lambda x: x**2, inequalities=[lambda x: 1 - x], weight=99.0)
    >>> float(minimize(f, 3.0, "newton", steps=20).x.round(6))
    0.99
    """
    if not callable(fun):
        raise TypeError(f"fun must be a function of x; got {fun!r}")
    c, h = _functions("inequalities", inequalities), _functions("equalities", equalities)
    weight = check(NonNegative, "weight", weight)

    def total(x: Any) -> Any:
        beyond = [maximum(value, 0.0) for value in _values("inequalities", c, x)] + _values("equalities", h, x)
        return fun(x) + weight * sum(_sum(value**2) for value in beyond)

    return total


def augmented_lagrangian(
    fun: Function,
    x0: Any,
    inequalities: Iterable[Function] = (),
    equalities: Iterable[Function] = (),
    *,
    method: Any = "newton_floored",
    line_search: Any = "armijo",
    rounds: int = 30,
    steps: int = 200,
    penalty: float = 10.0,
    growth: float = 10.0,
    tol: float = 1e-6,
    jac: Function | None = None,
    hess: Function | None = None,
    **options: Any,
) -> OptimizeResult:
    """The least f(x) where every cᵢ(x) ≤ 0 and hⱼ(x) = 0, and the multipliers α, β of the constraints.

    Each round minimizes L(x) = f + ρ/2·Σ max(0, cᵢ + αᵢ/ρ)² + ρ/2·Σ (hⱼ + βⱼ/ρ)² in x by `minimize`, then moves
    α ← max(0, α + ρc) and β ← β + ρh; ρ grows where the violation has not fallen to a quarter.
    Bertsekas (1982); Nocedal & Wright (2006), section 17.4. <https://doi.org/10.1007/978-0-387-40065-5>

    Args:
        fun, inequalities, equalities: functions of x that return one number, or surfaces. jac, hess are of `fun`;
            for the others see `minimize`. Infeasible x0 are allowed.
        method, line_search, steps and options (lr …): for `minimize`, in each round.
        rounds: at most so many; penalty: the first ρ; growth: its factor.
        tol: for the violation, the largest coordinate of ∇f + Σα∇c + Σβ∇h, and |min(α, -c)|.

    Returns:
        OptimizeResult: x, fun, multipliers {"inequalities": α, "equalities": β}, violation max(0, c, |h|), kkt (the
        largest of the three that tol is for), path (x after each round, from x0), nit (rounds), success, message.

    Errors: those of `minimize`; a ValueError where a constraint is not finite at x0.
    """
    inequalities, equalities = _functions("inequalities", inequalities), _functions("equalities", equalities)
    rounds, steps, tol = check(Period, "rounds", rounds), check(Steps, "steps", steps), check(Positive, "tol", tol)
    x, growth = start(x0), check(Growth, "growth", growth)
    f = Objective(fun, x, jac, hess)
    c = [Objective(function, x, name=f"inequalities[{i}]") for i, function in enumerate(inequalities)]
    h = [Objective(function, x, name=f"equalities[{i}]") for i, function in enumerate(equalities)]
    _check_start([f, *c, *h], x)
    lagrangian = _Lagrangian(f, c, h, np.zeros(len(c)), np.zeros(len(h)), check(Positive, "penalty", penalty))
    given = {"method": method, "line_search": line_search, "steps": steps, "tol": tol / 2, **options}
    return _rounds(lagrangian, x, rounds, tol, growth, given)


def _rounds(
    lagrangian: "_Lagrangian", x: Any, rounds: int, tol: float, growth: float, given: Mapping[str, Any]
) -> OptimizeResult:
    path, violation, message = [x], math.inf, ""
    for done in range(1, rounds + 1):
        inner = lagrangian.minimize(x, done == 1, given)
        if inner.status == Status.DIVERGED:
            return lagrangian.result(path, Status.DIVERGED, f"in round {done} the Lagrangian {inner.message}")
        x = inner.x
        path.append(x)
        before, violation = violation, lagrangian.violation(x)
        lagrangian.move_multipliers(x)
        kkt = lagrangian.kkt(x)
        if kkt <= tol:
            end = f"converged: the conditions hold within {kkt:g} after {done} rounds"
            return lagrangian.result(path, Status.DONE, end)
        if violation > max(tol, before / 4):
            lagrangian.weight = min(lagrangian.weight * growth, STIFFEST)
        message = f"after {done} rounds the conditions hold within {kkt:g}, above tol {tol:g}"
        message += f", and the constraints within {violation:g}; the last descent: {inner.message}"
    return lagrangian.result(path, Status.STEPS, message)


@dataclass
class _Lagrangian:
    """The augmented Lagrangian at multipliers α, β and weight ρ, as a function of x."""

    f: Objective
    c: list[Objective]
    h: list[Objective]
    alpha: np.ndarray
    beta: np.ndarray
    weight: float

    def minimize(self, x: Any, first: bool, given: Mapping[str, Any]) -> OptimizeResult:
        try:
            return minimize(self.value, x, jac=self.gradient, hess=self.hessian, **given)
        except ValueError as error:
            if first or not isinstance(error.__cause__, HessianNotFinite):
                raise
            return OptimizeResult(x=x, status=Status.FAILED, message=str(error))

    def _forces(self, x: Any) -> np.ndarray:
        """max(0, α + ρc) and β + ρh: what pulls along each constraint's gradient, and the next multipliers."""
        c, h = self._values(self.c, x), self._values(self.h, x)
        return np.concatenate([np.maximum(0.0, self.alpha + self.weight * c), self.beta + self.weight * h])

    def value(self, x: Any) -> float:
        return self.f.value(x) + float(np.sum(self._forces(x) ** 2)) / (2 * self.weight)

    def gradient(self, x: Any, forces: np.ndarray | None = None) -> Any:
        forces = self._forces(x) if forces is None else forces
        pulls = zip(forces, [*self.c, *self.h], strict=True)
        return self.f.gradient(x) + sum(force * constraint.gradient(x) for force, constraint in pulls if force != 0)

    def hessian(self, x: Any) -> np.ndarray:
        H = self.f.hessian(x)[0]
        for i, (force, constraint) in enumerate(zip(self._forces(x), [*self.c, *self.h], strict=True)):
            if force != 0 or i >= len(self.c):  # an equality pulls on both sides of 0
                normal = np.ravel(constraint.gradient(x))
                H = H + force * constraint.hessian(x)[0] + self.weight * np.outer(normal, normal)
        return H

    def move_multipliers(self, x: Any) -> None:
        forces = self._forces(x)
        self.alpha, self.beta = forces[: len(self.c)], forces[len(self.c) :]

    def violation(self, x: Any) -> float:
        return float(max([0.0, *self._values(self.c, x), *abs(self._values(self.h, x))]))

    def kkt(self, x: Any) -> float:
        slope = self.gradient(x, np.concatenate([self.alpha, self.beta]))
        slack = np.minimum(self.alpha, -self._values(self.c, x))
        return float(max([np.max(abs(slope)), self.violation(x), *abs(slack)]))

    def result(self, path: list[Any], status: Status, message: str) -> OptimizeResult:
        parts, x = [self.f, *self.c, *self.h], path[-1]
        return OptimizeResult(
            x=x,
            fun=self.f.value(x),
            multipliers={"inequalities": self.alpha, "equalities": self.beta},
            violation=self.violation(x),
            kkt=self.kkt(x),
            path=np.array(path),
            nit=len(path) - 1,
            nfev=sum(part.nfev for part in parts),
            njev=sum(part.njev for part in parts),
            success=status is Status.DONE,
            status=int(status),
            message=message,
        )

    @staticmethod
    def _values(constraints: list[Objective], x: Any) -> np.ndarray:
        return np.array([constraint.value(x) for constraint in constraints], np.float64)


def _functions(name: str, functions: Iterable[Any]) -> tuple[Function, ...]:
    """The functions, kept: an iterator gives them but once."""
    if isinstance(functions, Iterable) and not callable(functions):
        kept = tuple(functions)
        if all(map(callable, kept)):
            return kept
    raise TypeError(f"{name} must be a list of functions of x; got {functions!r}")


def _values(name: str, functions: tuple[Function, ...], x: Any) -> list[Any]:
    """What they return, as arrays or tensors."""
    values = enumerate(function(x) for function in functions)
    return [v if hasattr(v, "dtype") else reals(f"{name}[{i}] must return real numbers", v) for i, v in values]


def _check_start(parts: list[Objective], x: Any) -> None:
    if parts[0].dimension != x.size:
        raise ValueError(f"x0 must be one point, of {parts[0].dimension} numbers; got shape {x.shape}")
    for part in parts:
        if not math.isfinite(value := part.value(x)):
            raise ValueError(f"{part.name} must be finite at x0; got {value} at x0={x}")


def _sum(value: Any) -> Any:
    return value.sum() if hasattr(value, "sum") else value
