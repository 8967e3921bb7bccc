"""The command line: data on stdout, all else on stderr; 2 is the exit code of a mistake, 130 of Ctrl-C."""

import ast
import functools
import inspect
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

import stepwell

if TYPE_CHECKING:
    from rich.console import Console

    from stepwell.lab.results import Results
    from stepwell.lab.search import Search

KEEP_EVERY = 5.0  # seconds between two interim results.json
DRAWN = 1_000_000  # steps of a schedule, at most
PAYS = 60  # runs from which on worker processes are worth their start

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Every gradient-descent optimizer: which one, at which rate, on which schedule.",
)
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stepwell {stepwell.__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]


def _fail(message: object) -> NoReturn:
    typer.echo(f"stepwell: {message}", err=True)
    raise typer.Exit(2)


def _one_of(kind: str, name: str, known: Any) -> Any:
    from stepwell.lab.names import unknown

    if name not in known:
        _fail(unknown(kind, name, known))
    return known[name]


def _console(stderr: bool = False) -> "Console":
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 200  # a file or a pipe is as wide as what is written
    return console


@app.command()
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

    make = _one_of("task", task, tasks.named)
    names = [name.strip() for name in only.split(",") if name.strip()] or None
    try:
        search = Search(make(data), names, rates, seeds, epochs, workers or 1)
        folder = out or Path("stepwell-results") / task
        folder.mkdir(parents=True, exist_ok=True)
    except (DataError, ValueError, OSError) as error:
        _fail(error)
    if not workers and search.planned >= PAYS:
        search.workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    results = Results.of(search)
    code = _train(search, results, folder, quiet)
    raise typer.Exit(code if _show(results, folder, quiet, as_json) else code or 1)


def _train(search: "Search", results: "Results", folder: Path, quiet: bool) -> int:
    """Make all runs, keeping results.json up to date; the exit code."""
    from stepwell.pages import progress

    console = _console(stderr=True)
    console.quiet = quiet
    progress.announce(search, console)
    kept = time.monotonic()
    try:
        for _ in progress.shown(results.gather(search), search, console):
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
        _console(stderr=True).print("interrupted before the first run had ended; nothing was written")
        return True
    written = _kept(functools.partial(report.make, results), folder)
    console = _console(stderr=True)
    console.quiet = quiet or not written
    progress.conclude(results, str(folder / "report.md"), console)
    if as_json:
        typer.echo(results.json(), nl=False)
        return written
    out = _console()
    out.print(tables.ranking(results, out.width))
    for note in tables.notes(results):
        out.print(note, soft_wrap=True)
    return written


@app.command()
def rules(
    name: Annotated[str | None, typer.Argument(help="One rule alone.")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="The formula as LaTeX.")] = False,
    as_json: Json = False,
) -> None:
    """Show every rule: formula, state, hyperparameters with their domains, reference."""
    from stepwell.pages import rulebook
    from stepwell.rules import named

    chosen = list(named.values()) if name is None else [_one_of("rule", name, named)]
    if as_json:
        found = [rulebook.facts(rule) | ({"latex": rule.latex()} if latex else {}) for rule in chosen]
        typer.echo(json.dumps(found if name is None else found[0], indent=1, ensure_ascii=False))
    elif latex:
        typer.echo("\n".join(rule.latex() if name else f"% {rule.name}\n{rule.latex()}" for rule in chosen))
    else:
        typer.echo("\n\n".join(map(rulebook.entry, chosen)))


@app.command()
def schedule(
    name: Annotated[str, typer.Argument(help="A schedule's name, such as cosine.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Its arguments.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps to draw (its own length).")] = None,
    out: Annotated[Path | None, typer.Option(help="Draw it into a .png or .svg file, too.")] = None,
) -> None:
    """Draw a learning-rate schedule in the terminal, and as a picture.

    Arguments that the schedule needs and that are not given are those of an example; its `steps` are --steps.
    """
    from stepwell import schedules
    from stepwell.pages import figures, style, terminal

    maker = _one_of("schedule", name, schedules.named())
    if out and out.suffix.lstrip(".") not in style.FORMATS:
        _fail(f"--out must end in .{' or .'.join(style.FORMATS)}; got {out}")
    known = inspect.signature(maker).parameters
    given = _keywords(arguments or [])
    for key in given:
        _one_of(f"argument of {name}", key, known)
    if steps and "steps" in known:
        given.setdefault("steps", steps)
    try:
        chosen = schedules.example(name, **given)
    except (TypeError, ValueError) as error:
        _fail(error)
    count = steps or chosen.length or 100
    if count > DRAWN:
        _fail(f"steps to draw must be at most {DRAWN:,}; got {count:,}; --steps says how many")
    values = [float(chosen(k)) for k in range(count)]
    if out:
        try:
            style.save(figures.schedule(values, str(chosen)), out)
        except OSError as error:
            _fail(f"cannot write {out}: {error}")
        typer.echo(f"wrote {out}", err=True)
    typer.echo(chosen)
    typer.echo(terminal.plot(values, min(_console().width, 100), 16))


def _keywords(arguments: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not (key.isidentifier() and equals):
            _fail(f"an argument must be written key=value; got {argument!r}")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value  # a word
    return found


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="These benchmarks alone.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller, rougher, faster.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a figure is below its promise.")] = False,
    as_json: Json = False,
) -> None:
    """Measure this machine: each figure as a ratio against a named peer, with the physical limit beside it."""
    from stepwell.lab import bench as benchmarks
    from stepwell.pages import tables

    known = benchmarks.modules()
    paths = [_one_of("benchmark", name, known) for name in names or known]
    if not paths:
        _fail("the benchmarks were not installed with this package")
    found = []
    for row in benchmarks.run(paths, quick):
        found.append(row)
        typer.echo(f"measured {row['name']}", err=True)
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        _console().print(tables.benchmarks(found))
    if strict and any(benchmarks.kept(row) is False for row in found):
        raise typer.Exit(1)
