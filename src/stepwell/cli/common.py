"""What all commands share: how they fail, and where they print."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]


def fail(message: object) -> NoReturn:
    typer.echo(f"stepwell: {message}", err=True)
    raise typer.Exit(2)


def one_of(kind: str, name: str, known: Any) -> Any:
    from stepwell.lab.names import unknown

    if name not in known:
        fail(unknown(kind, name, known))
    return known[name]


def console(stderr: bool = False) -> "Console":
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 200  # a file or a pipe is as wide as what is written
    return console


def picture_file(out: Path | None) -> None:
    """Refuse a file for a picture that is none, before there is anything to draw."""
    from stepwell.pages.style import FORMATS

    if out and out.suffix.lstrip(".") not in FORMATS:
        fail(f"--out must end in .{' or .'.join(FORMATS)}; got {out}")


def keep_picture(figure: "Figure", out: Path) -> None:
    """Write a picture and say so."""
    from stepwell.pages import style

    try:
        style.save(figure, out)
    except OSError as error:
        fail(f"cannot write {out}: {error}")
    typer.echo(f"wrote {out}", err=True)
