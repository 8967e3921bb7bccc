"""What is tried: a pure function from the runs that are done to the trials that are still to do.

So a search that was stopped goes on wherever it stood, with whatever was done, and repeats nothing; and processes that
share one propose the same. The order of what is done does not matter, since each has it in its own.
"""

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stepwell.lab.candidates import Candidate
from stepwell.lab.trial import Run, Trial

FARTHER = 4  # rates beyond the grid, at most, for an optimizer whose best is at an edge
MANY = 8  # rates from which on the grid has three a decade, and not two

Point = tuple[str, float, tuple[tuple[str, float], ...]]


def per_decade(rates: int) -> int:
    """How many of a grid's rates are a factor of ten."""
    return 3 if rates >= MANY else 2


def rate(middle: float, place: int, rates: int) -> float:
    """The learning rate at a place of a grid: place 0 is the middle, for a rule its default, to three digits.

    >>> [rate(0.01, place, 5) for place in (-1, 0, 1, 2)]
    [0.00316, 0.01, 0.0316, 0.1]
    """
    return float(f"{middle * 10 ** (place / per_decade(rates)):.3g}")


def medians(runs: Iterable[Run]) -> dict[Point, float]:
    """The median loss over seeds of each choice, a diverged run being infinite; the choices with most seeds alone."""
    losses: dict[Point, list[float]] = {}
    for run in runs:
        losses.setdefault(run.trial.point, []).append(run.cost)
    most = max(map(len, losses.values()), default=0)
    return {point: statistics.median(each) for point, each in losses.items() if len(each) == most}


class Strategy(ABC):
    """A way to search: see this module's text.

    Attributes:
        steps: of a whole run, by which optimizers are ranked.
    """

    steps: int

    @abstractmethod
    def propose(self, done: Sequence[Run]) -> list[Trial]:
        """The trials to do next, none of them done; empty at the end."""

    def expected(self, done: Sequence[Run]) -> int:
        """How many runs there will be in all, as far as is known."""
        return len(done) + len(self.propose(done))


def missing(wanted: Iterable[Trial], done: Iterable[Run]) -> list[Trial]:
    """Those of the wanted trials that have no run yet, each once."""
    known = {run.trial for run in done}
    return [trial for trial in dict.fromkeys(wanted) if trial not in known]


@dataclass(frozen=True)
class Grid(Strategy):
    """Every optimizer at a grid of rates around its own, with some seeds; and farther where the best is at an edge.

    Attributes:
        candidates: the optimizers. rates: how many of them a grid has. seeds: of weights and order.
        farther: rates beyond the grid, at most, for each optimizer.
    """

    candidates: Mapping[str, Candidate]
    rates: int
    seeds: Sequence[int]
    steps: int
    farther: int = FARTHER

    @property
    def places(self) -> list[int]:
        """The places of the grid, from the middle outwards."""
        return sorted(range(-((self.rates - 1) // 2), self.rates // 2 + 1), key=lambda place: (abs(place), -place))

    def propose(self, done: Sequence[Run]) -> list[Trial]:
        own = [run for run in done if run.steps == self.steps and not run.hyper]
        first = [trial for place in self.places for name in self.candidates for trial in self._trials(name, place)]
        return missing(first, own) or [
            trial for name in self.candidates for trial in self._beyond(name, [r for r in own if r.optimizer == name])
        ]

    def _trials(self, name: str, place: int) -> list[Trial]:
        lr = rate(self.candidates[name].rate, place, self.rates)
        return [Trial(name, lr, seed, self.steps) for seed in self.seeds]

    def _beyond(self, name: str, done: Sequence[Run]) -> list[Trial]:
        """The next rate of an optimizer whose best so far is the outermost that was tried."""
        if self.rates < 3:
            return []
        middle, low, high = self.candidates[name].rate, min(self.places), max(self.places)
        found = {lr: loss for (_, lr, _), loss in medians(done).items()}
        for _ in range(self.farther):
            least, most = rate(middle, low, self.rates), rate(middle, high, self.rates)
            known = [lr for lr in sorted(found) if least <= lr <= most]  # when it was decided to go on from there
            best = min(known, key=found.__getitem__)
            if best == least:  # as it is where everything diverged
                low = place = low - 1
            elif best == most:
                high = place = high + 1
            else:
                return []
            if trials := missing(self._trials(name, place), done):
                return trials
        return []


@dataclass(frozen=True)
class Halving(Strategy):
    """Successive halving: a grid of short runs, of which the best are run again, longer, from the start.

    A rung's runs are whole ones: each has the task's schedule from its beginning to its end, for a run that is cut off
    in the middle of a schedule says little about one that is not. Each optimizer keeps its own share.

    Karnin, Koren & Somekh (2013), "Almost optimal exploration in multi-armed bandits", for sequential halving.
    """

    grid: Grid
    factor: int = 3
    rungs: int = 3

    @property
    def steps(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.grid.steps

    @property
    def budgets(self) -> list[int]:
        """Steps of a run in each rung, from the shortest."""
        return [max(1, round(self.grid.steps / self.factor**k)) for k in reversed(range(self.rungs))]

    def propose(self, done: Sequence[Run]) -> list[Trial]:
        short, *longer = self.budgets
        first = Grid(self.grid.candidates, self.grid.rates, self.grid.seeds, short, self.grid.farther)
        if trials := first.propose(done):
            return trials
        below, kept = short, self.grid.rates
        for budget in longer:
            kept = math.ceil(kept / self.factor)
            runs = [run for run in done if run.steps == below]
            wanted = [
                Trial(name, lr, seed, budget, hyper)
                for optimizer in self.grid.candidates
                for name, lr, hyper in best_of([r for r in runs if r.optimizer == optimizer], kept)
                for seed in self.grid.seeds
            ]
            if trials := missing(wanted, done):
                return trials
            below = budget
        return []


def best_of(runs: Sequence[Run], count: int) -> list[Point]:
    """The choices with the least median losses that are finite, the best first; one at least, if there is any."""
    found = medians(runs)
    ranked = sorted(found, key=lambda point: (found[point], point))
    finite = [point for point in ranked[:count] if math.isfinite(found[point])]
    return finite or ranked[:1]
