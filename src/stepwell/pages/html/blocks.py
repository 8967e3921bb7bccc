"""What a report is made of. Each kind of block has a template of its name in `templates/blocks`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True)
class Block:
    """Something below a heading."""

    @property
    def template(self) -> str:
        """The template that shows it."""
        return f"blocks/{type(self).__name__.lower()}.html"


@dataclass(frozen=True)
class Words(Block):
    """A paragraph; with a tone it is set apart."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Notes(Block):
    """Sentences in small type below a table or a chart."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Facts(Block):
    """Names and what they are."""

    pairs: Mapping[str, str]


@dataclass(frozen=True)
class Cell:
    """What a cell shows; `order` is what rows are sorted by, where that is no text; `long` has several lines."""

    text: str
    order: float | None = None
    optimizer: str | None = None
    tone: Tone = ""
    long: bool = False

    @property
    def classes(self) -> str:
        """Its classes in HTML."""
        return " ".join(filter(None, [self.tone, "long" if self.long else ""]))


@dataclass(frozen=True)
class Table(Block):
    """A table; `head` is the column that names the row, `words` are those that are no numbers."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    head: int = 0
    words: Sequence[int] = (0,)
    noun: str = ""  # with it, the table can be searched and sorted, and this is what its rows are called


@dataclass(frozen=True)
class Key:
    """A line of a legend: its name, the variable of its colour, the lengths of its dashes and gaps in pixels."""

    name: str
    colour: str
    dashes: Sequence[float] = ()


@dataclass(frozen=True)
class Chart(Block):
    """A figure of Plotly's as plain JSON; colours are names of CSS variables, as `--ink` or `--curve-0072b2/0.2`.

    Attributes:
        title: a heading. about: how to read it. summary: what is to be seen, for who does not see it.
        data, layout: Plotly's. height: pixels. legend: the lines that can be switched off, by their `legendgroup`.
    """

    title: str
    about: str
    summary: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height: int = 340
    legend: Sequence[Key] = ()


@dataclass(frozen=True)
class Charts(Block):
    """Charts side by side as far as there is room: "half" two of them, "small" three or four; how to read them."""

    charts: Sequence[Chart]
    about: str = ""
    size: Literal["half", "small"] = "half"


@dataclass(frozen=True)
class Finding(Block):
    """Something that is wrong, how that shows, and what cures it."""

    title: str
    step: int
    evidence: str
    cure: str
    where: Sequence[str] = ()


@dataclass(frozen=True)
class Tile:
    """A number, or a word or two, of the answer."""

    label: str
    value: str
    detail: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Part:
    """A heading and what stands below it; folded away until it is opened, if that is asked for."""

    title: str
    blocks: Sequence[Block]
    folded: bool = False


@dataclass(frozen=True)
class Summary:
    """A result's row in the table of several."""

    task: str
    started: str
    optimizer: str
    rate: str
    loss: str
    sure: str


@dataclass(frozen=True)
class Section:
    """What there is to say about a result.

    Attributes:
        kind: in a word or two. title: what it is about, mostly a task's name. headline: the answer, as short as may be.
        sentence: the answer in full. tiles: the numbers of it. notices: what must be known before it is believed.
        paste: lines for the user's code, or none. parts: all else. summary: its row beside other results.
    """

    kind: str
    title: str
    headline: str
    sentence: str = ""
    about: str = ""
    optimizer: str | None = None
    tiles: Sequence[Tile] = ()
    notices: Sequence[Words] = ()
    paste: str = ""
    parts: Sequence[Part] = ()
    summary: Summary | None = None
    source: str = field(default="", compare=False)
