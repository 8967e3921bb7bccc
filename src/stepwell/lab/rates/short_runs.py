"""Two rounds of short runs, which find the learning rate of a full one.

The first round has a few very short runs over four decades, the second longer ones about the best of the first. Each
is a whole run with a schedule of its own. Where the best is the lowest or highest rate of a round, it goes on there.

The best constant rate falls with the length n of a run. In theory as n^−½: so does the one with the least bound on the
error of averaged stochastic subgradient steps (Nemirovski, Juditsky, Lan & Shapiro 2009, "Robust stochastic
approximation approach to stochastic programming", section 2.2, <https://doi.org/10.1137/070704277>). In practice it
hardly moves on some tasks, and falls as n^−1 where training is best stopped early. So the rate of full runs is that of
the second round times (full/second)^−p, where p is the mean of ½ and of the power that is seen between the rounds.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from stepwell.lab.batches import explained
from stepwell.lab.candidates import Candidate
from stepwell.lab.randomness import preserved, sow
from stepwell.lab.rates.found_rate import Round
from stepwell.lab.statistics import best_rate
from stepwell.lab.task import Task
from stepwell.lab.training.group import Way, grouped, train_group
from stepwell.lab.training.plain import one_thread
from stepwell.lab.training.workers import Workers
from stepwell.lab.trial import Run, Trial

DECADES = 4.0  # that the first round's rates are over
FIRST = 0.2  # of the budget: what the first round has
FARTHER = 4  # rates that the first round goes on, at most
SECOND = 5  # rates of the second round, at most
LEAST = 3  # rates of a round: fewer have none inside
THEORY = 0.5  # the power with which the best rate falls
SHORTEST = 3  # steps of a run whose training loss is its result: the first loss is that of the untrained model


class ShortRuns:
    """Runs of one optimizer, and what they took; `close` ends its processes.

    Attributes:
        taken: steps of all runs so far, and `seconds` that they took.
    """

    def __init__(
        self, task: Task, candidate: Candidate, seeds: Sequence[int], hyper: tuple[tuple[str, float], ...], way: Way
    ):
        self.task, self.candidate, self.seeds, self.hyper, self.way = task, candidate, seeds, hyper, way
        self.taken, self.seconds = 0, 0.0
        self._before = math.nan  # the validation loss before training
        self._workers: Workers | None = None

    def round(self, rates: Iterable[float], factor: float, most: int, steps: int) -> Round:
        """Runs at these rates, and by that factor farther while the best is the outermost; at most so many rates."""
        found = self.losses([_rounded(rate) for rate in rates], steps)
        initial = self.initial(steps)
        while len(found) < most:
            tried = sorted(found)
            best = min(tried, key=lambda rate: min(float(np.mean(found[rate])), initial))
            if best not in (tried[0], tried[-1]):
                break
            farther = _rounded(best / factor if best == tried[0] else best * factor)
            if farther in found or not 0 < farther < math.inf:
                break
            found |= self.losses([farther], steps)
        return Round(steps, tuple(sorted(found)), tuple(found[rate] for rate in sorted(found)), initial)

    def losses(self, rates: Sequence[float], steps: int) -> dict[float, tuple[float, ...]]:
        """For each rate the loss at each seed."""
        name = self.candidate.name
        trials = [Trial(name, lr, seed, steps, self.hyper) for seed in self.seeds for lr in rates]
        runs = {run.trial: run for each in self._trained(grouped(trials, self.way.size)) for run in each}
        self.taken += sum(run.taken for run in runs.values())
        self.seconds += sum(run.seconds for run in runs.values())
        if self.task.held_out is not None:
            self._before = float(np.mean([run.curve["loss"][0] for run in runs.values()]))
        return {lr: tuple(final(self.task, runs[t]) for t in trials if t.lr == lr) for lr in rates}

    def initial(self, steps: int) -> float:
        """The loss without training that compares with those of `losses` just before, the mean over seeds."""
        if self.task.held_out is not None:
            return self._before
        return float(np.mean([untrained(self.task, seed, steps) for seed in self.seeds]))

    def _trained(self, groups: Sequence[Sequence[Trial]]) -> Iterator[list[Run]]:
        candidates = {self.candidate.name: self.candidate}
        if self.way.workers > 1:
            self._workers = self._workers or Workers(self.task, candidates, self.way.workers)
            yield from self._workers.train(groups, self.way.stacked)
            return
        for group in groups:
            yield train_group(self.task, candidates, group, self.way.stacked, self.way.threads)

    def whole(self, full: int, steps: float) -> int:
        """The length of runs: so many steps, rounded down, but no more than a full run's and not too few for a loss."""
        return min(max(math.floor(steps), shortest(self.task)), full)

    def close(self) -> None:
        """End the processes, if there are any."""
        if self._workers:
            self._workers.close()


