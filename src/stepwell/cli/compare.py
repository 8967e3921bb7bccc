"""stepwell compare."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepwell.cli import lab
from stepwell.cli.common import Json, console, fail

if TYPE_CHECKING:
    from stepwell.lab.comparisons.comparison import Comparison
    from stepwell.lab.comparisons.contest import Contest
    from stepwell.lab.sweeps.search import Search

TaskNames = Annotated[list[str], typer.Argument(help="What to train: bundled tasks, or MODULE:TASK of your own.")]


def compare(
    tasks: TaskNames,
    optimizers: lab.Only = "",
    trials: Annotated[int, typer.Option(min=1, help="Settings of each optimizer that are tried.")] = 12,
    seeds: Annotated[int, typer.Option(help="Fresh seeds of each optimizer's best setting.")] = 10,
    tuning_seeds: Annotated[int, typer.Option(min=1, help="Seeds of each setting that is tried.")] = 3,
    sampler: Annotated[
        str, typer.Option(help="grid of learning rates; or qmc, tpe: of more, from 10 trials on.")
    ] = "grid",
    level: Annotated[float, typer.Option(help="Share of comparisons of equals that claim nothing.")] = 0.95,
    epochs: lab.Epochs = None,
    storage: Annotated[str, typer.Option(help="Optuna storage: a URL, or a .log file (study.db in the folder).")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last comparison in the storage.")] = False,
    data: lab.DataPlace = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results (stepwell-results/compare-TASK).")] = None,
    workers: lab.Workers = 0,
    quiet: lab.Quiet = False,
    as_json: Json = False,
) -> None:
    """Say which optimizer is better, and how sure that is: equal tuning budgets, fresh paired seeds, an A/A run.

    Prints a ranked table with intervals and ties, the answer and what speaks against it; writes comparison.json,
    report.html, report.md and pictures into a folder, and every run into an Optuna study. Ctrl-C keeps what is done,
    and --resume goes on.
    """
    from stepwell.lab.comparisons.compare import planned
    from stepwell.lab.store.storages import beside
    from stepwell.lab.sweeps.sweep import USUAL

    if data and len(tasks) > 1:
        fail("--data is of one task; with several, STEPWELL_DATA says where their files are")
    chosen = [lab.task_of(name, data) for name in tasks]
    options = {"trials": trials, "seeds": seeds, "tuning_seeds": tuning_seeds, "sampler": sampler, "level": level}
    try:
        searches = planned(chosen, lab.split(optimizers) or USUAL, epochs=epochs, workers=workers or None, **options)
    except (ValueError, TypeError) as error:
        fail(error)
    folder = lab.folder_of(out, f"compare-{'-'.join(task.name for task in chosen)}")
    for search in searches:
        lab.keep(search, storage or beside(folder), f"compare:{search.task.name}", resume)
    comparison, code = _watched(searches, folder, quiet)
    if not comparison.runs:
        typer.echo("nothing was trained, and nothing written", err=True)
        raise typer.Exit(code)
    raise typer.Exit(code if _show(comparison, folder, quiet, as_json) else code or 1)


def _watched(searches: "list[Search]", folder: Path, quiet: bool) -> "tuple[Comparison, int]":
    """Make all runs, keeping comparison.json up to date; what came of them, and the exit code."""
    from stepwell.lab.comparisons.compare import Growing
    from stepwell.lab.comparisons.comparison import Comparison
    from stepwell.lab.names import count

    contests: list[Contest] = []
    code, err = 0, console(stderr=True, markup=False)
    err.quiet = quiet
    settings = searches[0].settings()
    fresh = count(len(settings["confirmation"]), "fresh seed")
    err.print(
        f"first the tuning, then the best of each on {fresh}, then the first of them on as many more", soft_wrap=True
    )
    for search in searches:
        growing = Growing.of(search)
        growing.before = tuple(contests)
        code = lab.watched(search, growing, folder, quiet)
        contests.append(growing.contest())
        if code:
            break
    comparison = Comparison(contests)
    if comparison.runs:
        state = "interrupted" if code == 130 else "done" if not code else "ended early"
        runs = count(len(comparison.runs), "run")
        err.print(f"{state}: {runs} in {comparison.wall_seconds:.1f} s", soft_wrap=True)
    return comparison, code


def _show(comparison: "Comparison", folder: Path, quiet: bool, as_json: bool) -> bool:
    """Write the report, print tables, answers, lines to paste and warnings; whether the report could be written."""
    from stepwell.lab.comparisons import advice
    from stepwell.pages import comparison as page
    from stepwell.pages import report

    done = lab.written(functools.partial(page.make, comparison), folder)
    if done and not quiet:
        typer.echo(f"see {folder / report.HTML}, or report.md beside it", err=True)
    if as_json:
        typer.echo(comparison.json(), nl=False)
        return done
    out = console(markup=False)
    for contest in comparison.contests:
        if len(comparison.contests) > 1:
            out.print(f"\n{contest.name}")
        if contest.judgement:
            out.print(page.table(contest, out.width))
        for line in [*page.notes(contest), "", advice.sentence(contest)]:
            out.print(line, soft_wrap=True)
        for text in advice.warnings(contest):
            out.print(f"Warning: {text}", soft_wrap=True)
        if paste := advice.lines(contest):
            out.print("\n" + "\n".join(f"    {line}" for line in paste.splitlines()), soft_wrap=True)
    return done
