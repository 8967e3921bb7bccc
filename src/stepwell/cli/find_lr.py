"""stepwell find-lr."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepwell.cli import lab
from stepwell.cli.common import Json, console, fail, keep_picture

if TYPE_CHECKING:
    from stepwell.lab.rates.found_rate import FoundRate

KEPT = ".json"


def find_lr(
    task: lab.TaskName,
    optimizer: Annotated[str, typer.Argument(help="A rule, such as adam.")] = "adam",
    seeds: Annotated[int, typer.Option(min=0, help="Seeds; 0: as many as there is time for.")] = 0,
    budget: Annotated[float, typer.Option(help="What it may cost, in full runs for each seed.")] = 1.1,
    rates: Annotated[int, typer.Option(help="Rates of the first round, over four decades.")] = 7,
    middle: Annotated[float | None, typer.Option(help="The rate that they are about (the rule's default).")] = None,
    method: Annotated[str, typer.Option(help="sweep; or range, the classic range test: quick, often wrong.")] = "sweep",
    data: lab.DataPlace = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, at most.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Draw the losses into a .png or .svg file, too; or keep all in a .json file, for `stepwell report`."
        ),
    ] = None,
    quiet: lab.Quiet = False,
    as_json: Json = False,
) -> None:
    """Find a learning rate for full runs of a task by short ones, at about the cost of one run.

    Prints the rate to paste, how sure it is, the rates that do nearly as well, and the rate from which training fails;
    "no clear answer", with the reason, is an answer too.
    """
    from stepwell.lab import find_lr as search
    from stepwell.lab.task import describe
    from stepwell.lab.training.crew import WorkerError
    from stepwell.pages import found_rate
    from stepwell.pages.style import FORMATS

    if out and out.suffix not in (kinds := [*(f".{name}" for name in FORMATS), KEPT]):
        fail(f"--out must end in {' or '.join(kinds)}; got {out}")
    chosen = lab.task_of(task, data)
    err = console(stderr=True, markup=False)
    err.quiet = quiet
    try:
        err.print(f"{describe(chosen)}: short runs of {optimizer}", soft_wrap=True)
        options = {"seeds": seeds or None, "budget": budget, "rates": rates, "middle": middle, "workers": workers}
        with err.status("training"):
            found = search(chosen, optimizer, method=method, **options)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (TypeError, ValueError, WorkerError) as error:
        fail(error)
    if out and out.suffix == KEPT:
        _keep(found, out)
    elif out and found.rounds:
        keep_picture(found_rate.figure(found), out)
    elif out:
        typer.echo("nothing was trained, and nothing drawn", err=True)
    typer.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else found)


def _keep(found: "FoundRate", out: Path) -> None:
    from stepwell import files

    try:
        files.write(out, json.dumps(found.to_json(), ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        fail(f"cannot write {out}: {error}")
    typer.echo(f"wrote {out}", err=True)
