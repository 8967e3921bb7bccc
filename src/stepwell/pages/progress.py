"""How far a comparison is: a live bar in a terminal, else a line every several seconds."""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from stepwell.lab.names import count
from stepwell.lab.results import Results
from stepwell.lab.search import Search
from stepwell.lab.train import Run

if TYPE_CHECKING:
    from rich.console import Console

SECONDS = 5.0


def shown(runs: Iterable[Run], search: Search, console: "Console") -> Iterator[Run]:
    """The same runs, one by one, with the state of things on the console."""
    return _live(runs, search, console) if console.is_terminal else _lines(runs, search, console)


def announce(search: Search, console: "Console") -> None:
    """What is about to be trained, in a line."""
    rates, seeds = len({(j.optimizer, j.lr) for j in search.jobs}) // len(search.optimizers), len(search.seeds)
    console.print(
        f"{search.task.name}: {count(len(search.optimizers), 'optimizer')} × {count(rates, 'learning rate')} × "
        f"{count(seeds, 'seed')} = {count(search.planned, 'run')} of {search.task.steps(search.epochs)} steps, "
        f"and rates beyond the grid where its edge is best; {count(search.workers, 'worker')}",
        highlight=False,
        soft_wrap=True,
    )


def conclude(results: Results, where: str, console: "Console") -> None:
    """What came of it, in a line."""
    state = "done" if results.complete else "interrupted"
    text = f"{state}: {count(len(results.runs), 'run')} in {results.wall_seconds:.1f} s; see {where}"
    console.print(text, highlight=False, soft_wrap=True)


def _live(runs: Iterable[Run], search: Search, console: "Console") -> Iterator[Run]:
    from rich import progress as bars

    numbers = bars.MofNCompleteColumn(), bars.TimeElapsedColumn(), bars.TimeRemainingColumn()
    with bars.Progress(bars.BarColumn(), *numbers, "{task.description}", console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=search.planned)
        for run in runs:
            progress.update(bar, advance=1, total=search.planned, description=f"{run.optimizer} {run.lr:g}")
            yield run


def _lines(runs: Iterable[Run], search: Search, console: "Console") -> Iterator[Run]:
    began = said = time.monotonic()
    for number, run in enumerate(runs, 1):
        if time.monotonic() - said > SECONDS:
            said = time.monotonic()
            console.print(f"{number} of {search.planned} runs, {said - began:.0f} s", highlight=False)
        yield run
