"""stepwell compare."""

import functools
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepwell.cli.common import Json, console, fail, one_of

if TYPE_CHECKING:
    from stepwell.lab.results import Results
    from stepwell.lab.search import Search

KEEP_EVERY = 5.0  # seconds between two interim results.json
PAYS = 60  # runs from which on worker processes are worth their start


def compare(
    task: Annotated[str, typer.Argument(help="What to train: digits or airfoil.")],
    only: Annotated[str, typer.Option(help="These optimizers alone, with commas between: adam,lion.")] = "",
    rates: Annotated[int, typer.Option(min=1, help="Learning rates of the grid around each rule's default.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of weights and data order, from 0.")] = 3,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the data; each task has its own default.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The task's data file, or a folder that has it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results (stepwell-results/TASK).")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one for each processor where that pays.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Train a task with every optimizer, each at its own grid of learning rates, and rank them.

    Prints the ranking; writes results.json, report.md and pictures into a folder. Ctrl-C keeps what is done.
    """
    from stepwell.lab import tasks
    from stepwell.lab.data import DataError
    from stepwell.lab.results import Results
    from stepwell.lab.search import Search

    make = one_of("task", task, tasks.named)
    names = [name.strip() for name in only.split(",") if name.strip()] or None
    try:
        search = Search(make(data), names, rates, seeds, epochs, workers or 1)
        folder = out or Path("stepwell-results") / task
        folder.mkdir(parents=True, exist_ok=True)
    except (DataError, ValueError, OSError) as error:
        fail(error)
    if not workers and search.planned >= PAYS:
        search.workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    results = Results.of(search)
    code = _train(search, results, folder, quiet)
    raise typer.Exit(code if _show(results, folder, quiet, as_json) else code or 1)


def _train(search: "Search", results: "Results", folder: Path, quiet: bool) -> int:
    """Make all runs, keeping results.json up to date; the exit code."""
    from stepwell.pages import progress

    err = console(stderr=True)
    err.quiet = quiet
    progress.announce(search, err)
    kept = time.monotonic()
    try:
        for _ in progress.shown(results.gather(search), search, err):
            if time.monotonic() - kept > KEEP_EVERY:
                kept = time.monotonic() if _kept(results.write, folder) else math.inf
    except KeyboardInterrupt:
        return 130
    finally:
        if results.runs and kept < math.inf:
            _kept(results.write, folder)
    return 0


def _kept(write: Callable[[Path], object], folder: Path) -> bool:
    """Write into the folder; a full disk is said, and ends nothing."""
    try:
        write(folder)
    except OSError as error:
        typer.echo(f"stepwell: the results cannot be kept in {folder}: {error}", err=True)
        return False
    return True


def _show(results: "Results", folder: Path, quiet: bool, as_json: bool) -> bool:
    """Write the report and print the ranking; whether the report could be written."""
    from stepwell.pages import progress, report, tables

    if not results.runs:
        console(stderr=True).print("interrupted before the first run had ended; nothing was written")
        return True
    written = _kept(functools.partial(report.make, results), folder)
    err = console(stderr=True)
    err.quiet = quiet or not written
    progress.conclude(results, str(folder / "report.md"), err)
    if as_json:
        typer.echo(results.json(), nl=False)
        return written
    out = console()
    out.print(tables.ranking(results, out.width))
    for note in tables.notes(results):
        out.print(note, soft_wrap=True)
    return written
