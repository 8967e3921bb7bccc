"""How often a quickly found learning rate is near the best of a full search, and what it costs; range tests beside it.

    python benchmarks/find_lr.py                            seven tasks, 5 optimizers, 10 seeds: an hour or more
    python benchmarks/find_lr.py --quick                    two tasks, 2 seeds
    python benchmarks/find_lr.py --tasks airfoil,diabetes   these alone
    python benchmarks/find_lr.py --page docs/find_lr.md     write the tables into that page

Each case is kept as a line of stepwell-results/find_lr/cases.jsonl as it ends: the command goes on where it stopped.
torch-lr-finder and lightning are measured where they are installed; they are no part of this project's environment.

The truth is a full search: three rates a decade over five decades, farther where the best is at an end, each run a
whole one; the rate with the least median over 10 seeds of the last loss, between rates that were tried. None of these
seeds is one of those with which the rates are found.
"""

import argparse
import hashlib
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from _finders import Finder, finders
from _measure import Row
from stepwell.lab import tasks
from stepwell.lab.data import DataError
from stepwell.lab.statistics import basin, best_rate
from stepwell.lab.sweeps.search import Search
from stepwell.lab.task import Task

OPTIMIZERS = ("gradient_descent", "momentum", "adam", "rmsprop", "adagrad")
RATES = 16  # of the full search: three a decade over five
SEARCHED = 10  # seeds of the full search, from 100; 3 if quick
SEEDS = 10  # of everything else, from 0
NEAR = 3.0  # the factor that a rate may be off
PROMISE = 0.9  # the share of cases in which it is not
COST = 1.1  # full runs
OUT = Path("stepwell-results") / "find_lr"
QUICK = ("airfoil", "diabetes")
BEGIN, END = "<!-- made by benchmarks/find_lr.py -->\n", "<!-- until here -->\n"

Case = dict[str, Any]


def main(quick: bool = False) -> Iterator[Row]:
    """The share of cases in which each finder is near the best rate, beside that of this library's."""
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Cases(Path(folder)), 2, 3) if quick else Table(Cases(OUT), SEEDS, SEARCHED)
        table.fill(QUICK if quick else list(tasks.named))
        yield from table.rows()


