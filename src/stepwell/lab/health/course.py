"""The course of a training, as the signs of faults ask for it."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import takewhile
from statistics import median
from typing import TYPE_CHECKING

from stepwell.lab.health.sample import Sample

if TYPE_CHECKING:
    from stepwell.lab.health.record import Record

BEGIN = 3  # steps whose losses are what it began with
EARLY = 10  # steps that are its very beginning
SHORT = 100  # steps below which slowness is not judged
HASTY = 0.05  # share of the weights that a step of the very beginning should not change


class Course:
    """What was seen up to the first number that is not finite; there, everything else ends."""

    def __init__(self, record: "Record"):
        self.record = record
        self.steps = record.steps

    @cached_property
    def losses(self) -> list[float]:
        """The loss of each step up to the first that is not finite; none where it is not known."""
        known = [math.nan if loss is None else loss for loss in self.record.losses.read()]
        return list(takewhile(math.isfinite, known))

    @cached_property
    def failed(self) -> int | None:
        """The step whose loss or gradient was the first that is not finite."""
        lost = next(
            (k for k, x in enumerate(self.record.losses.read()) if x is not None and not math.isfinite(x)), None
        )
        broken = next((s.step for s in self.record.samples if not math.isfinite(s.gradient)), None)
        return min((k for k in (lost, broken) if k is not None), default=None)

    @cached_property
    def samples(self) -> list[Sample]:
        """The samples before that."""
        return [s for s in self.record.samples if self.failed is None or s.step < self.failed]

    @cached_property
    def early(self) -> list[Sample]:
        """Those of the very beginning."""
        return [s for s in self.samples if s.step < EARLY]

    @cached_property
    def hasty(self) -> float:
        """The largest share of the weights that one of the very first steps changed."""
        return max((x for s in self.early if (x := ratio(s)) is not None), default=0.0)

    @cached_property
    def first(self) -> float:
        """The loss it began with: the largest of the first three, if no long step lies between; NaN if unknown."""
        return max(self.losses[: 1 if self.hasty > HASTY else BEGIN], default=math.nan)

    @cached_property
    def last(self) -> float:
        """The median loss of the last tenth."""
        return self.over(0.9, 1.0)

    @cached_property
    def peak(self) -> float:
        """The largest loss in units of the first: of medians of three at the very beginning, later of five."""
        early = [median(self.losses[k : k + 3]) for k in range(min(EARLY, len(self.losses) - 2))]
        later = [median(self.losses[k : k + 5]) for k in range(EARLY, len(self.losses) - 4)]
        largest = max([*early, *later, *self.losses[-1:]], default=math.nan)
        return largest / self.first if self.first > 0 else 1.0

    @cached_property
    def spike(self) -> float:
        """The largest single loss of the very beginning in units of the first."""
        return max(self.losses[: 2 * EARLY], default=math.nan) / self.first if self.first > 0 else 1.0

    def over(self, begin: float, end: float) -> float:
        """The median loss between two shares of the steps."""
        count = len(self.losses)
        part = self.losses[int(begin * count) : max(int(end * count), int(begin * count) + 1)]
        return median(part) if part else math.nan

    @cached_property
    def fallen(self) -> float:
        """The share of the first loss that is gone at the end."""
        return 1 - self.last / self.first if self.first > 0 else 0.0

    @property
    def flat(self) -> bool:
        """Whether the loss has fallen little, and hardly after its first fifth."""
        return bool(self.losses) and self.last > 0.7 * self.first and self.last > 0.9 * self.over(0.1, 0.2)

    @property
    def plateau(self) -> int | None:
        """The step since which a loss that fell before has not fallen, if that is half of the training or more."""
        if len(self.losses) < 2 * SHORT or self.fallen < 0.05:
            return None
        tenths = [self.over(k / 10, (k + 1) / 10) for k in range(10)]
        before, after = tenths[:5], tenths[5:]
        return len(self.losses) * before.index(min(before)) // 10 if min(after) > 0.99 * min(before) else None

    @cached_property
    def reach(self) -> float:
        """By how much of the first loss all steps together could have changed it: Σ|g·Δp|, to first order."""
        if not self.samples or not self.first > 0:
            return math.nan
        later = [s for s in self.samples if s.step >= EARLY] or self.samples
        pushed = [abs(s.agreement or 0.0) * s.gradient * s.update for s in later]
        return sum(pushed) / len(pushed) * len(self.losses) / self.first

    @cached_property
    def growth(self) -> float:
        """How many times the norm of the weights has grown."""
        sizes = [s.weight for s in self.samples]
        return max(sizes) / sizes[0] if sizes and sizes[0] > 0 else 1.0

    def typical(self, value: Callable[[Sample], float | None], samples: Sequence[Sample] | None = None) -> float | None:
        """The median of a number over the samples (after the very beginning) that have it."""
        among = [s for s in self.samples if s.step >= EARLY] if samples is None else samples
        found = [x for s in among or self.samples if (x := value(s)) is not None and math.isfinite(x)]
        return median(found) if found else None


def ratio(sample: Sample) -> float | None:
    """‖Δp‖/‖p‖ of all parameters together."""
    return sample.update / sample.weight if sample.weight > 0 else None
