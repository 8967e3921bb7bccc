"""The lines, bands and marks of charts, each optimizer's in its own colour and dashes."""

import math
from collections.abc import Sequence
from typing import Any

from stepwell.pages.html.blocks import Key
from stepwell.pages.html.colours import colour_of, keys

Numbers = Sequence[float | None]
Trace = dict[str, Any]


def line(x: Numbers, y: Numbers, optimizer: str | None = None, **more: Any) -> Trace:
    """A line through points: an optimizer's, or one in ink; None and what is not finite is left out of it."""
    return _trace(x, y, optimizer, {"mode": "lines", "line": {**stroke(optimizer), "width": 2}}, more)


def points(x: Numbers, y: Numbers, optimizer: str | None = None, **more: Any) -> Trace:
    """Dots."""
    return _trace(x, y, optimizer, {"mode": "markers", "marker": {"color": paint(optimizer), "size": 6}}, more)


def crosses(x: Numbers, top: float, optimizer: str | None = None, **more: Any) -> Trace:
    """What diverged, or is off the scale: a cross at the top."""
    mark = {"symbol": "x-thin", "size": 8, "color": paint(optimizer), "line": {"width": 2, "color": paint(optimizer)}}
    return points(x, [top] * len(x), optimizer, marker=mark, cliponaxis=False, **more)


def ring(x: float, y: float, optimizer: str | None = None, **more: Any) -> Trace:
    """A ring about a point: the best one."""
    mark = {"symbol": "circle-open", "size": 14, "color": paint(optimizer), "line": {"width": 2.5}}
    return points([x], [y], optimizer, marker=mark, cliponaxis=False, **more)


def band(x: Numbers, low: Numbers, high: Numbers, optimizer: str | None = None) -> Trace:
    """The area between two curves, as far as both are finite."""
    known = [(a, b, c) for a, b, c in zip(x, low, high, strict=True) if _finite(b) and _finite(c)]
    xs, lows, highs = ([each[k] for each in known] for k in range(3))
    more = {"fill": "toself", "fillcolor": f"{paint(optimizer)}/0.15", "line": {"width": 0}, "hoverinfo": "skip"}
    return _trace([*xs, *xs[::-1]], [*highs, *lows[::-1]], optimizer, {"mode": "lines"}, more)


def grey(x: Numbers, y: Numbers) -> Trace:
    """A line behind the others."""
    return line(x, y, line={"color": "--line", "width": 1.2}, hoverinfo="skip")


def level(y: float) -> dict[str, Any]:
    """A shape: a dotted line all across at a height."""
    stroke = {"color": "--muted", "width": 1, "dash": "3px,3px"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": stroke, "layer": "below"}


def upright(x: float, colour: str = "--ink", dash: str = "solid") -> dict[str, Any]:
    """A shape: a line from bottom to top at a place."""
    stroke = {"color": colour, "width": 1.5, "dash": dash}
    return {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": x, "x1": x, "line": stroke, "layer": "below"}


def span(low: float, high: float, colour: str, across: str = "x") -> dict[str, Any]:
    """A shape: the area between two places on one axis, all along the other."""
    other = "y" if across == "x" else "x"
    ends = {f"{across}0": low, f"{across}1": high, f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper"}
    return {"type": "rect", **ends, "fillcolor": f"{colour}/0.13", "line": {"width": 0}, "layer": "below"}


def paint(optimizer: str | None) -> str:
    """The variable of a colour: an optimizer's, or ink."""
    return "--ink" if optimizer is None else colour_of(optimizer)


def stroke(optimizer: str | None) -> dict[str, Any]:
    """How an optimizer's line is drawn, or one in ink."""
    return of_key(Key("", "--ink") if optimizer is None else keys([optimizer])[0])


def of_key(key: Key) -> dict[str, Any]:
    """How a line of a legend is drawn."""
    return {"color": key.colour, "dash": ",".join(f"{x:g}px" for x in key.dashes) or "solid"}


def _trace(x: Numbers, y: Numbers, optimizer: str | None, kind: dict[str, Any], more: dict[str, Any]) -> Trace:
    own = {} if optimizer is None else {"legendgroup": optimizer}
    found = {"type": "scatter", "x": list(x), "y": list(y), "connectgaps": False, **own, **kind, **more}
    return found if "text" not in found else {"hoverinfo": "text", **found}


def _finite(x: float | None) -> bool:
    return x is not None and math.isfinite(x)
