"""Where a rule settles on ½λp²: the spectral radius of one update, taken from the rule itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.domain import Positive, Real, check
from stepwell.functions.given import reals
from stepwell.functions.theory.feed import rule_of
from stepwell.rule import Rule

H = 1e-170
"""The gradient to perturb with: its square underflows, so second moments are left alone and what is linear is exact."""
TINY = 1e-290
"""What p and its step are perturbed by at least, lest they underflow: past λ or 1/η of 1e120 the gradient is larger
than H, squares are seen, and a root of their difference (centred RMSProp's) counts as without a derivative."""
SETTLED = 20_000
"""The updates in which the state comes to rest."""
LATE = 10**9
"""The step count, at which bias corrections have gone."""


@dataclass(frozen=True)
class Stability:
    """The linear part of one update (p, state) ← (p', state') at the minimum, with the curvature that is worst.

    Attributes:
        radius: the largest |eigenvalue|: errors shrink by it, per step, in the long run. Infinite where the update
            has no derivative at the minimum (Lion's sign, Adam's 0/0 with ε = 0): its steps there do not shrink at all.
        matrix, coordinates: of p and the states that respond to it; a second moment, driven by g², does not.
        eigenvalues: of the matrix, largest first.
        curvature: the worst λ of those given.
    """

    rule: str
    curvature: float
    coordinates: tuple[str, ...]
    matrix: np.ndarray
    eigenvalues: np.ndarray
    radius: float

    @property
    def stable(self) -> bool:
        """radius < 1."""
        return self.radius < 1


def stability(
    rule: Rule | str, lr: Positive, curvature: Any, *, state: Mapping[str, float] | None = None, **hyper: float
) -> Stability:
    """Whether a rule with rate η = `lr` settles on f(p) = ½λp², λ = `curvature`: a number, or eigenvalues of a Hessian.

    The update is evaluated next to its fixed point p = 0, g = λp with the state at rest; no formula is typed in. A
    second moment at rest is 0, and then ε alone scales the step; `state={"v": 4.0}` holds it at another value instead,
    which is the one that it has after the update.

    Polyak (1964). <https://doi.org/10.1016/0041-5553(64)90137-5>

    >>> found = stability("momentum", 0.6, [0.2, 4.0], beta=0.5)
    >>> round(found.radius, 4), found.stable, found.coordinates
    (0.7071, True, ('p', 'v'))
    >>> round(stability("gradient_descent", 0.6, [0.2, 4.0]).radius, 4)
    1.4

    Errors: those of the rule's hyperparameters; a ValueError where a rate or curvature is not > 0 (a TypeError where it
    is not real), and for a state that the rule does not have, cannot hold, or that moves p from its place.
    """
    rule = rule_of(rule)
    lr = check(Positive, "lr", lr)
    words = "curvature must be finite numbers > 0"
    curvatures = reals(words, curvature).ravel()
    if not curvatures.size or not (np.isfinite(curvatures) & (curvatures > 0)).all():
        raise ValueError(f"{words}; got {curvature!r}")
    with np.errstate(all="ignore"):
        update = _Update(rule, {**hyper, "lr": lr}, state)
        every = [update.linearized(float(c)) for c in curvatures]
    return max(every, key=lambda s: s.radius)


def stability_limit(rule: Rule | str, *, state: Mapping[str, float] | None = None, **hyper: float) -> float:
    """The ηλ up to which a rule is stable, for rules that see η and λ only as their product; by bisection.

    2 for gradient descent, 2+2β for momentum, (2+2β)/(1+2β) for Nesterov's; 0 where no rate is stable, infinite where
    all are. `state` holds second moments, as in `stability`.

    >>> stability_limit("gradient_descent"), round(stability_limit("momentum", beta=0.5), 12)
    (2.0, 3.0)

    Errors: those of `stability`; a ValueError where η does not act through ηλ alone (weight decay).
    """
    rule = rule_of(rule)
    with np.errstate(all="ignore"):
        update, other = (_Update(rule, {**hyper, "lr": lr}, state) for lr in (1.0, 0.125))
        for product in (0.25, 0.75):
            one, same = update.linearized(product).eigenvalues, other.linearized(product / 0.125).eigenvalues
            if np.isfinite(one).all() and not _same_roots(one, same):
                raise ValueError(f"rule must act through lr·curvature alone; got {rule.name}, which does not")
        return _bisected(lambda product: update.linearized(product).stable)


def _same_roots(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two sets of eigenvalues are one, by their polynomials: a double eigenvalue has but half the digits."""
    if one.shape != other.shape:
        return False
    polynomial, same = np.poly(one), np.poly(other)
    return np.allclose(polynomial, same, rtol=1e-9, atol=1e-9 * np.abs(polynomial).max())


def _bisected(stable: Callable[[float], bool]) -> float:
    """The end of the products that are stable, to the last bit."""
    low, high = (1.0, 2.0) if stable(1.0) else (0.5, 1.0)
    while stable(high):
        low, high = high, 2 * high
        if high > 1e60:
            return np.inf
    while not stable(low):
        low, high = low / 2, low
        if low < 1e-60:
            return 0.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if stable(middle) else (low, middle)
    return high


class _Update:
    """One update of a rule around the fixed point p = 0."""

    def __init__(self, rule: Rule, hyper: dict[str, float], state: Mapping[str, float] | None):
        held = dict(state or {})
        if unknown := [name for name in held if name not in rule.state]:
            names = ", ".join(rule.state) or "which has none"
            raise ValueError(f"state must name states of {rule.name}, {names}; got {unknown[0]!r}")
        self.rule, self.hyper, self.names = rule, rule.complete(hyper), ("p", *rule.state)
        self.held = {name: check(Real, f"state[{name!r}]", value) for name, value in held.items()}
        self.rest = self._rest()

    def __call__(self, points: np.ndarray, curvature: float) -> np.ndarray:
        """(p', state') of each (p, state), shape (count, 1 + states)."""
        arrays = dict(zip(self.names, points.T[..., None], strict=True))  # each point is a row of its own
        step, *new = self.rule.bind({**arrays, "g": curvature * arrays["p"], "t": LATE}, self.hyper)
        return np.concatenate([np.broadcast_to(a, (len(points), 1)) for a in (arrays["p"] - step, *new)], axis=1)

    def _rest(self) -> np.ndarray:
        """Where the state stays at g = 0: held, or what it comes to from its start."""
        start = {name: self.rule.start_of(name, self.hyper) for name in self.rule.state}
        point = np.array([0.0, *(start | self.held).values()])
        at = [self.names.index(name) for name in self.held]
        target = point[at].copy()
        for _ in range(SETTLED):
            new = self(point[None], 1.0)[0]
            new[0] = 0.0
            new[(np.abs(new) < 1e-60) & (np.abs(new) < np.abs(point))] = 0.0  # it decays for ever
            new[at] = point[at] if np.allclose(new[at], target, 1e-14, 0) else point[at] * (target / new[at])
            if np.array_equal(new, point, equal_nan=True):
                break
            point = new
        reached = self(point[None], 1.0)[0]
        if not np.allclose(reached[at], target, 1e-9, 0):
            raise ValueError(f"state must be what {self.rule.name} can hold; got {self.held}")
        if at and reached[0] != 0:
            raise ValueError(f"state must leave p = 0 in its place, as second moments do; got {self.held}")
        return point

    def linearized(self, curvature: float) -> Stability:
        matrix, size = self._jacobian(curvature)
        kept = self._responding(matrix)
        matrix, size = matrix[np.ix_(kept, kept)], size[kept]
        alike = matrix * (size / size[:, None])  # the same eigenvalues, whatever the units of p
        eigenvalues = np.linalg.eigvals(alike) if np.isfinite(matrix).all() else np.full(len(kept), np.inf)
        eigenvalues = eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")]
        names = tuple(self.names[i] for i in kept)
        return Stability(self.rule.name, curvature, names, matrix, eigenvalues, float(np.abs(eigenvalues[0])))

    def _jacobian(self, curvature: float) -> tuple[np.ndarray, np.ndarray]:
        """Column j is what a change of coordinate j does: 0 for what it does as a square, infinite where not linear.

        Second, the changes.
        """
        gradient = max(H, TINY * curvature, TINY / self.hyper["lr"])
        size = np.where(self.rest == 0, gradient, 1e-7 * np.abs(self.rest))
        size[0] = gradient / curvature
        h = np.diag(size)
        at_rest = self(self.rest[None], curvature)[0]
        one, two, minus = (self(self.rest + k * h, curvature) - at_rest for k in (1, 2, -1))
        slopes = (one / size[:, None]).T
        linear, square = (
            np.isclose(two, 2**power * one, rtol=1e-6, atol=0)
            & np.isclose(minus, (-1) ** power * one, rtol=1e-6, atol=0)
            for power in (1, 2)
        )
        return np.where(linear.T, slopes, np.where(square.T, 0.0, np.inf)), size

    def _responding(self, matrix: np.ndarray) -> list[int]:
        """p and the coordinates that a change of p reaches, through others too."""
        reached = {0}
        while more := {int(i) for j in reached for i in np.flatnonzero(matrix[:, j])} - reached:
            reached |= more
        return sorted(reached)
