"""The one schedule with a memory: it lowers the rate when a metric stops improving."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, SupportsFloat

from stepwell.domain import Rate
from stepwell.schedules.domains import OpenShare, Steps, choice, domains_of


@dataclass
class reduce_on_plateau:
    """Multiply the rate by `factor` once `metric` has not improved for more than `patience` updates.

    Unlike all others this schedule keeps state, since it depends on what it is told: `update(metric)`, once an epoch,
    say. Calling it with a step ignores the step and gives the rate of the moment, so it will do wherever a schedule
    does, but not inside a compiled JAX function. Save it with the training: `state_dict` and `load_state_dict`.

    A metric is better than the best so far if it is below best · (1 - threshold), in mode "max" above
    best · (1 + threshold); with threshold_mode "abs", below best - threshold or above best + threshold. NaN is not
    better. For `cooldown` updates after a reduction no bad ones are counted. No reduction goes below min_lr, and one by
    `eps` or less is not made.

    The semantics and the defaults are those of `torch.optim.lr_scheduler.ReduceLROnPlateau`.
    Errors: factor must be in (0, 1), patience and cooldown integers ≥ 0, the other numbers finite and ≥ 0.

    >>> from stepwell import schedules
    >>> rate = schedules.reduce_on_plateau(0.1, factor=0.5, patience=1)
    >>> [rate.update(loss) for loss in (1.0, 0.9, 0.9, 0.9, 0.8)]
    [0.1, 0.1, 0.1, 0.05, 0.05]
    >>> rate(1000), rate.rate
    (0.05, 0.05)
    """

    rate: Rate = 1.0
    _: KW_ONLY
    mode: Annotated[str, choice("min", "max")] = "min"
    factor: OpenShare = 0.1
    patience: Steps = 10
    threshold: Rate = 1e-4
    threshold_mode: Annotated[str, choice("rel", "abs")] = "rel"
    cooldown: Steps = 0
    min_lr: Rate = 0.0
    eps: Rate = 1e-8

    def __post_init__(self) -> None:
        for name, domain in domains_of(type(self)).items():
            setattr(self, name, domain.check(name, getattr(self, name)))
        self.best: float | None = None
        self.num_bad_epochs = 0
        self.cooldown_counter = 0

    def __call__(self, step: Any = None) -> float:
        return self.rate

    def update(self, metric: SupportsFloat) -> float:
        """Take note of the metric's newest value; returns the rate from now on."""
        value = float(metric)
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
        return self.rate

    def _is_better(self, value: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        best = -sign * math.inf if self.best is None else self.best
        margin = sign * self.threshold
        bar = best * (1.0 + margin) if self.threshold_mode == "rel" else best + margin
        return sign * value > sign * bar

    def _reduce(self) -> None:
        reduced = max(self.rate * self.factor, self.min_lr)
        if self.rate - reduced > self.eps:
            self.rate = reduced
        self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def state_dict(self) -> dict[str, float | None]:
        """What `update` has changed, as plain numbers (`best` is None before the first update)."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        """Go on from a saved `state_dict`. Errors: ValueError if its keys are others."""
        if set(state) != set(_STATE):
            raise ValueError(f"state must have the keys {', '.join(_STATE)}; got {', '.join(map(str, state))}")
        for name, value in state.items():
            setattr(self, name, value)


_STATE = ("rate", "best", "num_bad_epochs", "cooldown_counter")
