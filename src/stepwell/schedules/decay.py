"""Schedules without an end: constant, in steps, exponential and polynomial."""

from dataclasses import dataclass
from typing import Any

from stepwell.domain import NonNegative, Positive, Rate
from stepwell.schedules.base import Schedule
from stepwell.schedules.domains import Fraction, Milestones, Rates, Steps, checked


@dataclass(frozen=True)
class constant(Schedule):
    """The same rate at every step: η(k) = rate.

    As `optax.constant_schedule`. Errors: rate must be finite and ≥ 0.

    >>> from stepwell import schedules
    >>> schedules.constant(0.1)(7)
    0.1
    """

    rate: Rate = 1.0

    def formula(self, k: Any, xp: Any) -> Any:
        return self.rate


@dataclass(frozen=True)
class piecewise_constant(Schedule):
    """values[i] from step boundaries[i-1], included, to step boundaries[i], excluded.

    Boundaries are steps, values are rates, one more than there are boundaries (`optax.piecewise_constant_schedule`
    has scales where this has values: see `multi_factor`).
    Errors: boundaries must be increasing integers ≥ 0, values finite and ≥ 0, their lengths must fit.

    >>> from stepwell import schedules
    >>> rate = schedules.piecewise_constant([10, 20], [0.3, 0.1, 0.02])
    >>> rate(9), rate(10), rate(20)
    (0.3, 0.1, 0.02)
    """

    boundaries: Milestones
    values: Rates

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(f"values must be one more than the {len(self.boundaries)} boundaries; got {self.values!r}")

    def formula(self, k: Any, xp: Any) -> Any:
        rate = self.values[0]
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = xp.where(k >= boundary, value, rate)
        return rate


@checked
def multi_factor(milestones: Milestones, factor: Positive = 0.5, rate: Rate = 1.0) -> piecewise_constant:
    """η(k) = rate · factor^(number of milestones <= k): `rate` is multiplied by `factor` at each milestone.

    Milestones are steps. As `torch.optim.lr_scheduler.MultiStepLR` (gamma is factor, .1 there by default) and
    `optax.piecewise_constant_schedule`; the same every n steps, torch's StepLR, is `factor(gamma).per_epoch(n)`.
    Errors: milestones must be increasing integers ≥ 0, factor > 0, rate finite and ≥ 0.

    >>> from stepwell import schedules
    >>> rate = schedules.multi_factor([15, 30], rate=0.5)
    >>> rate(14), rate(15), rate(30)
    (0.5, 0.25, 0.125)
    """
    return piecewise_constant(milestones, tuple(rate * factor**i for i in range(len(milestones) + 1)))


@dataclass(frozen=True)
class exponential(Schedule):
    """Exponential decay: η(k) = rate · e^(-decay · k).

    `decay` is per step. As `torch.optim.lr_scheduler.ExponentialLR` with decay = -ln gamma and
    `optax.exponential_decay` with decay = -ln(decay_rate) / transition_steps.
    Errors: decay and rate must be finite and ≥ 0.

    >>> from stepwell import schedules
    >>> round(schedules.exponential(0.1)(10), 6)
    0.367879
    """

    decay: NonNegative
    rate: Rate = 1.0

    def formula(self, k: Any, xp: Any) -> Any:
        return self.rate * xp.exp(-self.decay * k)


@dataclass(frozen=True)
class factor(Schedule):
    """Decay by a factor a step, down to a floor: η(k) = max(floor, rate · factor^(k + start)).

    `floor` is a rate; `start` counts the multiplications before step 0. The version of *Dive into Deep Learning*
    multiplies before it answers, so that its first value is rate · factor: that is `start=1`, here without its state.
    As `torch.optim.lr_scheduler.ExponentialLR` (gamma is factor) and `optax.exponential_decay` (end_value is floor).
    Errors: factor must be in (0, 1], rate and floor finite and ≥ 0, start an integer ≥ 0.

    >>> from stepwell import schedules
    >>> rate = schedules.factor(0.9, rate=2.0, floor=1e-2, start=1)
    >>> rate(0), round(rate(49), 6), rate(50), rate(60)
    (1.8, 0.010308, 0.01, 0.01)
    """

    factor: Fraction = 0.9
    rate: Rate = 1.0
    floor: Rate = 0.0
    start: Steps = 0

    def formula(self, k: Any, xp: Any) -> Any:
        return xp.maximum(self.rate * self.factor ** (k + self.start), self.floor)


@dataclass(frozen=True)
class polynomial(Schedule):
    """Polynomial decay without an end: η(k) = rate · (beta · k + 1)^(-alpha).

    `beta` is per step. With alpha 1/2 stochastic gradient descent on a convex function converges at the rate O(1/√k).
    `warmup(n).then(polynomial(0.5, beta=1/n))` is the Transformer's schedule, √(n/k) from step n on (Vaswani et al.
    2017, <https://arxiv.org/abs/1706.03762>). What torch and optax call polynomial has an end: see `polynomial_decay`.
    Errors: alpha must be > 0, beta and rate finite and ≥ 0.

    >>> from stepwell import schedules
    >>> schedules.polynomial(alpha=0.5, beta=0.1, rate=0.2)(30)
    0.1
    """

    alpha: Positive = 0.5
    beta: NonNegative = 1.0
    rate: Rate = 1.0

    def formula(self, k: Any, xp: Any) -> Any:
        return self.rate * (self.beta * k + 1.0) ** -self.alpha


@checked
def inverse_sqrt(rate: Rate = 1.0) -> polynomial:
    """η(k) = rate / √(k + 1), the decay of stochastic gradient descent's O(1/√k) convergence; it has no warmup.

    Errors: rate must be finite and ≥ 0.

    >>> from stepwell import schedules
    >>> round(schedules.inverse_sqrt(0.1)(29), 6)
    0.018257
    """
    return polynomial(0.5, 1.0, rate)
