"""Every optimizer at a grid of learning rates and some seeds, and farther where the best rate lies at the grid's edge.

All optimizers have the same budget a run; at one seed, the same initial weights and the same order of data.
"""

import contextlib
import math
import signal
import statistics
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any

from stepwell.lab.names import unknown
from stepwell.lab.tasks import Task
from stepwell.lab.train import Job, Run, train
from stepwell.lab.workers import begin, work
from stepwell.rule import Rule
from stepwell.rules import algorithms, named

PER_DECADE = 2
FARTHER = 4  # rates beyond the grid, at most, for an optimizer whose best is at an edge


def candidates() -> list[str]:
    """The rules that can be compared: those that need no more than a learning rate, and have a default for it."""
    return [name for name, rule in named.items() if "lr" in rule.hyperparameters and _has_defaults(rule)]


def _has_defaults(rule: Rule) -> bool:
    return all(h.default is not None for h in rule.hyperparameters.values())


def choose(names: Sequence[str] | None) -> list[str]:
    """These optimizers, or every algorithm, each once, in the order of the rules.

    Raises:
        ValueError: an unknown name.
    """
    known = candidates()
    for name in names or ():
        if name not in known:
            raise ValueError(unknown("optimizer", name, known))
    return [name for name in known if name in (algorithms if names is None else names)]


def rate(optimizer: str, place: int) -> float:
    """The learning rate at a place of the grid: place 0 is the rule's own default, two places are a factor of ten."""
    default = named[optimizer].hyperparameters["lr"].default
    assert default is not None
    return float(f"{default * 10 ** (place / PER_DECADE):.3g}")


class Search:
    """The runs of a comparison, in an order that covers all optimizers early: iterate to train them.

    Runs come as they end. With several workers their order varies; their numbers do not, nor which rates are tried.
    `planned` is how many runs there will be, as far as is known; it grows when a grid is extended.
    """

    def __init__(
        self,
        task: Task,
        optimizers: Sequence[str] | None = None,
        rates: int = 5,
        seeds: int = 3,
        epochs: int | None = None,
        workers: int = 1,
    ):
        self.task, self.optimizers, self.epochs = task, choose(optimizers), task.epochs if epochs is None else epochs
        self.rates, self.seeds, self.workers = rates, range(seeds), workers
        for name, value in {"rates": rates, "seeds": seeds, "epochs": self.epochs, "workers": workers}.items():
            if value < 1:
                raise ValueError(f"{name} must be an integer ≥ 1; got {value}")
        places = sorted(range(-((rates - 1) // 2), rates // 2 + 1), key=lambda place: (abs(place), -place))
        self.jobs = [Job(o, rate(o, p), s) for p in places for s in self.seeds for o in self.optimizers]
        self.planned = len(self.jobs)
        self._edges = {o: [min(places), max(places)] for o in self.optimizers}
        self._farther = dict.fromkeys(self.optimizers, FARTHER if rates > 2 else 0)
        self._waiting = dict.fromkeys(self.optimizers, rates * seeds)
        self._losses: dict[str, dict[float, list[float]]] = {o: {} for o in self.optimizers}

    def settings(self) -> dict[str, Any]:
        """What this search was asked for."""
        steps = self.task.steps(self.epochs)
        return {"optimizers": self.optimizers, "rates": self.rates, "seeds": list(self.seeds), "epochs": self.epochs,
                "steps": steps, "workers": self.workers}  # fmt: skip

    def __iter__(self) -> Iterator[Run]:
        runs = self._alone() if self.workers == 1 else self._together()
        with contextlib.closing(runs):
            yield from runs

    def _alone(self) -> Generator[Run, None, None]:
        queue = list(self.jobs)
        while queue:
            run = train(self.task, queue.pop(0), self.epochs)
            queue += self._next(run)
            yield run

    def _together(self) -> Generator[Run, None, None]:
        pool = ProcessPoolExecutor(
            self.workers, get_context("spawn"), initializer=begin, initargs=(self.task, self.epochs)
        )
        try:
            with _uninterrupted():  # a worker is born as deaf to Ctrl-C as its parent is then
                pending: set[Future[Run]] = {pool.submit(work, job) for job in self.jobs}
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    run = future.result()
                    pending |= {pool.submit(work, job) for job in self._next(run)}
                    yield run
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _next(self, run: Run) -> list[Job]:
        """The next rate to try, if this was its optimizer's last run and the best rate so far is at an edge."""
        name = run.optimizer
        self._losses[name].setdefault(run.lr, []).append(math.inf if run.loss is None else run.loss)
        self._waiting[name] -= 1
        if self._waiting[name] or not self._farther[name]:
            return []
        medians = {lr: statistics.median(losses) for lr, losses in self._losses[name].items()}
        best = min(sorted(medians), key=medians.__getitem__)
        for edge, beyond in ((0, -1), (1, 1)):
            if best == rate(name, self._edges[name][edge]):
                self._edges[name][edge] += beyond
                self._farther[name] -= 1
                self._waiting[name] = len(self.seeds)
                self.planned += len(self.seeds)
                return [Job(name, rate(name, self._edges[name][edge]), seed) for seed in self.seeds]
        return []


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
