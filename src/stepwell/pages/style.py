"""How every figure looks. An optimizer has the same colour and line everywhere, given by its place among the rules."""

import io
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepwell.files import write
from stepwell.rules import named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008), less the yellow that is lost on white: distinct with every common colour blindness
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Tol (2021), "muted", for what is no optimizer, so that an optimizer's colour is nobody else's
OTHERS = ("#332288", "#44AA99", "#CC6677", "#999933", "#88CCEE", "#882255", "#117733", "#AA4499")
LINES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (9, 2)), (0, (4, 1)), (0, (7, 2, 2, 2, 2, 2)), (0, (1, 3)))
FORMATS = ("png", "svg")
GREY = "#c8c8c8"
PANEL = 5  # curves that can be told apart in one panel

_RC: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.7,
    "lines.scale_dashes": False,
    "lines.dashed_pattern": [6.0, 2.5],
    "lines.dashdot_pattern": [7.0, 2.0, 1.8, 2.0],
    "lines.dotted_pattern": [1.8, 1.8],
    "savefig.dpi": 130,
    "svg.hashsalt": "stepwell",  # the same figure is the same file
}

_NAMED = {"--": "dashed", "-.": "dashdot", ":": "dotted"}


def look(optimizer: str) -> dict[str, Any]:
    """The colour and line style of an optimizer's curves."""
    if optimizer not in named:  # one of the user's own
        place = zlib.crc32(optimizer.encode())
        return {"color": OTHERS[place % len(OTHERS)], "linestyle": LINES[place // len(OTHERS) % len(LINES)]}
    place = list(named).index(optimizer)
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[place // len(COLOURS) % len(LINES)]}


def dashes(optimizer: str) -> list[float]:
    """The lengths of an optimizer's dashes and gaps in points, for what draws without Matplotlib; [] for a whole line.

    >>> dashes("gradient_descent")
    []
    """
    line = look(optimizer)["linestyle"]
    if line in _NAMED:
        return list(_RC[f"lines.{_NAMED[line]}_pattern"])
    return [] if line == "-" else [float(x) for x in line[1]]


def panels(optimizers: Sequence[str]) -> dict[str, list[str]]:
    """The optimizers by family, small neighbouring families together, so that a panel holds about five curves."""
    families: dict[str, list[str]] = {}
    for name in (n for n in named if n in optimizers):
        families.setdefault(named[name].formula.__module__.rpartition(".")[2], []).append(name)
    groups: list[tuple[list[str], list[str]]] = []
    for family, members in families.items():
        if groups and len(groups[-1][1]) + len(members) <= PANEL:
            groups[-1][0].append(family)
            groups[-1][1].extend(members)
        else:
            groups.append(([family], list(members)))
    if own := [name for name in optimizers if name not in named]:
        groups.append((["your own"], own))
    return {", ".join(titles): members for titles, members in groups}


def draw(paint: Callable[..., None], *args: Any) -> "Figure":
    """A new figure in this style; `paint(figure, *args)` fills it."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({**mpl.rcParamsDefault, **_RC}):
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure, *args)
        return figure


def save(figure: "Figure", path: Path) -> None:
    """Write a figure in the format that the path's ending names."""
    write(path, rendered(figure, path.suffix[1:]))


def rendered(figure: "Figure", ending: str) -> bytes:
    """A figure in one of `FORMATS`."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({**mpl.rcParamsDefault, **_RC}):
        figure.savefig(buffer, format=ending, metadata={"Date": None} if ending == "svg" else None)
    return buffer.getvalue()
