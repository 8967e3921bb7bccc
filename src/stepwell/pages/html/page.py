"""The page: sections, what could not be read, figures and scripts, all in one file that asks for nothing else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import stepwell
from stepwell.files import write as write_file
from stepwell.lab.documents import dump, plain
from stepwell.lab.names import count
from stepwell.pages.html.blocks import Cell, Chart, Section, Summary, Table
from stepwell.pages.html.colours import THEME, keys, variables
from stepwell.pages.html.reading import Unreadable, every

HERE = Path(__file__).parent
DIGITS = 6  # of a number in a figure


@dataclass(frozen=True)
class Lost:
    """A file that cannot be shown, and why."""

    path: Path
    why: str


def write(out: Path, paths: Sequence[Path]) -> tuple[bool, list[Lost]]:
    """Write the page of some result files, or of folders that have them.

    Returns:
        whether there was anything to show, without which nothing is written; and what could not be shown, of which
        the page tells, too.

    Errors: OSError if the page cannot be written.
    """
    sections, lost = _read(paths)
    if sections:
        write_file(out, _rendered(sections, lost))
    return bool(sections), lost


def page(paths: Sequence[Path]) -> str:
    """The same page as text; one that says what is wrong where nothing can be shown."""
    return _rendered(*_read(paths))


def _read(paths: Sequence[Path]) -> tuple[list[Section], list[Lost]]:
    sections: list[Section] = []
    lost: list[Lost] = []
    for path, found in every(paths):
        if isinstance(found, Unreadable):
            lost.append(Lost(path, str(found)))
        else:
            sections += found
    return sections, lost


def _rendered(sections: Sequence[Section], lost: Sequence[Lost]) -> str:
    figures: dict[str, Any] = {}
    return _environment(figures).get_template("page.html").render(
        title=_title(sections),
        sections=[(f"s{k}", section) for k, section in enumerate(sections, 1)],
        lost=lost,
        together=_together(sections),
        figures=lambda: Markup(_script(dump(plain(figures, DIGITS)))),
        drawn=lambda: bool(figures),
        plotly=_plotly,
        theme=Markup(THEME.read_text("utf-8")),
        style=Markup((HERE / "web" / "report.css").read_text("utf-8")),
        program=Markup((HERE / "web" / "report.js").read_text("utf-8")),
        light=variables(),
        dark=variables(dark=True),
        version=stepwell.__version__,
    )  # fmt: skip


def _environment(figures: dict[str, Any]) -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def keep(chart: Chart) -> str:
        """Keep a chart's figure for the script; the name by which that finds it."""
        name = f"c{len(figures) + 1}"
        figures[name] = {"data": chart.data, "layout": {**chart.layout, "height": chart.height}}
        return name

    made.globals |= {"keep": keep, "key_of": lambda optimizer: keys([optimizer])[0], "unique": _numbers().__next__}
    made.filters |= {"counted": count}
    return made


def _numbers() -> Iterator[str]:
    k = 0
    while True:
        k += 1
        yield f"n{k}"


def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs().replace("</script", "<\\/script"))


def _script(text: str) -> str:
    """JSON that nothing in it ends before its script does."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _title(sections: Sequence[Section]) -> str:
    if len(sections) == 1:
        return f"{sections[0].title}: {sections[0].headline}"
    files = len({section.source for section in sections})
    if files == 1:
        return f"{sections[0].kind} of {sections[0].title}"
    return count(files, "result") if files else "Nothing to show"


def _together(sections: Sequence[Section]) -> list[tuple[str, Table]]:
    """For each task of several results a table of them."""
    tasks: dict[str, list[tuple[Section, Summary]]] = {}
    for section in sections:
        if section.summary:
            tasks.setdefault(section.summary.task, []).append((section, section.summary))
    columns = ["file", "kind", "optimizer", "learning rate", "loss", "how sure", "started"]
    return [
        (
            task,
            Table(
                f"{task}: {count(len(rows), 'result')}", columns, [_summed(*row) for row in rows], words=tuple(range(7))
            ),
        )
        for task, rows in tasks.items()
        if len(rows) > 1
    ]


def _summed(section: Section, summary: Summary) -> list[Cell]:
    known = summary.optimizer if section.optimizer else None
    return [
        Cell(section.source, long=True), Cell(section.kind), Cell(summary.optimizer, optimizer=known),
        Cell(summary.rate), Cell(summary.loss), Cell(summary.sure), Cell(summary.started),
    ]  # fmt: skip
