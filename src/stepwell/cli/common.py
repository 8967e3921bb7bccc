"""What all commands share: how they fail, and where they print."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]

ALONE = {"--ray": "local"}  # what an option means that may stand without a value, which Typer has no words for


class Command(TyperCommand):
    """A command of which some options may stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        pairs = zip(args, [*args[1:], "-"], strict=False)
        given = [f"{word}={ALONE[word]}" if word in ALONE and after[:1] == "-" else word for word, after in pairs]
        return super().parse_args(ctx, given)


def fail(message: object) -> NoReturn:
    typer.echo(f"stepwell: {message}", err=True)
    raise typer.Exit(2)


def one_of(kind: str, name: str, known: Any) -> Any:
    from stepwell.lab.names import unknown

    if name not in known:
        fail(unknown(kind, name, known))
    return known[name]


def console(stderr: bool = False, markup: bool = True) -> "Console":
    """Where things are printed; without `markup` brackets and colons are themselves, as in users' words."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, markup=markup, emoji=markup)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 200  # a file or a pipe is as wide as what is written
    return console


def picture_file(out: Path | None) -> None:
    """Refuse a file for a picture that is none, before there is anything to draw."""
    from stepwell.pages.style import FORMATS

    if out and out.suffix.lstrip(".") not in FORMATS:
        fail(f"--out must end in .{' or .'.join(FORMATS)}; got {out}")


def keep_picture(figure: Any, out: Path) -> None:
    """Write a picture and say so."""
    from stepwell.pages import style

    try:
        style.save(figure, out)
    except OSError as error:
        fail(f"cannot write {out}: {error}")
    typer.echo(f"wrote {out}", err=True)
