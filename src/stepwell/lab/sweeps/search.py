"""A search: what a strategy proposes, trained in the quickest way, every run handed on as its group ends.

All optimizers have the same budget; at one seed, the same initial weights, order of data and draws of dropout.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from stepwell.domain import at_least, optional
from stepwell.lab.candidates import Wanted, choose
from stepwell.lab.sweeps.sampled import Sampled
from stepwell.lab.sweeps.strategy import Grid, Halving, Strategy
from stepwell.lab.task import Task
from stepwell.lab.training import way
from stepwell.lab.training.group import Way, grouped, train_group
from stepwell.lab.training.workers import Workers
from stepwell.lab.trial import Run, Trial, seeds_of

if TYPE_CHECKING:
    from stepwell.lab.store.study import Store


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

    Errors: ValueError for an unknown optimizer, sampler, or a count below 1; `TaskError` when it begins, for a task
        that cannot be trained.
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
        self.task, self.candidates, self.workers = task, choose(optimizers), workers
        self.seeds, rates = seeds_of("seeds", seeds), at_least(1).check("rates", rates)
        for name, value in (("epochs", epochs), ("workers", workers)):
            optional(at_least(1), name, value)
        if halving == 1 or halving < 0:
            raise ValueError(f"halving must be 0 or an integer ≥ 2; got {halving}")
        self.steps = task.steps(epochs)
        self.asked = {"rates": rates, "halving": halving, "trials": trials, "sampler": sampler if trials else None}
        grid = Grid(self.candidates, rates, self.seeds, self.steps)
        self.strategy: Strategy = Halving(grid, halving) if halving else grid
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
        """What this search was asked for: all that decides what is tried."""
        return {"optimizers": self.optimizers, "seeds": list(self.seeds), "steps": self.steps, **self.asked}

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
            told = self.tell and (lambda runs, tell=self.tell: tell(len(self.done) + runs))
            yield train_group(self.task, self.candidates, group, self.way.stacked, self.way.threads, told)
