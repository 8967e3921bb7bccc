"""stepwell doctor."""

from pathlib import Path
from typing import Annotated

import typer

from stepwell.cli import lab
from stepwell.cli.common import Json, console, fail


def doctor(
    task: lab.TaskName,
    optimizer: Annotated[str, typer.Argument(help="A rule, such as adam (the task's own, or adam).")] = "",
    lr: Annotated[float | None, typer.Option(help="The learning rate (the optimizer's own).")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps to watch (a whole run, 1000 at most).")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, data order and dropout.")] = 0,
    every: Annotated[int, typer.Option(help="Steps from one sample to the next.")] = 20,
    prove: Annotated[
        bool, typer.Option("--prove", help="Go on from where a fault is seen with each cure, 50 steps each.")
    ] = False,
    data: lab.DataPlace = None,
    out: Annotated[Path | None, typer.Option(help="Folder for doctor.json and report.html.")] = None,
    quiet: lab.Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a task with a doctor beside it: what is wrong with the training, why, what to do, and whether it helps.

    Prints findings with evidence and cure; that nothing is wrong is an answer, too. With --out a folder has the numbers
    (doctor.json) and a page that shows them (report.html).
    """
    from stepwell.lab import examine
    from stepwell.lab.documents import dump
    from stepwell.lab.task import describe
    from stepwell.pages import html, report

    chosen = lab.task_of(task, data)
    err = console(stderr=True, markup=False)
    err.quiet = quiet
    try:
        err.print(describe(chosen), soft_wrap=True)
        options = {"lr": lr, "steps": steps, "seed": seed, "every": every, "prove": prove}
        with err.status("training") as status:
            found = examine(chosen, optimizer or None, tell=lambda words: status.update(words), **options)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (TypeError, ValueError) as error:
        fail(error)
    written = True
    if out is not None:
        folder = lab.folder_of(out, chosen.name)
        page = folder / report.HTML
        written = lab.written(found.write, folder) and lab.written(lambda at: html.write(page, [at]), folder)
        if written:
            err.print(f"wrote {folder / 'doctor.json'} and {page}", soft_wrap=True)
    if as_json:
        typer.echo(dump(found.content))
    else:
        shown = console(markup=False)
        shown.print(str(found), soft_wrap=True)
    raise typer.Exit(0 if written else 1)
