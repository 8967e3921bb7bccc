"""The rounds of a comparison: tune each optimizer, train the best settings on fresh seeds, and the first of them again.

Settings are chosen by the tuning seeds alone, and judged by others: the least of many noisy losses is too low a guess
of what the same setting gives next time.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stepwell.lab.statistics import ranking
from stepwell.lab.sweeps.strategy import Point, Strategy, best_of, medians, missing
from stepwell.lab.trial import Run, Trial


def of_seeds(runs: Iterable[Run], seeds: Sequence[int]) -> list[Run]:
    """The runs at these seeds."""
    return [run for run in runs if run.seed in seeds]


def tuned(runs: Sequence[Run]) -> dict[str, Point]:
    """The setting of each optimizer with the least median loss over the seeds of these runs; a name may be missing."""
    names = dict.fromkeys(run.optimizer for run in runs)
    return {name: best_of([run for run in runs if run.optimizer == name], 1)[0] for name in names}


def paired(runs: Sequence[Run], settings: Mapping[str, Point], seeds: Iterable[int]) -> dict[str, list[Run]]:
    """The runs of each optimizer at its setting, at those of the seeds at which all of the optimizers have one."""
    found = {(run.trial.point, run.seed): run for run in runs}
    common = [seed for seed in seeds if all((point, seed) in found for point in settings.values())]
    return {name: [found[point, seed] for seed in common] for name, point in settings.items()}


def leader(runs: Mapping[str, Sequence[Run]]) -> str:
    """The optimizer with the least mean loss."""
    return ranking({name: [run.cost for run in each] for name, each in runs.items()})[0].name


@dataclass(frozen=True)
class Rounds(Strategy):
    """First what `tuning` proposes; then the best setting of each optimizer at other seeds; then an A/A run.

    The A/A run is the leader's setting at as many further seeds: what two optimizers differ by that are one. Where
    everything diverged in the first round there is no other.

    Attributes:
        tuning: what is tried of each optimizer: as many settings, and as many steps, of one as of another.
        optimizers: their names. tuned_on, seeds, again: the seeds of the rounds, which have none in common.
    """

    tuning: Strategy
    optimizers: Sequence[str]
    tuned_on: Sequence[int]
    seeds: Sequence[int]
    again: Sequence[int]
    steps: int  # pyright: ignore[reportIncompatibleVariableOverride]

    def propose(self, done: Sequence[Run]) -> list[Trial]:
        first = of_seeds(done, self.tuned_on)
        if trials := self.tuning.propose(first):
            return trials
        if not any(map(math.isfinite, medians(first).values())):
            return []
        settings = tuned(first)
        wanted = [self._trial(settings[name], seed) for seed in self.seeds for name in self.optimizers]
        if trials := missing(wanted, done):
            return trials
        best = settings[leader(paired(done, settings, self.seeds))]
        return missing([self._trial(best, seed) for seed in self.again], done)

    def expected(self, done: Sequence[Run]) -> int:
        tuning = self.tuning.expected(of_seeds(done, self.tuned_on))
        return tuning + len(self.optimizers) * len(self.seeds) + len(self.again)

    def _trial(self, point: Point, seed: int) -> Trial:
        name, lr, hyper = point
        return Trial(name, lr, seed, self.steps, hyper)
