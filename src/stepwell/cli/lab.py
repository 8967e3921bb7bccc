"""What the commands of the lab share: which task is meant, where results go, and how a search is watched."""

import functools
import importlib
import math
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwell.cli.common import console, fail, one_of

if TYPE_CHECKING:
    from stepwell.lab.sweeps.results import Results
    from stepwell.lab.sweeps.search import Search
    from stepwell.lab.task import Task

KEEP_EVERY = 5.0  # seconds between two interim results.json

TaskName = Annotated[str, typer.Argument(help="What to train: a bundled task, or MODULE:TASK of your own.")]
Only = Annotated[str, typer.Option("--optimizers", "--only", help="These alone, with commas between: adam,lion.")]
Seeds = Annotated[int, typer.Option(min=1, help="Seeds of weights, data order and dropout, from 0.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the data; each task has its own default.")]
DataPlace = Annotated[Path | None, typer.Option("--data", help="The task's data file, or a folder that has it.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the results (stepwell-results/TASK).")]
Workers = Annotated[int, typer.Option(min=0, help="Processes, at most; 0: one for each processor where that pays.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]


def task_of(name: str, data: Path | None) -> "Task":
    """The bundled task of that name, or `task` of `package.module:task`: a Task, or a function that makes one."""
    from stepwell.lab import tasks
    from stepwell.lab.data import DataError
    from stepwell.lab.task import Task

    if ":" not in name:
        try:
            return one_of("task", name, tasks.named)(data)
        except (DataError, ValueError, OSError) as error:
            fail(error)
    found = _imported(name)
    try:
        task = found() if callable(found) else found
    except Exception as error:  # of the user's function
        fail(f"{name}, called without arguments, fails: {type(error).__name__}: {error}")
    if not isinstance(task, Task):
        fail(f"{name} must be a stepwell.lab.Task or a function that makes one; got {type(task).__name__}")
    return task


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())  # as `python -m` has it, and as long: what is imported later, and by workers, is here too
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name in (module, module.partition(".")[0]):
            fail(f"there is no module {module!r} here or on Python's path; a task is MODULE:TASK")
        fail(f"{module} cannot be imported: {type(error).__name__}: {error}")
    if not hasattr(found, attribute):
        fail(f"module {module} has no {attribute!r}")
    return getattr(found, attribute)


def split(names: str) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def folder_of(out: Path | None, called: str) -> Path:
    """The folder of results, made; called as the tasks where no other is given."""
    from stepwell.pages.report import file_name

    folder = out or Path("stepwell-results") / file_name(called)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--out {folder}: {error.strerror}")
    return folder


def keep(search: "Search", url: str, begin: str, resume: bool, study: str = "", join: bool = False) -> None:
    """Keep a search's runs in the study of that name; without one in the last that begins so, or in a new one.

    Processes that join without a name share the study that has just the beginning for its name.
    """
    from stepwell.lab.store.study import SettingsError, Store, StoreError
    from stepwell.lab.task import TaskError

    if join:
        study = study or begin
    try:
        there = Store.names(url, begin, search.task.name) if resume and not study else []
        if resume and not study and not there:
            fail(f"--resume: {url} has no study {begin!r}")
        name = study or (there[-1] if resume else f"{begin} {datetime.now():%Y-%m-%d %H:%M:%S.%f}")
        search.keep_in(Store.open(url, name, search.settings(), resume=resume, join=join))
    except SettingsError as error:
        fail(error if study else f"{error}; so does the same command without --resume")
    except (StoreError, TaskError) as error:
        fail(error)


def watched(search: "Search", results: "Results", folder: Path, quiet: bool) -> int:
    """Make all runs, keeping results.json up to date; the exit code."""
    from stepwell.lab.store.study import StoreError
    from stepwell.lab.task import TaskError
    from stepwell.lab.training.crew import WorkerError
    from stepwell.pages import progress

    err = console(stderr=True, markup=False)
    err.quiet = quiet
    progress.announce(search, err)
    kept = time.monotonic()
    try:
        for _ in progress.shown(results.gather(search), search, err):
            if time.monotonic() - kept > KEEP_EVERY:
                kept = time.monotonic() if written(results.write, folder) else math.inf
    except KeyboardInterrupt:
        return 130
    except (TaskError, StoreError, WorkerError) as error:
        typer.echo(f"stepwell: {error}", err=True)
        return 2
    finally:
        if results.runs and kept < math.inf:
            written(results.write, folder)
    return 0


def written(write: Callable[[Path], object], folder: Path) -> bool:
    """Write into the folder; a full disk is said, and ends nothing."""
    try:
        write(folder)
    except OSError as error:
        typer.echo(f"stepwell: the results cannot be kept in {folder}: {error}", err=True)
        return False
    return True


def show(results: "Results", folder: Path, quiet: bool, as_json: bool) -> bool:
    """Write the report, print ranking, answer and lines to paste; whether the report could be written."""
    from stepwell.lab.sweeps import answer
    from stepwell.pages import progress, report, tables

    err = console(stderr=True, markup=False)
    if not results.runs:
        err.print("nothing was trained, and nothing written", highlight=False)
        return True
    done = written(functools.partial(report.make, results), folder)
    err.quiet = quiet or not done
    progress.conclude(results, f"{folder / report.HTML}, or report.md beside it", err)
    if as_json:
        typer.echo(results.json(), nl=False)
        return done
    out = console(markup=False)
    out.print(tables.ranking(results, out.width))
    for note in tables.notes(results):
        out.print(note, soft_wrap=True)
    out.print(f"\n{answer.sentence(results)}", soft_wrap=True)
    if paste := answer.lines(results):
        out.print("\n" + "\n".join(f"    {line}" for line in paste.splitlines()), soft_wrap=True)
    return done
