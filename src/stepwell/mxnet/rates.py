"""Schedules of stepwell as MXNet asks for them."""

# pyright: reportMissingImports=false

from collections.abc import Callable
from typing import Any

from mxnet.lr_scheduler import LRScheduler

from stepwell.schedules import Schedule, rate_at


class Rates(LRScheduler):
    """A schedule, a function of the step from 0; MXNet counts the step in the making, from 1."""

    def __init__(self, schedule: Callable[[int], Any]):
        super().__init__()
        self.schedule = schedule

    def __call__(self, num_update: int) -> float:
        return rate_at(self.schedule, max(num_update - 1, 0))


def rates(learning_rate: Any, lr_scheduler: Any) -> tuple[Any, Any]:
    """MXNet's two arguments, a schedule in either made one of its schedulers, which has its rates to itself."""
    if callable(learning_rate):
        if lr_scheduler is not None:
            raise TypeError("learning_rate is a schedule; lr_scheduler must then be None")
        return None, Rates(learning_rate)
    if isinstance(lr_scheduler, Schedule):
        return None, Rates(lr_scheduler)
    return learning_rate, lr_scheduler
