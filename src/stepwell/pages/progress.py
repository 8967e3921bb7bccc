"""How far a comparison is: a live bar in a terminal, else a line every several seconds."""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from stepwell.lab.names import count
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.search import Search
from stepwell.lab.trial import Run

if TYPE_CHECKING:
    from rich.console import Console

SECONDS = 5.0


def shown(runs: Iterable[Run], search: Search, console: "Console") -> Iterator[Run]:
    """The same runs, one by one, with the state of things on the console."""
    return _live(runs, search, console) if console.is_terminal else _lines(runs, search, console)


def announce(search: Search, console: "Console") -> None:
    """What is about to be trained, in a line."""
    chosen = search.asked["trials"] or search.asked["rates"]
    what = "choice of a sampler" if search.asked["trials"] else "learning rate"
    plural = "choices of a sampler" if what.startswith("choice") and chosen != 1 else None
    kept = f"; {count(len(search.done), 'run')} of them kept from before" if search.done else ""
    console.print(
        f"{search.task.name}: {count(len(search.optimizers), 'optimizer')} × "
        f"{f'{chosen} {plural}' if plural else count(chosen, what)} × {count(len(search.seeds), 'seed')}, "
        f"runs of {count(search.steps, 'step')}{', by successive halving' if search.asked['halving'] else ''}{kept}",
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

    numbers = bars.TextColumn("{task.fields[runs]}"), bars.TimeElapsedColumn(), bars.TimeRemainingColumn()
    words = bars.TextColumn("{task.description}", markup=False)  # which may be those of an error
    with bars.Progress(bars.BarColumn(), *numbers, words, console=console, transient=True) as progress:
        bar = progress.add_task("measuring how to train them best", total=search.planned, runs="")

        def shown(done: float) -> None:
            total = max(search.planned, len(search.done))
            reason = search.way.reason if search.way else ""
            progress.update(bar, completed=done, total=total, description=reason, runs=f"{int(done)}/{total} runs")

        search.tell = shown
        for run in runs:
            shown(len(search.done))
            yield run


def _lines(runs: Iterable[Run], search: Search, console: "Console") -> Iterator[Run]:
    began = said = time.monotonic()

    def shown(done: float) -> None:
        nonlocal said
        if time.monotonic() - said > SECONDS:
            said = time.monotonic()
            console.print(f"{int(done)} of {search.planned} runs, {said - began:.0f} s", highlight=False)

    search.tell = shown
    for run in runs:
        shown(len(search.done))
        yield run
