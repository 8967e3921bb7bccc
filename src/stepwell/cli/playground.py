"""stepwell playground."""

import inspect
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepwell.cli import lab
from stepwell.cli.common import console, fail

if TYPE_CHECKING:
    from stepwell.lab.landscapes.grid import Landscape


def playground(
    task: Annotated[str, typer.Option(help="Your own loss too: a bundled task, or MODULE:TASK.")] = "",
    optimizer: Annotated[str, typer.Option(help="With --task: what trains its model before.")] = "adam",
    lr: Annotated[float | None, typer.Option(help="Its learning rate (the rule's default).")] = None,
    steps: Annotated[int | None, typer.Option(min=0, help="Its steps (the task's own, at most 200).")] = None,
    directions: Annotated[str, typer.Option(help="path: the plane of that training's path; or random.")] = "path",
    points: Annotated[int, typer.Option(min=4, help="Points of the plane, each way.")] = 31,
    seed: Annotated[int, typer.Option(min=0, help="Seed of that training.")] = 0,
    data: lab.DataPlace = None,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("playground.html"),
    open_it: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open it in a browser; so it is in a terminal.")
    ] = None,
    quiet: lab.Quiet = False,
) -> None:
    """Write a page on which optimizers run down surfaces, live: drag the start, move the rates, step by step.

    One file that needs no network. With --task, a slice of that task's own loss is among the surfaces.
    """
    from stepwell.files import write
    from stepwell.pages.playground import page

    plane, lines = None, []
    if task:
        asked = {"lr": lr, "steps": steps, "directions": directions, "points": points, "seed": seed}
        plane = _measured(task, data, optimizer, asked, quiet)
        lines = _python(task, data, optimizer, asked)
    try:
        write(out, page(plane, lines))
    except OSError as error:
        fail(f"cannot write {out}: {error}")
    typer.echo(f"wrote {out}", err=True)
    if sys.stdout.isatty() if open_it is None else open_it:
        webbrowser.open(out.resolve().as_uri())


def _measured(task: str, data: Path | None, optimizer: str, asked: dict[str, object], quiet: bool) -> "Landscape":
    """The plane, with what it is at on stderr."""
    from rich import progress as bars

    from stepwell.lab import landscape

    chosen = lab.task_of(task, data)
    err = console(stderr=True, markup=False)
    err.quiet = quiet
    if not err.is_terminal:
        err.print(f"{chosen.name}: a short training, and its loss on a plane", soft_wrap=True)
    columns = bars.TextColumn("{task.description}"), bars.BarColumn(), bars.TimeRemainingColumn()
    try:
        with bars.Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
            made = {what: progress.add_task(what, total=None) for what in ("training", "measuring")}

            def tell(what: str, done: int, total: int) -> None:
                progress.update(made[what], completed=done, total=total)

            return landscape(chosen, optimizer, **asked, tell=tell)  # pyright: ignore[reportArgumentType]
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (TypeError, ValueError) as error:
        fail(error)


def _python(task: str, data: Path | None, optimizer: str, asked: dict[str, object]) -> list[str]:
    """Lines that make the same plane."""
    from stepwell.lab import landscape

    usual = inspect.signature(landscape).parameters
    given = [f"{key}={value!r}" for key, value in asked.items() if value != usual[key].default]
    module, _, name = task.partition(":")
    if name:
        made = callable(getattr(sys.modules[module], name))
        imports, call = [f"from {module} import {name}"], f"{name}()" if made else name
    else:
        imports, call = ["from stepwell.lab import tasks"], f"tasks.{task}()"
    if data is not None and not name:
        imports, call = ["from pathlib import Path", *imports], f"tasks.{task}(Path({str(data)!r}))"
    return [
        "from stepwell.functions import minimize",
        *imports,
        "from stepwell.lab import landscape",
        "",
        f"plane = landscape({', '.join([call, repr(optimizer), *given])})",
    ]
