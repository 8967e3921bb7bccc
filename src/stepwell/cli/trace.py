"""stepwell trace."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwell.cli.common import Json, console, fail, keep_picture, one_of, picture_file
from stepwell.cli.lab import split

if TYPE_CHECKING:
    from stepwell.functions.surfaces import Surface

SHOWN = 12  # lines of a printed path, at most


def trace(
    surface: Annotated[str, typer.Argument(help="A test function, such as ravine or rosenbrock.")],
    optimizers: Annotated[str, typer.Argument(help="Rules, with commas between: momentum,adam.")] = "gradient_descent",
    lr: Annotated[str, typer.Option(help="A learning rate for all, or one for each: 0.4,0.1 (the defaults).")] = "",
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Steps.")] = 20,
    start: Annotated[str, typer.Option(help="Where it starts: -5,-2 (the surface's own corner).")] = "",
    out: Annotated[Path | None, typer.Option(help="Draw the paths into a .png or .svg file, too.")] = None,
    as_json: Json = False,
) -> None:
    """Trace the path of optimizers over a test function: where each step leads, as a table and a picture."""
    from stepwell.functions import minimize, surfaces
    from stepwell.rules import named

    over = one_of("surface", surface, surfaces.named)
    names = split(optimizers)
    if not names:
        fail(f"optimizers must be one rule or more, with commas between; got {optimizers!r}")
    rules = [one_of("rule", name, named) for name in names]
    picture_file(out)
    rates: list[Any] = _numbers("--lr", lr) if lr else [None]
    if len(rates) not in (1, len(names)):
        fail(f"--lr must be one number, or one for each of {len(names)} optimizers; got {lr}")
    x0 = _start(over, start)
    found = []
    try:
        for rule, rate in zip(rules, rates * (len(names) if len(rates) == 1 else 1), strict=True):
            found.append(minimize(over, x0, rule, lr=rate, steps=steps))
    except (TypeError, ValueError) as error:
        fail(error)
    if out:
        keep_picture(_figure(over, names, found, steps), out)
    if as_json:
        paths = [
            {"optimizer": name, "message": r.message, "path": r.path.tolist(), "values": r.values.tolist()}
            for name, r in zip(names, found, strict=True)
        ]
        typer.echo(json.dumps({"surface": surface, "traces": paths}))
        return
    out_console = console()
    if out_console.is_terminal:
        for name, result in zip(names, found, strict=True):
            _print(out_console, name, result)
    else:
        typer.echo(_csv(names, found), nl=False)


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(each) for each in split(text)]
    except ValueError:
        fail(f"{option} must be numbers with commas between; got {text!r}")


def _start(surface: "Surface", text: str) -> Any:
    """What is given, else the lower corner of the surface's domain; a number where it has one variable."""
    x0 = _numbers("--start", text) if text else [low for low, _ in surface.domain]
    if len(x0) != len(surface.domain):
        fail(f"--start must be {len(surface.domain)} numbers for {surface}; got {text!r}")
    return x0 if len(x0) > 1 else x0[0]


def _coordinates(point: Any) -> list[float]:
    return [float(x) for x in (point if getattr(point, "ndim", 0) else [point])]


def _print(out: Any, name: str, result: Any) -> None:
    out.print(f"\n{name}: {result.message}, f = {float(result.fun):.6g}", soft_wrap=True)
    count = len(result.path)
    kept = range(count) if count <= SHOWN else sorted({round(k * (count - 1) / (SHOWN - 1)) for k in range(SHOWN)})
    for k in kept:
        point = "  ".join(f"{x: .6f}" for x in _coordinates(result.path[k]))
        out.print(f"{k:6d}  {point}  f {float(result.values[k]):.6g}")


def _csv(names: list[str], found: list[Any]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    dimension = len(_coordinates(found[0].path[0]))
    table.writerow(["optimizer", "step", *(f"x{k + 1}" for k in range(dimension)), "f"])
    for name, result in zip(names, found, strict=True):
        for k, (point, value) in enumerate(zip(result.path, result.values, strict=True)):
            table.writerow([name, k, *_coordinates(point), float(value)])
    return text.getvalue()


def _figure(surface: "Surface", names: list[str], found: list[Any], steps: int) -> Any:
    from stepwell.pages import plots

    lines = [plots.Line(name, result.path, rule=name) for name, result in zip(names, found, strict=True)]
    limits = [_limits(k, low, high, found) for k, (low, high) in enumerate(surface.domain)]
    about = f"{steps} steps"
    if len(limits) == 2:
        panel = plots.paths(surface, lines, about, *limits)
    else:
        panel = plots.descent(surface, lines, about, limits[0])
    return plots.figure(str(surface).strip("<>"), panel, size=(7.5, 5.2))


def _limits(k: int, low: float, high: float, found: list[Any]) -> tuple[float, float]:
    """What is drawn of an axis: the surface's domain, and of the paths what is not far outside it."""
    width = high - low
    points = [_coordinates(point)[k] for result in found for point in result.path]
    near = [x for x in points if low - width <= x <= high + width]
    return min([low, *near]) - 0.05 * width, max([high, *near]) + 0.05 * width
