"""The loop of `minimize`: a step, the value and gradient where it ends, and why it stopped."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from stepwell.functions import line_search
from stepwell.functions.methods import HessianNotFinite, Method, StepFailed
from stepwell.functions.objective import Objective
from stepwell.schedules import rate_at

ROUNDING = 1e-12
"""A rise of f by this share of its size is rounding."""


class Status(IntEnum):
    """Why a run ended: its result's `status`. The first alone is success."""

    DONE = 0  # ∇f (projected where x is) within tol, or, without a tol, all steps that f resolves
    STEPS = 1  # all those made, ∇f still above tol
    DIVERGED = 2
    ROSE = 3  # all steps made, and f is higher than at x0
    FAILED = 4  # a step could not be computed
    STOPPED = 99  # by the callback; SciPy's number for it


class End(Exception):
    """Why a run ended; raised where that is before its last step."""

    def __init__(self, status: Status, message: str):
        super().__init__(message)
        self.status, self.message = status, message


class Result(OptimizeResult):
    """SciPy's OptimizeResult, whose `values` are f along the path: a dict's method of that name would hide them."""

    @property
    def values(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self["values"]


@dataclass
class Descent:
    """A run: what moves (x, f, g and the method's state), and what moves it."""

    objective: Objective
    method: Method
    rate: float | Callable[[int], float] | None
    state: Any
    x: Any
    search: line_search.Search | None
    noisy: Callable[[Any, Any], Any] | None
    projected: Callable[[Any], Any] | None
    callback: Callable[[OptimizeResult], Any] | None
    tol: float | None
    path: list[Any] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    largest: float = 0.0

    def run(self, steps: int) -> Result:
        """All steps, or fewer where something stops them."""
        self.f, self.g = _finite_at_start(self.objective, self.x)
        self.path, self.values, self.largest = [self.x], [self.f], abs(self.f)
        try:
            for t in range(1, steps + 1):
                if self._within_tolerance():
                    break
                self._advance(t)
            end = self._judged()
        except line_search.Hidden as hidden:
            end = self._judged()
            end = End(end.status, f"{end.message}; {hidden}")
        except StepFailed as failure:
            if isinstance(failure, HessianNotFinite) and len(self.path) == 1:
                raise ValueError(f"hess must be finite at x0; {failure} at x0={_short(self.x)}") from failure
            end = End(Status.FAILED, f"{failure}, at x={_short(self.x)} after {_steps(len(self.path) - 1)}")
        except End as early:
            end = early
        return self._result(end)

    def _advance(self, t: int) -> None:
        g = self.g if self.noisy is None else self.noisy(self.x, self.g)
        rate = rate_at(self.rate, t - 1) if callable(self.rate) else self.rate
        step, self.state = self.method.step(self.objective, self.x, g, self.state, t, rate)
        if self.search is not None:
            line = line_search.Line(self.objective, self.x, -step, self.f, self.g, self.largest)
            step = line_search.length(self.search, line) * step
        x = self.x - step
        finite = _finite(x)
        self.x = self.projected(x) if finite and self.projected is not None else x
        self.f = self.objective.value(self.x) if finite else math.nan
        self.path.append(self.x)
        self.values.append(self.f)
        self.largest = max(self.largest, abs(self.f))
        self.g = self.objective.gradient(self.x) if math.isfinite(self.f) else np.full_like(self.x, math.nan)[()]
        if not _finite(self.g):
            broken = "∇f" if math.isfinite(self.f) else "f" if finite else "x"
            raise End(Status.DIVERGED, f"diverged: {broken} is not finite at step {t}, at x={_short(self.x)}")
        if self.callback is not None:
            try:
                self.callback(OptimizeResult(x=self.x.copy(), fun=self.f, nit=t))
            except StopIteration:
                raise End(Status.STOPPED, f"the callback stopped the run after {_steps(t)}") from None

    def _slope(self) -> float:
        """The largest |∂f/∂xᵢ|; of what is left of -∇f after the projection where there is one."""
        if self.projected is None:
            return float(np.max(abs(self.g)))
        ahead = self.x - self.g
        return float(np.max(abs(self.x - self.projected(ahead)))) if _finite(ahead) else math.inf

    def _within_tolerance(self) -> bool:
        return self.tol is not None and self._slope() <= self.tol

    def _judged(self) -> End:
        made, first = _steps(len(self.path) - 1), self.values[0]
        if self.noisy is None and self.f > first + ROUNDING * abs(first):
            rate = "" if callable(self.rate) else f" {self.rate:g}" if self.rate is not None else None
            lr = "" if rate is None else f"lr{rate} is too large, or "
            return End(Status.ROSE, f"f rose from {first:g} to {self.f:g} in {made}: {lr}the method climbs")
        if self.tol is None:
            return End(Status.DONE, f"{made} made")
        slope = f"{'‖∇f‖' if self.projected is None else '‖x - P(x - ∇f)‖'} is {self._slope():g} after {made}"
        if self._within_tolerance():
            return End(Status.DONE, f"converged: {slope}")
        return End(Status.STEPS, f"{slope}, above tol {self.tol:g}")

    def _result(self, end: End) -> Result:
        return Result(
            x=self.x,
            fun=self.f,
            jac=self.g,
            nit=len(self.path) - 1,
            nfev=self.objective.nfev,
            njev=self.objective.njev,
            nhev=self.objective.nhev,
            success=end.status is Status.DONE,
            status=int(end.status),
            message=end.message,
            path=np.array(self.path),
            values=np.array(self.values),
            gradient_from=self.objective.gradient_from,
        )


def _finite_at_start(objective: Objective, x: Any) -> tuple[float, Any]:
    f, g = objective.value(x), objective.gradient(x)
    for name, value in {"fun": f, f"the gradient ({objective.gradient_from})": g}.items():
        if not _finite(value):
            raise ValueError(f"{name} must be finite at x0; got {_short(value)} at x0={_short(x)}")
    return f, g


def _finite(x: Any) -> bool:
    return bool(np.isfinite(x).all()) if isinstance(x, np.ndarray) else math.isfinite(x)


def _short(x: Any) -> str:
    return np.array2string(np.asarray(x), threshold=8)


def _steps(number: int) -> str:
    return f"{number} step{'' if number == 1 else 's'}"
