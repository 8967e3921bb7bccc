"""A search: what a strategy proposes, trained in the quickest way, every run handed on as its group ends.

All optimizers have the same budget; at one seed, the same initial weights, order of data and draws of dropout.
"""

import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stepwell.domain import Domain, at_least, integer, optional
from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import Wanted, choose
from stepwell.lab.sweeps.fingerprint import fingerprint, foreign
from stepwell.lab.sweeps.sampled import Sampled
from stepwell.lab.sweeps.strategy import Grid, Halving, Strategy
from stepwell.lab.task import Task
from stepwell.lab.training import way
from stepwell.lab.training.cluster import Cluster
from stepwell.lab.training.crew import PAUSE, Crew
from stepwell.lab.training.group import Way, called, grouped, train_group
from stepwell.lab.training.workers import Workers
from stepwell.lab.trial import Run, Trial, seeds_of

if TYPE_CHECKING:
    from stepwell.lab.store.claims import Claims
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
        ray: the address of a cluster of Ray that trains the groups; "local": Ray on this machine; None: without Ray.

    Attributes:
        way: how it is done, and why; None until it is known.
        done: the runs so far.
        planned: how many runs there will be, as far as is known.
        tell: to be set; called now and then with how many runs are done, with fractions.

    Errors: ValueError for an unknown optimizer, sampler, a count below 1, or both halving and trials; TypeError for
        a count that is no integer; `TaskError` for a schedule that refuses the length of a run, and when it begins, or
        its settings are asked for, for a task that cannot be trained; `WorkerError` without Ray where it is asked for.
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
        ray: str | None = None,
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
        self._cluster = None if ray is None else Cluster(task, self.candidates, ray, self.workers)
        self._crew: Crew | None = None
        self._claims: Claims | None = None
        self._news: deque[Run] = deque()  # runs that are done and not handed on yet

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
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: self._crew and self._crew.close())
            if self._cluster:
                self._crew = self._cluster
                self._cluster.open()
            if self.store and self.store.shared:
                self._claims = stack.enter_context(contextlib.closing(self.store.claims()))
            while proposed := self.strategy.propose(self.done):
                for runs in self._trained(proposed):
                    self._learn(runs if self.store is None or not runs else self.store.add(runs))
                    yield from self._said()
                yield from self._said()
                self.planned = self.strategy.expected(self.done)

    def _learn(self, runs: Sequence[Run]) -> None:
        self.done += runs
        self._news += runs

    def _said(self) -> Iterator[Run]:
        while self._news:
            yield self._news.popleft()

    def _trained(self, trials: list[Trial]) -> Iterator[list[Run]]:
        if self.way is None:
            way.check(self.task, self.candidates, min(trials, key=lambda t: t.lr))
            self.way = self._measured(trials)
        groups = grouped(trials, self.way.size)
        free = self._unclaimed(groups) if self._claims else iter(groups)
        if self._crew or (self.way.workers > 1 and len(groups) > 1):
            self._crew = self._crew or Workers(self.task, self.candidates, self.way.workers)
            yield from self._crew.train(free, self.way.stacked)
            return
        for group in free:
            if group is None:
                time.sleep(PAUSE)
            yield self._group(group, self.way) if group else []

    def _measured(self, trials: list[Trial]) -> Way:
        if not self._cluster:
            return way.measured(self.task, self.candidates, trials, self.workers)
        found = way.measured(self.task, self.candidates, trials, self._cluster.count, elsewhere=True)
        return replace(found, workers=self._cluster.count, threads=1, reason=f"{found.reason}, as tasks of Ray")

    def _unclaimed(self, groups: list[list[Trial]]) -> Iterator[list[Trial] | None]:
        """What this process may train of some groups, one after the other; None while other processes have the rest."""
        assert self._claims
        begun: set[Trial] = set()
        while True:
            left = self._left(groups, begun)
            if not any(left):
                return
            free = set(self._claims.free([trial for group in left for trial in group]))
            group = next((some for group in left if (some := [trial for trial in group if trial in free])), None)
            if group is None:
                yield None
            else:
                mine = self._claims.take(group)
                begun.update(mine := self._left([mine], begun)[0])  # some may be done by who held them and has left
                if mine:
                    yield mine

    def _left(self, groups: Sequence[Sequence[Trial]], begun: Collection[Trial]) -> list[list[Trial]]:
        """What of some groups has not begun here, nor is done anywhere."""
        assert self.store
        self._learn(self.store.later())
        over = {run.trial for run in self.done}.union(begun)
        return [[trial for trial in group if trial not in over] for group in groups]

    def _group(self, group: list[Trial], how: Way) -> list[Run]:
        told = self.tell and (lambda runs, tell=self.tell: tell(len(self.done) + runs))
        try:
            return train_group(self.task, self.candidates, group, how.stacked, how.threads, told)
        except TaskError as error:
            raise TaskError(f"{called(group)}: {error}") from error
