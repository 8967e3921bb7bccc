"""The book as a page: an index.html with every number and verdict, the pictures beside it in folders.

It asks for nothing but itself and the pictures: no network, no scripts; the text of experiments is escaped.
"""

import html
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import stepwell
from stepwell.files import write as write_file
from stepwell.lab.names import count
from stepwell.pages.style import FORMATS, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stepwell.book.section import Line, Page, Section

Results = Sequence[tuple["Section", Sequence["Page"]]]
TITLE = "The optimization chapter, number by number"
SCREEN = 100  # pixels to an inch


def write(folder: Path, results: Results) -> None:
    """Write the sections into a folder: SECTION/FIGURE.png and .svg for every figure, then index.html.

    The index comes last, so it never shows a picture that is not there. ValueError if two figures of a section have one
    name, or if a name cannot be a file's; OSError if the folder cannot be written.
    """
    _write(folder, results, TITLE, lambda section: f"{section.name}/")


def write_section(folder: Path, section: "Section", pages: Sequence["Page"]) -> None:
    """Write one section into a folder of its own: FIGURE.png and .svg, then index.html; errors as `write`."""
    _write(folder, [(section, pages)], section.title, lambda _: "")


def pictures(section: "Section", pages: Iterable["Page"]) -> dict[str, "Figure"]:
    """The figures of a section by the name of their file, without its ending."""
    found: dict[str, Figure] = {}
    for name, figure in (item for page in pages for item in page.figures.items()):
        if name in found:
            raise ValueError(f"section {section.name}: two figures are called {name!r}")
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise ValueError(f"section {section.name}: a figure's name must be letters, digits, - and _; got {name!r}")
        found[name] = figure
    return found


def environment() -> Environment:
    """Jinja with this package's templates and filters; what it fills in is escaped."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    made.filters |= {
        "alt": _alt, "counted": _counted, "lines": _lines, "paragraphs": _paragraphs, "pixels": pixels, "prose": prose,
    }  # fmt: skip
    return made


def prose(text: str) -> Markup:
    """Text as HTML: `code`, <addresses> and [words](address) become what they say, all else is escaped but markup.

    >>> print(prose("`a<b` where |x| < 1, see <https://d2l.ai>"))
    <code>a&lt;b</code> where |x| &lt; 1, see <a href="https://d2l.ai">https://d2l.ai</a>
    >>> print(prose("in [the book](https://d2l.ai/#a)"))
    in <a href="https://d2l.ai/#a">the book</a>
    """
    if isinstance(text, Markup):
        return text
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    safe = re.sub(r"\[([^\[\]]+)\]\((https?://[^\s()&<]+)\)", r'<a href="\2">\1</a>', safe)
    return Markup(re.sub(r"&lt;(https?://[^\s&<]+)&gt;", r'<a href="\1">\1</a>', safe))


def pixels(figure: "Figure") -> tuple[int, int]:
    """The width and height at which a figure is shown."""
    width, height = figure.get_size_inches()
    return round(SCREEN * width), round(SCREEN * height)


def _write(folder: Path, results: Results, title: str, place: Callable[["Section"], str]) -> None:
    drawn = [(place(section), pictures(section, pages)) for section, pages in results]
    for where, figures in drawn:
        for name, figure in figures.items():
            for ending in FORMATS:
                save(figure, folder / where / f"{name}.{ending}")
    page = environment().get_template("index.html")
    about = _about(results)
    text = page.render(title=title, results=results, place=place, about=about, version=stepwell.__version__)
    write_file(folder / "index.html", text)


def _about(results: Results) -> str:
    pages = [page for _, pages in results for page in pages]
    numbers = count(len(_lines(pages)), "number")
    seconds = f"{sum(page.seconds for page in pages):.0f} s"
    options = {(page.options.seeds, page.options.full) for page in pages}
    how = [f"{count(seeds, 'seed')}{', full length' if full else ''}" for seeds, full in sorted(options)]
    return f"The experiments of Dive into Deep Learning, run here: {numbers} in {'; '.join([seconds, *how])}."


def _lines(pages: Iterable["Page"]) -> list["Line"]:
    return [line for page in pages for line in page.lines]


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", (text or "").strip()) if part.strip()]


def _counted(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _alt(figure: "Figure", otherwise: str) -> str:
    return " ".join((figure.get_suptitle() or otherwise).split())
