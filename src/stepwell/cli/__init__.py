"""The command line: data on stdout, all else on stderr; 2 is the exit code of a mistake, 130 of Ctrl-C."""

import sys
from typing import Annotated

import typer

import stepwell
from stepwell.cli import bench, book, compare, doctor, find_lr, playground, report, show, sweep, trace
from stepwell.cli.common import Command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Every gradient-descent optimizer: which one, at which rate, on which schedule.",
)
COMMANDS = (
    sweep.sweep, find_lr.find_lr, compare.compare, report.report, doctor.doctor, trace.trace,
    playground.playground, book.book, show.rules, show.schedule, bench.bench,
)  # fmt: skip
for command in COMMANDS:
    app.command(cls=Command)(command)


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
