"""stepwell rules, stepwell schedule."""

import ast
import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from stepwell.cli.common import Json, console, fail, keep_picture, one_of, picture_file

DRAWN = 1_000_000  # steps of a schedule, at most


def rules(
    name: Annotated[str | None, typer.Argument(help="One rule alone.")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="The formula as LaTeX.")] = False,
    as_json: Json = False,
) -> None:
    """Show every rule: formula, state, hyperparameters with their domains, reference."""
    from stepwell.pages import rulebook
    from stepwell.rules import named

    chosen = list(named.values()) if name is None else [one_of("rule", name, named)]
    if as_json:
        found = [rulebook.facts(rule) | ({"latex": rule.latex()} if latex else {}) for rule in chosen]
        typer.echo(json.dumps(found if name is None else found[0], indent=1, ensure_ascii=False))
    elif latex:
        typer.echo("\n".join(rule.latex() if name else f"% {rule.name}\n{rule.latex()}" for rule in chosen))
    else:
        typer.echo("\n\n".join(map(rulebook.entry, chosen)))


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
    from stepwell.pages import figures, terminal

    maker = one_of("schedule", name, schedules.named())
    picture_file(out)
    known = inspect.signature(maker).parameters
    given = _keywords(arguments or [])
    for key in given:
        one_of(f"argument of {name}", key, known)
    if steps and "steps" in known:
        given.setdefault("steps", steps)
    try:
        chosen = schedules.example(name, **given)
    except (TypeError, ValueError) as error:
        fail(error)
    count = steps or chosen.length or 100
    if count > DRAWN:
        fail(f"steps to draw must be at most {DRAWN:,}; got {count:,}; --steps says how many")
    values = [float(chosen(k)) for k in range(count)]
    if out:
        keep_picture(figures.schedule(values, str(chosen)), out)
    typer.echo(chosen)
    typer.echo(terminal.plot(values, min(console().width, 100), 16))


def _keywords(arguments: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not (key.isidentifier() and equals):
            fail(f"an argument must be written key=value; got {argument!r}")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value  # a word
    return found
