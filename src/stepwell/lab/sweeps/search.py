"""A search: what a strategy proposes, trained in the quickest way, every run handed on as its group ends.

All optimizers have the same budget; at one seed, the same initial weights, order of data and draws of dropout.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from stepwell.domain import Domain, at_least, integer, optional
from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import Wanted, choose
from stepwell.lab.names import count
from stepwell.lab.sweeps.fingerprint import fingerprint, foreign
from stepwell.lab.sweeps.sampled import Sampled
from stepwell.lab.sweeps.strategy import Grid, Halving, Strategy
from stepwell.lab.task import Task
from stepwell.lab.training import way
from stepwell.lab.training.group import Way, grouped, train_group
from stepwell.lab.training.workers import Workers
from stepwell.lab.trial import Run, Trial, seeds_of

if TYPE_CHECKING:
    from stepwell.lab.store.study import Store

FACTOR = Domain("0 or an integer ≥ 2", lambda x: x == 0 or x >= 2, integer)


class Search:
    """Runs of a task with some optimizers: iterate to train them.

    A run comes when its group has ended. How the work is divided changes no number, nor what is tried.

    Args:
        task: what is trained.
        optimizers: rules, names of rules, or functions by name; see `candidates.choose`. None: every algorithm.
        rates: learning rates of each optimizer's grid, around its default.
        seeds: how many, from 0; or which.
        epochs: passes over the data; None: the task's own.
        workers: processes, at most; None: one for each processor, where that pays.
        halving: the factor of successive halving; 0: every run is a whole one.
        trials: choices of each optimizer that a sampler makes, in place of a grid; from 10 on of more than the rate.
        sampler: "tpe" or "qmc", where there are trials.

    Attributes:
        way: how it is done, and why; None until it is known.
        done: the runs so far.
        planned: how many runs there will be, as far as is known.
        tell: to be set; called now and then with how many runs are done, with fractions.

    Errors: ValueError for an unknown optimizer, sampler, a count below 1, or both halving and trials; TypeError for
        a count that is no integer; `TaskError` for a schedule that refuses the length of a run, and when it begins, or
        its settings are asked for, for a task that cannot be trained.
    """

    def __init__(
        self,
        task: Task,
        optimizers: Wanted = None,
        rates: int = 5,
        seeds: int | Sequence[int] = 3,
        epochs: int | None = None,
        workers: int | None = None,
        *,
        halving: int = 0,
        trials: int = 0,
        sampler: str = "tpe",
    ):
        self.task, self.candidates = task, choose(optimizers)
        self.workers = optional(at_least(1), "workers", workers)
        self.seeds, rates = seeds_of("seeds", seeds), at_least(1).check("rates", rates)
        halving, trials = FACTOR.check("halving", halving), at_least(0).check("trials", trials)
        if halving and trials:
            raise ValueError(f"halving and trials exclude each other; got halving={halving} and trials={trials}: "
                             "what a sampler chooses is trained in whole runs")  # fmt: skip
        self.steps = task.steps(optional(at_least(1), "epochs", epochs))
        self.asked = {"rates": rates, "halving": halving, "trials": trials, "sampler": sampler if trials else None}
        grid = Grid(self.candidates, rates, self.seeds, self.steps)
        self.strategy: Strategy = Halving(grid, halving) if halving else grid
        for steps in self.strategy.budgets if isinstance(self.strategy, Halving) else [self.steps]:
            task.rate(steps)
        if trials:
            self.strategy = Sampled(self.candidates, trials, sampler, self.seeds, self.steps)
        self.store: Store | None = None
        self.done: list[Run] = []
        self.planned = self.strategy.expected(self.done)
        self.way: Way | None = None
        self.tell: Callable[[float], object] | None = None
        self._workers: Workers | None = None

    @property
    def optimizers(self) -> list[str]:
        """The names of what is compared."""
        return list(self.candidates)

    def settings(self) -> dict[str, Any]:
        """What this search was asked for: all that decides what is tried, and what the task is."""
        own = {"optimizers": self.optimizers, "seeds": list(self.seeds), "steps": self.steps}
        return {**own, **self.asked, "foreign": foreign(self.candidates), "task": self.fingerprint}

    @functools.cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What tells the task from others; see `stepwell.lab.sweeps.fingerprint`."""
        return fingerprint(self.task, self.steps)

    def keep_in(self, store: "Store") -> None:
        """Keep every run in a store; those that it has are not done again."""
        self.store, self.done = store, store.runs()
        self.planned = self.strategy.expected(self.done)

    def __iter__(self) -> Iterator[Run]:
        try:
            while proposed := self.strategy.propose(self.done):
                for runs in self._trained(proposed):
                    if self.store:
                        self.store.add(runs)
                    self.done += runs
                    yield from runs
                self.planned = self.strategy.expected(self.done)
        finally:
            if self._workers:
                self._workers.close()

    def _trained(self, trials: list[Trial]) -> Iterator[list[Run]]:
        if self.way is None:
            way.check(self.task, self.candidates, min(trials, key=lambda t: t.lr))
            self.way = way.measured(self.task, self.candidates, trials, self.workers)
        groups = grouped(trials, self.way.size)
        if self.way.workers > 1 and (len(groups) > 1 or self._workers):
            self._workers = self._workers or Workers(self.task, self.candidates, self.way.workers)
            yield from self._workers.train(groups, self.way.stacked)
            return
        for group in groups:
            yield self._group(group, self.way)

    def _group(self, group: list[Trial], how: Way) -> list[Run]:
        told = self.tell and (lambda runs, tell=self.tell: tell(len(self.done) + runs))
        try:
            return train_group(self.task, self.candidates, group, how.stacked, how.threads, told)
        except TaskError as error:
            first, names = group[0], ", ".join(dict.fromkeys(trial.optimizer for trial in group))
            which = (
                f"{names} at a learning rate of {first.lr:g}" if len(group) == 1 else f"{len(group)} runs of {names}"
            )
            where = f"{which}, seed {first.seed}, {count(first.steps, 'step')}"
            raise TaskError(f"{where}: {error}") from error
