"""The book in a terminal: its contents, and each page's numbers beside the book's."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stepwell.lab.names import count

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from stepwell.book.section import Page, Section

SIGNS = {True: "✓", False: "✗", None: ""}


def contents(sections: "Sequence[Section]") -> "Table":
    """A line for each section: what to type, and what it is about."""
    table = _table("section", "", "experiments")
    for section in sections:
        table.add_row(section.name, section.title, str(len(section.experiments)))
    return table


def heading(section: "Section") -> "Text":
    """A section's title."""
    from rich.text import Text

    return Text(f"\n{section.title} ({section.name})", style="bold")


def page(page: "Page") -> "Group":
    """What an experiment found."""
    from rich.console import Group
    from rich.padding import Padding

    return Group("", f"[bold]{_plain(page.title)}[/bold]", *(Padding(part, (0, 0, 0, 2)) for part in _parts(page)))


def verdict(pages: "Sequence[Page]") -> str:
    """How many numbers and claims hold."""
    lines = [line for page in pages for line in page.lines if line.holds is not None]
    if not lines:
        return "nothing was expected, all was measured"
    wrong = sum(not line.holds for line in lines)
    return f"{len(lines) - wrong} of {count(len(lines), 'number')} and claims hold"


def _parts(page: "Page") -> "Iterator[Table | str]":
    if page.lines:
        table = _table("", "", "here", "expected")
        for line in page.lines:
            table.add_row(SIGNS[line.holds], *map(_plain, (line.what, line.got, line.expected)))
        yield table
    for found in page.tables:
        table = _table(*map(_plain, found.columns))
        for row in found.rows:
            table.add_row(*map(_plain, row))
        yield table
    yield from map(_plain, page.notes)


def _plain(text: str) -> str:
    """Text whose brackets are no markup."""
    from rich.markup import escape

    return escape(text)


def _table(*headings: str) -> "Table":
    from rich import box
    from rich.table import Table

    return Table(*headings, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
