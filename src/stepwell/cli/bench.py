"""stepwell bench."""

import json
from typing import Annotated

import typer

from stepwell.cli.common import Json, console, fail, one_of


def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="These benchmarks alone.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller, rougher, faster.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a figure is below its promise.")] = False,
    as_json: Json = False,
) -> None:
    """Measure this machine: each figure as a ratio against a named peer, with the physical limit beside it.

    Without names, benchmarks whose framework is not installed are left out.
    """
    from stepwell.lab import bench as benchmarks
    from stepwell.pages import tables

    known = benchmarks.modules()
    paths = [one_of("benchmark", name, known) for name in names or known]
    if not paths:
        fail("the benchmarks were not installed with this package")
    found = []
    for path in paths:
        try:
            rows = benchmarks.run(path, quick)
        except benchmarks.Missing as missing:
            if names:
                fail(f"{path.stem}: {missing}")
            typer.echo(f"left out {path.stem}: {missing}", err=True)
            continue
        for row in rows:
            found.append(row)
            typer.echo(f"measured {row['name']}", err=True)
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        console().print(tables.benchmarks(found))
    if strict and any(benchmarks.kept(row) is False for row in found):
        raise typer.Exit(1)
