# pyright: reportMissingImports=false
"""The learning rate: a number, a scheduler of Paddle, or a function of the step that the optimizer itself follows."""

from collections.abc import Callable
from typing import Any

from paddle.optimizer.lr import LRScheduler

from stepwell.domain import Rate, check
from stepwell.schedules import rate_at


class Following(LRScheduler):
    """A function of the step as Paddle's scheduler: the optimizer's updates move it, its own `step` does not."""

    def __init__(self, schedule: Callable[[int], Any]):
        self.schedule = schedule
        super().__init__(rate_at(schedule, 0))

    def get_lr(self) -> float:
        return rate_at(self.schedule, self.last_epoch)

    def step(self, epoch: int | None = None) -> None:
        """Nothing, but for the call that Paddle's constructor makes: `Model.fit` would move it a second time."""
        if self.last_epoch < 0:
            self.move_to(0)

    def move_to(self, updates: int) -> None:
        """The rate of the update after so many."""
        self.last_epoch = updates
        self.last_lr = self.get_lr()


def rate(learning_rate: Any) -> Any:
    """What a constructor was given, as Paddle's own constructors take it: a float or a scheduler.

    Raises:
        TypeError, ValueError: it is neither a finite number ≥ 0 nor callable.
    """
    if isinstance(learning_rate, LRScheduler):
        return learning_rate
    return Following(learning_rate) if callable(learning_rate) else check(Rate, "learning_rate", learning_rate)
