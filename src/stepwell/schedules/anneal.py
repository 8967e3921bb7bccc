"""Schedules that go from one rate to another in a given number of steps, and cycles of them."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from stepwell.domain import Positive, Rate
from stepwell.schedules.base import Schedule
from stepwell.schedules.decay import constant
from stepwell.schedules.domains import Flag, OpenShare, Period, Steps, checked, choice


def _between(start: Any, end: Any, share: Any) -> Any:
    # not end + (start - end) * share, which does not give back `start` exactly
    return start * share + end * (1.0 - share)


def _line(left: Any, xp: Any) -> Any:
    return left


def _half_wave(left: Any, xp: Any) -> Any:
    # (1 + cos(π (1 - left))) / 2, without its cancellation where little is left, and exactly 0 at the end
    return xp.sin(0.5 * math.pi * left) ** 2


_SHAPES: dict[str, Callable[[Any, Any], Any]] = {"cos": _half_wave, "linear": _line}


@dataclass(frozen=True)
class _Anneal(Schedule):
    steps: Steps
    rate: Rate = 1.0
    end: Rate = 0.0

    @property
    def length(self) -> int:
        return self.steps

    def formula(self, k: Any, xp: Any) -> Any:
        left = (self.steps - xp.minimum(k, self.steps)) / max(self.steps, 1)
        return _between(self.rate, self.end, self.share(left, xp))

    @abstractmethod
    def share(self, left: Any, xp: Any) -> Any:
        """The weight of `rate` against `end` when the share `left`, from 1 down to 0, of the steps is left."""


@dataclass(frozen=True)
class linear(_Anneal):
    """A straight line: η(k) = rate + (end - rate) · k/steps, and `end` from step `steps` on.

    As `optax.linear_schedule` and `torch.optim.lr_scheduler.LinearLR` (whose factors are the two rates and total_iters
    the steps). Errors: steps must be an integer ≥ 0, rate and end finite and ≥ 0.

    >>> from stepwell import schedules
    >>> down = schedules.linear(4)
    >>> [down(k) for k in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    def share(self, left: Any, xp: Any) -> Any:
        return _line(left, xp)


@checked
def warmup(steps: Steps, rate: Rate = 1.0, start: Rate = 0.0) -> linear:
    """Linear warmup: η(k) = start + (rate - start) · k/steps, and `rate` from step `steps` on.

    Step 0 has the rate `start`; pass `start=rate/steps`, say, where a first step at rate 0 would be wasted. As
    `optax.warmup_constant_schedule`. Errors: steps must be an integer ≥ 0, rate and start finite and ≥ 0.

    >>> from stepwell import schedules
    >>> up = schedules.warmup(4)
    >>> [up(k) for k in range(6)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    return linear(steps, start, rate)


@dataclass(frozen=True)
class polynomial_decay(_Anneal):
    """A power of the steps that are left: η(k) = end + (rate - end) · (1 - k/steps)^power, and `end` from `steps` on.

    As `torch.optim.lr_scheduler.PolynomialLR` (end 0) and `optax.polynomial_schedule`.
    Errors: steps must be an integer ≥ 0, rate and end finite and ≥ 0, power > 0.

    >>> from stepwell import schedules
    >>> schedules.polynomial_decay(4, power=2)(2)
    0.25
    """

    power: Positive = 1.0

    def share(self, left: Any, xp: Any) -> Any:
        return left**self.power


@dataclass(frozen=True)
class cosine(_Anneal):
    """Half a cosine wave: η(k) = end + (rate - end) · (1 + cos(π k/steps)) / 2, and `end` from step `steps` on.

    As `optax.cosine_decay_schedule` (alpha = end/rate) and `torch.optim.lr_scheduler.CosineAnnealingLR`, which climbs
    again after its end. Loshchilov & Hutter (2017), <https://arxiv.org/abs/1608.03983>.
    Errors: steps must be an integer ≥ 0, rate and end finite and ≥ 0.

    >>> from stepwell import schedules
    >>> rate = schedules.warmup(5, rate=0.3).then(schedules.cosine(20, rate=0.3, end=0.01))
    >>> round(rate(4), 3), rate(5), round(rate(15), 3), rate(25), rate(1000)
    (0.24, 0.3, 0.155, 0.01, 0.01)
    """

    def share(self, left: Any, xp: Any) -> Any:
        return _half_wave(left, xp)


@dataclass(frozen=True)
class cosine_restarts(Schedule):
    """Cosine annealing with warm restarts: cycle n, from 0, is `cosine(steps · mult**n, rate, end)`; there is no end.

    `steps` is the length of the first cycle. As `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts` (T_0, T_mult,
    eta_min) and `optax.sgdr_schedule`. Loshchilov & Hutter (2017), <https://arxiv.org/abs/1608.03983>.
    Errors: steps and mult must be integers ≥ 1, rate and end finite and ≥ 0.

    >>> from stepwell import schedules
    >>> rate = schedules.cosine_restarts(10, mult=2)
    >>> rate(0), round(rate(5), 3), rate(10), round(rate(20), 3), rate(30)
    (1.0, 0.5, 1.0, 0.5, 1.0)
    """

    steps: Period
    mult: Period = 1
    rate: Rate = 1.0
    end: Rate = 0.0

    def formula(self, k: Any, xp: Any) -> Any:
        begin, steps = self._cycle(k, xp)
        return _between(self.rate, self.end, _half_wave((steps - (k - begin)) / steps, xp))

    def _cycle(self, k: Any, xp: Any) -> tuple[Any, Any]:
        """The first step and the length of the cycle that holds step k."""
        if self.mult == 1:
            return k - k % self.steps, self.steps

        def begin(n: Any) -> Any:
            return self.steps * (self.mult**n - 1) // (self.mult - 1)

        # the logarithm is inexact at a cycle's first step: round it, then let integers decide
        n = xp.floor(xp.log(k * (self.mult - 1) / self.steps + 1.0) / math.log(self.mult) + 0.5)
        n = n - xp.where(k < begin(n), 1, 0)
        return begin(n), self.steps * self.mult**n


@dataclass(frozen=True)
class one_cycle(Schedule):
    """One climb to `rate` and a descent far below where it began, over `steps` steps; then it stays there.

    From rate/div_factor at step 0 to `rate` at step pct_start · steps - 1 to rate/div_factor/final_div_factor at step
    steps - 1, along half cosine waves (`anneal="cos"`) or lines (`"linear"`). With `three_phase` the descent comes back
    to rate/div_factor in as many steps as the climb took and goes on to the end from there. The learning rate of
    `torch.optim.lr_scheduler.OneCycleLR`. Smith & Topin (2018), <https://arxiv.org/abs/1708.07120>.
    Errors: pct_start must be in (0, 1) and leave at least a part of a step to every phase, the factors > 0.

    >>> from stepwell import schedules
    >>> rate = schedules.one_cycle(100, rate=0.5)
    >>> rate(0), rate(29), rate(99) == 0.5 / 25 / 1e4
    (0.02, 0.5, True)
    """

    steps: Period
    rate: Rate = 1.0
    pct_start: OpenShare = 0.3
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4
    anneal: Annotated[str, choice(*_SHAPES)] = "cos"
    three_phase: Flag = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(a >= b for (a, _), (b, _) in itertools.pairwise(self._turns)):
            turns = ", ".join(f"{step:g}" for step, _ in self._turns)
            raise ValueError(
                f"pct_start must put increasing steps between the phases of {self.steps} steps; "
                f"got {self.pct_start!r}, that is {turns}"
            )

    @cached_property
    def _turns(self) -> tuple[tuple[float, float], ...]:
        """The steps at which the phases begin and end, with their rates."""
        low, climb = self.rate / self.div_factor, self.pct_start * self.steps - 1
        back = ((2 * climb, low),) if self.three_phase else ()
        return ((0, low), (climb, self.rate), *back, (self.steps - 1, low / self.final_div_factor))

    @property
    def length(self) -> int:
        return self.steps

    def formula(self, k: Any, xp: Any) -> Any:
        rate = self._turns[0][1]
        for (begin, start), (end, goal) in itertools.pairwise(self._turns):
            left = (end - xp.minimum(xp.maximum(k, begin), end)) / (end - begin)
            rate = xp.where(k > begin, _between(start, goal, _SHAPES[self.anneal](left, xp)), rate)
        return rate


@checked
def warmup_stable_decay(
    warmup_steps: Steps, stable_steps: Steps, decay_steps: Steps, rate: Rate = 1.0, start: Rate = 0.0, end: Rate = 0.0
) -> Schedule:
    """A climb from `start` to `rate`, a plateau at it, and a line down to `end`, each of the given number of steps.

    For another descent chain it: `warmup(a).then(constant()).then(cosine(c), at=a + b)`.
    Hu et al. (2024), <https://arxiv.org/abs/2404.06395>; Hägele et al. (2024), <https://arxiv.org/abs/2405.18392>.
    Errors: the step counts must be integers ≥ 0, the rates finite and ≥ 0.

    >>> from stepwell import schedules
    >>> rate = schedules.warmup_stable_decay(10, 80, 10)
    >>> rate(5), rate(10), rate(90), rate(95), rate(100)
    (0.5, 1.0, 1.0, 0.5, 0.0)
    """
    climb_and_stay = warmup(warmup_steps, rate, start).then(constant(rate))
    return climb_and_stay.then(linear(decay_steps, rate, end), at=warmup_steps + stable_steps)