def shortest(task: Task) -> int:
    """Steps of a run that is long enough for a result."""
    return 1 if task.held_out is not None else SHORTEST


def least(task: Task, full: int) -> float:
    """What the smallest search costs, in full runs: two rounds of the shortest runs, or one if those are full ones."""
    return 2 * LEAST * shortest(task) / full if shortest(task) < full else LEAST


def sparsely_measured(task: Task, full: int) -> Task:
    """The task with the measurements that `final` needs: before and after, or the training loss of each step."""
    return replace(task, every=1 if task.held_out is None else full)


def final(task: Task, run: Run) -> float:
    """What ranks a short run: the loss at its end, or the mean training loss of its last quarter; ∞ if it diverged."""
    if run.loss is None or task.held_out is not None:
        return run.cost
    return float(np.mean(run.curve["loss"][-quarter(run.steps) :]))


def untrained(task: Task, seed: int, steps: int) -> float:
    """The mean loss of an untrained model on the batches of the last quarter of a run."""
    import torch

    with one_thread(), preserved(), torch.no_grad():
        model = task.fresh(seed)
        sow(seed, 1)
        batches = itertools.islice(task.source.passes(seed), steps - quarter(steps), steps)
        with explained("a training step fails"):
            return float(np.mean([float(task.evaluate(model, batch)[0]) for batch in batches]))


def quarter(steps: int) -> int:
    """A quarter of some steps, one at least."""
    return max(1, steps // 4)


def two_rounds(runs: ShortRuns, middle: float, full: int, budget: float, count: int) -> list[Round]:
    """Both rounds; the first alone if nothing was learnt in it, or its runs were full ones.

    Where the shortest runs are too long for so many, rounds have fewer rates, the first one over as many decades.

    Args:
        middle: the rate that the first round is about. full: steps of a full run.
        budget: full runs, for each seed, `least` or more. count: rates of the first round.
    """
    steps = runs.whole(full, FIRST * budget * full / count)
    most = _affordable(budget * full, steps) - (LEAST if steps < full else 0)
    count, most = min(count, most), min(count + FARTHER, most)
    factor = 10 ** (DECADES / (count - 1))
    grid = [middle * factor**k for k in range(-((count - 1) // 2), count // 2 + 1)]
    first = runs.round(grid, factor, most, steps)
    best = best_rate(first.rates, first.means, 0.0, first.initial)
    if best.lowest is None or not best.loss < first.initial or steps == full:
        return [first]
    left = budget * full - runs.taken / len(runs.seeds)
    longer = runs.whole(full, left / SECOND)
    most = min(SECOND, _affordable(left, longer))
    middle = (best.rate or best.lowest) * (longer / steps) ** -THEORY
    wide, factor = (2 if runs.way.stacked and most == SECOND else 1), math.sqrt(factor)
    return [first, runs.round([middle * factor**k for k in range(-wide, wide + 1)], factor, most, longer)]


def _affordable(steps: float, length: int) -> int:
    """How many runs of that length so many steps are."""
    return math.floor(steps / length * (1 + 1e-9))


def drift(rounds: Sequence[Round]) -> float:
    """The power with which the best rate falls with length: the mean of theory and of what two rounds show, 0 to 1."""
    (short, first), (long, second) = ((r.steps, lowest(r, r.means)) for r in (rounds[0], rounds[-1]))
    if short == long or first is None or second is None:
        return THEORY
    seen = math.log(first / second) / math.log(long / short)
    return (THEORY + min(max(seen, 0.0), 1.0)) / 2


def lowest(tried: Round, losses: Sequence[float]) -> float | None:
    """The rate with the least of these losses, between rates that were tried or at their end; None if all diverged."""
    best = best_rate(tried.rates, losses, 0.0, tried.initial)
    return best.rate or best.lowest


def _rounded(rate: float) -> float:
    """A rate as one writes it: to three digits."""
    return float(f"{rate:.3g}")
