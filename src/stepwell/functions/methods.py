"""The methods that `minimize` knows: every rule of the library, and Newton's kin. Each is an `init` and a `step`.

>>> list(named)[-4:]
['newton', 'newton_abs', 'newton_floored', 'diagonal']
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from stepwell import rules
from stepwell.domain import Rate, check
from stepwell.functions.gradients import EPSILON
from stepwell.functions.objective import Objective
from stepwell.rule import Rule
from stepwell.schedules import rate_at


class StepFailed(Exception):
    """A step that cannot be computed; the run ends with these words."""


class HessianNotFinite(StepFailed):
    """The Hessian holds a NaN or an infinity."""


@runtime_checkable
class Method(Protocol):
    """What takes steps. One of your own is any object with these two functions."""

    def init(self, x: Any, lr: Any, hyper: Mapping[str, Any]) -> tuple[Any, Any]:
        """The rate (a number or a function of the step, from 0), and the state before the first step.

        Errors: TypeError or ValueError for hyperparameters that are not the method's, or outside their domains.
        """
        ...

    def step(self, objective: Objective, x: Any, g: Any, state: Any, t: int, lr: float | None) -> tuple[Any, Any]:
        """The step to subtract from x, of x's shape, and the new state; t counts from 1. Raises StepFailed."""
        ...


@dataclass(frozen=True)
class FromRule:
    """A rule on float64 arrays; its state is the hyperparameters and the rule's own arrays."""

    rule: Rule

    def init(self, x: Any, lr: Any, hyper: Mapping[str, Any]) -> tuple[Any, Any]:
        first = {} if lr is None else {"lr": rate_at(lr, 0) if callable(lr) else lr}
        complete = self.rule.complete({**hyper, **first})
        arrays = {name: np.full_like(x, self.rule.start_of(name, complete))[()] for name in self.rule.state}
        return lr if callable(lr) else complete.get("lr"), (complete, arrays)

    def step(self, objective: Objective, x: Any, g: Any, state: Any, t: int, lr: float | None) -> tuple[Any, Any]:
        hyper, arrays = state
        now = hyper if lr is None else {**hyper, "lr": lr}
        step, *new = self.rule.bind({"p": x, "g": g, "t": t, **arrays}, now)
        return step, (hyper, dict(zip(self.rule.state, new, strict=True)))


@dataclass(frozen=True)
class SecondOrder:
    """x ← x - η·M⁻¹∇f with M made from the Hessian by `solve(H, g)`; η is 1 unless said, below 1 it damps."""

    name: str
    solve: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def init(self, x: Any, lr: Any, hyper: Mapping[str, Any]) -> tuple[Any, Any]:
        if hyper:
            raise TypeError(f"{self.name} has no hyperparameter {next(iter(hyper))!r}; it has lr")
        first = rate_at(lr, 0) if callable(lr) else check(Rate, "lr", 1.0 if lr is None else lr)
        return lr if callable(lr) else first, None

    def step(self, objective: Objective, x: Any, g: Any, state: Any, t: int, lr: float | None) -> tuple[Any, Any]:
        H = objective.hessian(x)
        if not np.isfinite(H).all():
            raise HessianNotFinite("the Hessian holds a NaN or an infinity")
        scaled = self.solve(H, np.reshape(g, H.shape[:2]))
        return (1.0 if lr is None else lr) * scaled.reshape(np.shape(x))[()], None


def newton(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    """H⁻¹g: to the stationary point of the local quadratic, be it a minimum or not. H (m, n, n), g (m, n)."""
    _refuse_singular(H)
    return np.linalg.solve(H, g[..., None])[..., 0]


def newton_abs(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    """|H|⁻¹g with |H| = V|Λ|Vᵀ: Newton that descends also where f is not convex, and flees saddles.

    Dauphin et al. (2014). <https://arxiv.org/abs/1406.2572>
    """
    _refuse_singular(H)
    curvature, V = np.linalg.eigh(H)
    size = abs(curvature)
    if (abs(H @ V - V * curvature[:, None]).max(-2) > size / 2).any():
        raise StepFailed("the Hessian's eigenvalues are too far apart for float64 to tell the smallest")
    return _along(V, g, size)


def newton_floored(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    """|H|⁻¹g with no curvature taken below 1e-6 of the largest: a step also where H is singular, and g where it is 0.

    Nocedal & Wright (2006), section 3.4. <https://doi.org/10.1007/978-0-387-40065-5>
    """
    curvature, V = np.linalg.eigh(H)
    largest = abs(curvature).max(-1, keepdims=True)
    return _along(V, g, np.maximum(abs(curvature), np.where(largest > 0, 1e-6 * largest, 1.0)))


def _refuse_singular(H: np.ndarray) -> None:
    size = np.sqrt(abs(H).max(-1))
    if size.all():
        balanced = H / size[:, :, None] / size[:, None, :]  # so that units of the coordinates do not count as singular
        smallest = np.linalg.svd(balanced, compute_uv=False)[:, -1].min()
        if smallest > H.shape[-1] * EPSILON:
            return
    raise StepFailed("the Hessian is singular")


def _along(V: np.ndarray, g: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.einsum("mij,mj->mi", V, np.einsum("mij,mi->mj", V, g) / size)


def diagonal(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    """diag(H)⁻¹g: Newton in each coordinate alone, preconditioning without a system to solve."""
    curvature = np.einsum("mii->mi", H)
    if not curvature.all():
        raise StepFailed("the Hessian's diagonal has a zero")
    return g / curvature


named: dict[str, Method] = {
    **{name: FromRule(rule) for name, rule in rules.named.items()},
    **{solve.__name__: SecondOrder(solve.__name__, solve) for solve in (newton, newton_abs, newton_floored, diagonal)},
}
"""Every method by the name that `minimize` knows it by, from the simplest to the richest."""