class Cases:
    """Cases that are done, and the file that has them; a line that was cut off counts as none."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "cases.jsonl"
        self.done: dict[tuple[Any, ...], Case] = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            try:
                case = json.loads(line)
                self.done[tuple(case["key"])] = case
            except (json.JSONDecodeError, KeyError):
                continue

    def get(self, key: tuple[Any, ...], make: Callable[[], Case]) -> Case:
        """The case of that key, made and kept if it is not there."""
        if key not in self.done:
            case = {"key": key, **make()}
            with self.path.open("a") as file:
                file.write(json.dumps(case) + "\n")
            self.done[key] = case
            print(*key, file=sys.stderr)
        return self.done[key]


@dataclass(frozen=True)
class Truth:
    """The full search of an optimizer on a task: the median loss at each rate, and the rate that is best."""

    rates: list[float]
    losses: list[float]
    initial: float
    best: float

    def near(self, rate: float | None) -> bool:
        """Whether a rate is at most three times off."""
        return rate is not None and 1 / NEAR <= rate / self.best <= NEAR

    def good(self, rate: float | None) -> bool:
        """Whether a full run with that rate learns 90 % as much as with the best, by the line between tried rates."""
        found = basin(self.rates, self.losses, initial=self.initial)
        return rate is not None and found is not None and found.low <= rate <= found.high


class Table:
    """All cases of some tasks."""

    def __init__(self, cases: Cases, seeds: int, searched: int):
        self.cases, self.seeds, self.searched, self.finders = cases, seeds, searched, finders()
        self.truths: dict[tuple[str, str], Truth] = {}
        self.found: dict[tuple[str, str, str], list[Case]] = {}
        self.full: dict[str, int] = {}

    def fill(self, names: Any) -> None:
        """Make what is not there yet, task by task."""
        for name in names:
            try:
                task = tasks.named[name](None)
            except DataError as error:
                print(f"left out {name}: {error}", file=sys.stderr)
                continue
            self.full[name] = task.steps()
            for optimizer in OPTIMIZERS:
                self._fill(task, optimizer)

    def _fill(self, task: Task, optimizer: str) -> None:
        place = (task.name, optimizer)
        words = hashlib.sha256(f"{task.about} {task.steps()} {task.batch}".encode()).hexdigest()[:8]
        searched = self.cases.get(
            ("full search", words, *place, self.searched), lambda: full_search(task, optimizer, self.searched)
        )
        best = best_rate(searched["rates"], searched["losses"], 0.0, searched["initial"])
        rate = best.rate or best.lowest
        assert rate is not None
        losses = [math.inf if x is None else x for x in searched["losses"]]
        self.truths[place] = Truth(searched["rates"], losses, searched["initial"], rate)
        for finder in self.finders:
            if finder.version is not None:
                key = (finder.name, f"{finder.version} {words}", *place)
                self.found[finder.name, *place] = [
                    self.cases.get((*key, seed), lambda f=finder, s=seed: f.timed(task, optimizer, s))
                    for seed in range(self.seeds)
                ]

    def share(self, finder: Finder, judge: Callable[[Truth, float | None], bool]) -> float:
        """The share of a finder's cases that are as `judge` says."""
        return statistics.mean(
            judge(self.truths[p], c["rate"]) for p in self.truths for c in self.found[finder.name, *p]
        )

    def cost(self, finder: Finder) -> tuple[float, float]:
        """Steps that a finder takes, in full runs: the mean and the most."""
        each = [c["steps"] / self.full[p[0]] for p in self.truths for c in self.found[finder.name, *p]]
        return statistics.mean(each), max(each)

    def rows(self) -> Iterator[Row]:
        """The shares as rows of `stepwell bench`."""
        own, *others = self.finders
        share, (mean, most) = self.share(own, Truth.near), self.cost(own)
        count = len(self.truths) * self.seeds
        detail = f"{share:.0%} of {count} within 3× of the best, at {mean:.2f} full runs, at most {most:.2f}"
        yield Row(name=own.name, ratio=None, peer="a full search", limit=share, floor=PROMISE, detail=detail)
        for other in others:
            if other.version is None:
                yield Row(name=f"{own.name} and {other.name}", ratio=None, peer=other.name, limit=None, floor=None,
                          detail="not installed")  # fmt: skip
                continue
            theirs = self.share(other, Truth.near)
            ratio = share / theirs if theirs else math.inf
            detail = f"{share:.0%} against {theirs:.0%} within 3×"
            yield Row(name=f"{own.name} and {other.name}", ratio=ratio, peer=other.name, limit=None, floor=1.0,
                      detail=detail)  # fmt: skip

    def page(self) -> str:
        """The tables, in Markdown."""
        return "\n".join([*self._shares(), "", *self._places(), ""])

    def _shares(self) -> Iterator[str]:
        yield "| | within 3× of the best | learns 90 % as much | too low | too high | no answer | full runs, most |"
        yield "|---|---|---|---|---|---|---|"
        for finder in self.finders:
            if finder.version is None:
                yield f"| {finder.name} | not installed | | | | | |"
                continue
            low = self.share(finder, lambda truth, rate: rate is not None and rate < truth.best / NEAR)
            high = self.share(finder, lambda truth, rate: rate is not None and rate > truth.best * NEAR)
            none = self.share(finder, lambda _, rate: rate is None)
            shares = [self.share(finder, Truth.near), self.share(finder, Truth.good), low, high, none]
            mean, most = self.cost(finder)
            yield f"| {finder.name} | {' | '.join(f'{x:.0%}' for x in shares)} | {mean:.2f}, {most:.2f} |"

    def _places(self) -> Iterator[str]:
        there = [finder for finder in self.finders if finder.version is not None]
        yield f"| task, steps of a run | optimizer | best rate | {' | '.join(f.name for f in there)} |"
        yield f"|---|---|---|{'---|' * len(there)}"
        for place, truth in self.truths.items():
            cells = [self._cell(finder, place, truth) for finder in there]
            yield f"| {place[0]}, {self.full[place[0]]} | {place[1]} | {truth.best:.2g} | {' | '.join(cells)} |"

    def _cell(self, finder: Finder, place: tuple[str, str], truth: Truth) -> str:
        """How many of the seeds are near, and by what factor the median is off."""
        rates = [c["rate"] for c in self.found[finder.name, *place] if c["rate"] is not None]
        near = sum(truth.near(rate) for rate in rates)
        off = f"×{statistics.median(rates) / truth.best:.2g}" if rates else "none"
        return f"{near} of {self.seeds}, {off}"


def full_search(task: Task, optimizer: str, seeds: int) -> Case:
    """Median losses of whole runs at each rate."""
    runs = list(Search(task, [optimizer], RATES, range(100, 100 + seeds), workers=1))
    losses: dict[float, list[float]] = {}
    for run in runs:
        losses.setdefault(run.lr, []).append(run.cost)
    medians = {lr: float(np.median(each)) for lr, each in sorted(losses.items())}
    return {
        "rates": list(medians),
        "losses": [x if math.isfinite(x) else None for x in medians.values()],
        "initial": float(np.median([run.curve["loss"][0] for run in runs])),
        "runs": len(runs),
        "seconds": round(sum(run.seconds for run in runs), 3),
    }


def _written(page: Path, tables: str) -> None:
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}")


def _command() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two tasks, 2 seeds, nothing kept")
    parser.add_argument("--tasks", default=",".join(tasks.named), help="with commas between")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=OUT, help="folder that keeps the cases")
    parser.add_argument("--page", type=Path, help="a page to write the tables into")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Cases(Path(folder)), 2, 3) if given.quick else Table(Cases(given.out), given.seeds, SEARCHED)
        table.fill(QUICK if given.quick else given.tasks.split(","))
        print(table.page())
    if given.page:
        _written(given.page, table.page())


if __name__ == "__main__":
    _command()
