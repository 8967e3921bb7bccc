"""The doctor at a training that another package's trainer runs: what the callbacks have in common."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from stepwell.domain import at_least
from stepwell.integrations.scalars import flat


class DoctorWarning(UserWarning):
    """What the doctor finds wrong with a training."""


class Watcher:
    """The doctor at the optimizers of a training. Each training is watched anew.

    Args:
        every: a sample is taken every so many steps of an optimizer.
        tell: is called with each Sample, as `stepwell.lab.doctor` does.

    Attributes:
        watches: one of `stepwell.lab.doctor` for each optimizer of the last training, in their order.

    Errors: ValueError if `every` is no integer ≥ 1.
    """

    def __init__(self, every: int = 20, tell: Callable[[Any], object] | None = None):
        self.every = at_least(1).check("every", every)
        self.tell = tell
        self.watches: list[Any] = []
        self._taken: list[tuple[int, Any]] = []  # samples that are not yet written, with their optimizer's number
        self._when: list[dict[int, int]] = []  # for each optimizer the trainer's step at its last steps
        self._told: set[str] = set()
        self._running = False

    @property
    def findings(self) -> list[Any]:
        """What is wrong with the last training."""
        return [finding for watch in self.watches for finding in watch.findings]

    @property
    def samples(self) -> list[Any]:
        """What was measured of the last training."""
        return [sample for watch in self.watches for sample in watch.samples]

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.watches)) or "no training was watched"

    def stop(self) -> None:
        """Take the doctor's hooks off, if they are on; what was found stays."""
        if self._running:
            self._running = False
            for watch in self.watches:
                watch.stop()

    def _begin(self, optimizers: Sequence[Any], model: Any, told: Iterable[str] = ()) -> None:
        from stepwell.lab import doctor

        self.stop()
        self._taken, self._told, self._when = [], set(told), [{} for _ in optimizers]
        self.watches = [
            doctor(optimizer, model, every=self.every, tell=self._teller(i)) for i, optimizer in enumerate(optimizers)
        ]
        self._running = True
        for watch in self.watches:
            watch.start()

    def _teller(self, number: int) -> Callable[[Any], None]:
        def took(sample: Any) -> None:
            self._taken.append((number, sample))
            if self.tell is not None:
                self.tell(sample)

        return took

    def _stepped(self, now: int) -> None:
        """The steps that the optimizers have made since this was last told are of this step of the trainer."""
        for when, watch in zip(self._when, self.watches, strict=True):
            last = max(when, default=-1)
            if watch.steps > last + 1:
                kept = {last: when[last]} if when else {}
                when.clear()
                when.update(kept | dict.fromkeys(range(last + 1, watch.steps), now))

    def _numbers(self, now: int) -> Iterator[tuple[int, dict[str, float]]]:
        """The samples taken since this was last asked: the trainer's step, and numbers by names for a logger.

        A doctor tells a sample at the step after it, which shows how good the step was.
        """
        taken, self._taken = self._taken, []
        for i, sample in taken:
            yield self._when[i].get(sample.step, now), flat(sample, f"-{i}" if len(self.watches) > 1 else "")

    def _news(self) -> list[str]:
        """What has been found for the first time, in words; a finding that comes back is no news."""
        found = {self._label(i) + f.name: self._label(i) + str(f) for i, f in self._numbered()}
        news = [words for name, words in found.items() if name not in self._told]
        self._told |= set(found)
        return news

    def _conclusion(self) -> str:
        """All that is wrong with the training, in words; empty for nothing."""
        found = [self._label(i) + str(finding) for i, finding in self._numbered()]
        return "\n".join(["The doctor's findings:", *found]) if found else ""

    def _numbered(self) -> list[tuple[int, Any]]:
        return [(i, finding) for i, watch in enumerate(self.watches) for finding in watch.findings]

    def _label(self, number: int) -> str:
        return f"optimizer {number}: " if len(self.watches) > 1 else ""
