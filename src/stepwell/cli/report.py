"""stepwell report."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from stepwell.cli.common import fail

Paths = Annotated[
    list[Path],
    typer.Argument(help="Result files (results.json, comparison.json, doctor.json …), or folders that have them."),
]


def report(
    paths: Paths,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    show: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Make one page of the results of sweeps, comparisons, searches for a rate and watched trainings.

    The page is one file that needs no network: the answer, rankings with intervals, loss against rate, curves, every
    run. A file that cannot be shown is named, on the page too, and the exit code is 2.
    """
    from stepwell.pages import html

    if out.is_dir():
        fail(f"--out must be a file; {out} is a folder")
    try:
        written, lost = html.write(out, paths)
    except OSError as error:
        fail(f"cannot write {out}: {error}")
    for each in lost:
        typer.echo(f"stepwell: {each.path}: {each.why}", err=True)
    if written:
        typer.echo(f"wrote {out}", err=True)
        if show and not webbrowser.open(out.resolve().as_uri()):
            typer.echo("no browser was found to open it with", err=True)
    if lost:
        raise typer.Exit(2)
