"""stepwell book."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwell.cli.common import Json, console, fail, one_of

if TYPE_CHECKING:
    from stepwell.book import Options, Page, Section

FOLDER = Path("stepwell-results") / "book"


def book(
    name: Annotated[str | None, typer.Argument(help="A section, such as adagrad; none lists them.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Run every section.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures and index.html (stepwell-results/book).")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each kind.")] = 5,
    full: Annotated[bool, typer.Option("--full", help="The book's own lengths, where the default is shorter.")] = False,
    data: Annotated[Path | None, typer.Option(help="The folder that has the data files.")] = None,
    framework: Annotated[str, typer.Option(help="Train on the airfoil data in this framework instead.")] = "torch",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Run the experiments of Dive into Deep Learning's optimization chapter, each number beside the book's.

    Writes figures (PNG and SVG) and index.html into a folder. Exits with 1 if a number is not the expected one. Ctrl-C
    keeps what is done.
    """
    from stepwell.book import Options, named
    from stepwell.book.loops import FRAMEWORKS

    if name is None and not all_:
        _list(as_json)
        return
    if name is not None and all_:
        fail("a section or --all; got both")
    sections = list(named.values()) if name is None else [one_of("section", name, named)]
    options = Options(seeds, full, data, one_of("framework", framework, dict(zip(FRAMEWORKS, FRAMEWORKS, strict=True))))
    sections = [section for section in sections if section.chosen(options)]
    if not sections:
        able = ", ".join(key for key, section in named.items() if section.elsewhere)
        fail(f"{name} trains on nothing that runs in {framework}; these do: {able}")
    folder = out or (FOLDER / name if name else FOLDER)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"cannot write into {folder}: {error}")
    done: dict[str, tuple[Section, list[Page]]] = {}
    kept = 0
    try:
        code = _run(sections, options, done, quiet, as_json)
    finally:
        if as_json:
            typer.echo(json.dumps([_facts(*each) for each in done.values()], indent=1, ensure_ascii=False))
        kept = _keep(folder, list(done.values()), alone=name is not None, quiet=quiet)
    raise typer.Exit(max(code, kept))


def _list(as_json: bool) -> None:
    from stepwell.book import named
    from stepwell.pages import booktext

    if as_json:
        facts = [{"name": s.name, "title": s.title, "experiments": [e.__name__ for e in s.experiments]}
                 for s in named.values()]  # fmt: skip
        typer.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        console().print(booktext.contents(list(named.values())))


def _run(
    sections: "list[Section]", options: "Options", done: "dict[str, tuple[Section, list[Page]]]", quiet: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Run sections into `done`, printing each page as it comes; the exit code. One without its data is left out."""
    from stepwell.lab.data import DataError
    from stepwell.pages import booktext

    out = console()
    out.quiet = as_json
    code = 0
    for section in sections:
        out.print(booktext.heading(section))
        try:
            for page in _shown(section, options, quiet):
                done.setdefault(section.name, (section, []))[1].append(page)
                out.print(booktext.page(page), soft_wrap=False)
        except (DataError, ImportError) as error:
            typer.echo(f"stepwell: {section.name}: {error}", err=True)
            code = 2
        except KeyboardInterrupt:
            typer.echo("stepwell: interrupted", err=True)
            return 130
    return code or int(not all(page.holds for _, pages in done.values() for page in pages))


def _shown(section: "Section", options: "Options", quiet: bool) -> "Iterator[Page]":
    """The pages of a section; in a terminal the experiment that is running is shown on stderr."""
    err = console(stderr=True)
    err.quiet = quiet
    pages = section.run(options)
    for experiment in section.chosen(options):
        doing = f"{section.name}: {experiment.__name__}"
        if err.is_terminal:
            with err.status(doing):
                page = next(pages)
        else:
            err.print(doing)
            page = next(pages)
        yield page


def _keep(folder: Path, done: "list[tuple[Section, list[Page]]]", alone: bool, quiet: bool) -> int:
    """Write the figures and the index page of what is done; the exit code."""
    from stepwell.pages import booktext, index

    if not done:
        return 0
    try:
        index.write_section(folder, *done[0]) if alone else index.write(folder, done)
    except OSError as error:
        typer.echo(f"stepwell: the figures cannot be kept in {folder}: {error}", err=True)
        return 1
    if not quiet:
        typer.echo(
            f"{booktext.verdict([page for _, pages in done for page in pages])}; see {folder / 'index.html'}", err=True
        )
    return 0


def _facts(section: "Section", pages: "list[Page]") -> dict[str, Any]:
    return {
        "section": section.name,
        "title": section.title,
        "experiments": [
            {
                "name": page.name,
                "title": page.title,
                "seconds": round(page.seconds, 3),
                "lines": [vars(line) for line in page.lines],
                "tables": [vars(table) for table in page.tables],
                "notes": page.notes,
                "figures": list(page.figures),
            }
            for page in pages
        ],
    }
