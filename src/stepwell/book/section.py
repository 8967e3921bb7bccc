"""What a section of the book is made of: experiments, and pages on which their numbers stand beside the book's.

A section's file makes one `Section` and marks its functions as experiments; each gets a `Page` to write on. What is
written is data: the command line prints it, the index page and the documentation show it, the tests ask it.
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

RUNS = 200  # at least, for a mean and a standard deviation to be compared
ERRORS = 3.0  # standard errors that they may be away


@dataclass(frozen=True)
class Options:
    """What a reader may ask of all experiments.

    Attributes:
        seeds: trainings of each kind, with seeds 0, 1, …
        full: the book's own lengths where the default is shorter.
        data: where data files are; None looks where `stepwell.lab.data` does.
        framework: where the sections' trainings on the airfoil data run; elsewhere than in torch, they alone do.
    """

    seeds: int = 5
    full: bool = False
    data: Path | None = None
    framework: str = "torch"


@dataclass(frozen=True)
class Line:
    """One number or statement: what it is, what came out, and what was expected: the book's number, or where it prints
    none, what its formula and settings give. `holds` says whether they agree (None: there is nothing to agree with)."""

    what: str
    got: str
    expected: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Table:
    """Rows of text under headings."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass
class Page:
    """What an experiment writes on.

    Attributes:
        name, title, text: the experiment's name, and its docstring's first line and the rest.
        lines, tables, notes, figures: what was written, in order.
        seconds: how long the experiment took.
    """

    name: str
    title: str
    text: str
    options: Options
    lines: list[Line] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def number(self, what: str, got: Any, expected: str) -> None:
        """A number, or several, that must be the expected to the digits printed: expected="-2.382563, -.158591"."""
        printed = [text.strip() for text in expected.split(",")]
        values = np.atleast_1d(np.asarray(got, float)).ravel()
        if len(values) != len(printed):
            raise ValueError(f"{what}: {len(values)} numbers where {len(printed)} are expected")
        places = [_places(text) for text in printed]
        holds = all(_agree(x, text) for x, text in zip(values, printed, strict=True))
        self.lines.append(
            Line(what, ", ".join(f"{x:.{d}f}" for x, d in zip(values, places, strict=True)), expected, holds)
        )

    def band(self, what: str, values: Sequence[float], edges: str) -> None:
        """Values that, to the digits printed, must all lie in a band: edges="0.242 to 0.261", or
        "at most 0.2482"."""
        *lowest, highest = edges.removeprefix("at most ").split(" to ")
        places = _places(highest)
        rounded = [round(float(x), places) for x in values]
        low = float(lowest[0]) if lowest else -math.inf
        inside = all(low <= x <= float(highest) for x in rounded)  # NaN is not
        spread = f"{min(rounded):.{places}f} to {max(rounded):.{places}f} ({len(rounded)} seeds)"
        self.lines.append(Line(what, spread, edges, inside))

    def sample(self, what: str, values: Any, mean: float, sd: float) -> None:
        """At least 200 runs whose mean and standard deviation must be these within 3 standard errors."""
        values = np.asarray(values, float).ravel()
        n = len(values)
        if n < RUNS:
            raise ValueError(f"{what}: a mean and a standard deviation need {RUNS} runs or more; got {n}")
        found, spread = float(values.mean()), float(values.std(ddof=1))
        rounding = 0.0005  # the book's numbers have three digits
        holds = abs(found - mean) <= ERRORS * sd / math.sqrt(n) + rounding
        holds = holds and abs(spread - sd) <= ERRORS * sd / math.sqrt(2 * (n - 1)) + rounding
        self.lines.append(Line(what, f"{found:.3f} ± {spread:.3f} ({n} runs)", f"{mean:.3f} ± {sd:.3f}", holds))

    def claim(self, what: str, holds: bool, evidence: Any = "") -> None:
        """A statement of the book, and whether it was found to hold; `evidence` says by which numbers."""
        self.lines.append(Line(what, str(evidence), "", bool(holds)))

    def measured(self, what: str, got: Any) -> None:
        """A number that nothing is expected of; one that depends on the machine says so in `what`."""
        self.lines.append(Line(what, got if isinstance(got, str) else f"{got:.6g}"))

    def say(self, text: str) -> None:
        """A remark on what was found."""
        self.notes.append(text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table; its cells are printed as they are."""
        self.tables.append(Table(columns, [[str(cell) for cell in row] for row in rows]))

    def figure(self, name: str, figure: Any) -> None:
        """A picture that `stepwell.pages` drew, to be kept as NAME.png and NAME.svg."""
        self.figures[name] = figure

    @property
    def holds(self) -> bool:
        """Whether nothing on the page is other than expected."""
        return all(line.holds is not False for line in self.lines)


Experiment = Callable[[Page], None]


class Section:
    """A section: its name on the command line, its title, its text (the file's docstring) and its experiments.

    `elsewhere` has those that run in any framework.
    """

    def __init__(self, name: str, title: str, text: str | None):
        self.name, self.title, self.text = name, title, (text or "").strip()
        self.experiments: list[Experiment] = []
        self.elsewhere: list[Experiment] = []

    def chosen(self, options: "Options") -> list[Experiment]:
        """The experiments that these options ask for."""
        return self.experiments if options.framework == "torch" else self.elsewhere

    def experiment(self, function: Experiment) -> Experiment:
        """Mark a function as the section's next experiment; its docstring's first line is the title."""
        self.experiments.append(function)
        return function

    def in_any_framework(self, function: Experiment) -> Experiment:
        """Mark a function as an experiment that runs where the reader asks for another framework than torch."""
        self.elsewhere.append(function)
        return function

    def run(self, options: Options = Options(), only: str | None = None) -> Iterator[Page]:
        """Run the experiments, or the one of that name; each page as soon as it is written."""
        for experiment in self.chosen(options):
            if only in (None, experiment.__name__):
                yield run(experiment, options)


def run(experiment: Experiment, options: Options = Options()) -> Page:
    """The page that one experiment writes."""
    title, _, text = (experiment.__doc__ or experiment.__name__).strip().partition("\n")
    page = Page(experiment.__name__, title, " ".join(text.split()), options)
    started = time.perf_counter()
    experiment(page)
    page.seconds = time.perf_counter() - started
    return page


def _places(printed: str) -> int:
    """Digits after the point of a printed number."""
    if not re.fullmatch(r"-?\d*\.?\d+", printed):
        raise ValueError(f"an expected number must be in plain digits; got {printed!r}")
    return len(printed.partition(".")[2])


def _agree(x: float, printed: str) -> bool:
    return abs(x - float(printed)) <= 0.5 * 10.0 ** -_places(printed) * (1 + 1e-9)
