"""A schedule as a PyTorch learning-rate scheduler; imported by `as_torch` alone, since it needs torch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from stepwell.schedules.base import rate_at


class ScheduleLR(LRScheduler):
    """Sets each group's learning rate to its schedule's value at the number of `step` calls so far."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        schedule: Callable[[int], Any] | Sequence[Callable[[int], Any]],
    ) -> None:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch optimizer; got {optimizer!r}")
        groups = len(optimizer.param_groups)
        if not callable(schedule) and len(schedule) != groups:
            raise ValueError(f"schedule must be one, or one for each of the {groups} groups; got {len(schedule)}")
        self.schedule = schedule
        super().__init__(optimizer)

    def get_lr(self) -> list[float | torch.Tensor]:
        """Each group's rate for the coming update."""
        count = len(self.optimizer.param_groups)
        schedules = [self.schedule] * count if callable(self.schedule) else self.schedule
        return [rate_at(schedule, self.last_epoch) for schedule in schedules]

    def state_dict(self) -> dict[str, Any]:
        """The count of steps: plain numbers, since the rates follow from them."""
        return {name: getattr(self, name) for name in ("last_epoch", "_step_count")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved `state_dict`; the optimizer's rates are set too, whatever order things are loaded in."""
        super().load_state_dict(state_dict)
        rates = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._last_lr = list(rates)
