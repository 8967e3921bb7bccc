"""Axes and layouts: how every chart of a report looks, and scales with ticks that can be read."""

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif", "size": 12}
TICKS = 7  # powers of ten that are named on an axis, at most
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(words: str) -> str:
    """Words as Plotly shows them as they are: it takes some tags for orders.

    >>> plain("<b>mine</b> & yours")
    '&lt;b&gt;mine&lt;/b&gt; &amp; yours'
    """
    return html.escape(words, quote=False)


def layout(x: dict[str, Any], y: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The layout of a chart with these axes."""
    return {
        "xaxis": x,
        "yaxis": y,
        "margin": {"l": 8, "r": 14, "t": 10, "b": 8},
        "font": {**FONT, "color": "--muted"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"bgcolor": "--panel", "bordercolor": "--line", "font": {**FONT, "color": "--ink"}},
        "hovermode": "closest",
        "dragmode": False,
        "showlegend": False,
        **more,
    }


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis from one number to another, or as wide as its points."""
    return {
        "title": {"text": plain(title), "standoff": 8, "font": {**FONT, "color": "--ink"}},
        "gridcolor": "--line",
        "linecolor": "--muted",
        "showline": True,
        "zeroline": False,
        "automargin": True,
        "fixedrange": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "--muted",
        "nticks": 6,
        **more,
    }


def scale(
    title: str, values: Iterable[float | None], log: bool | None = None, margin: float = 0.05, ticks: int = TICKS
) -> dict[str, Any]:
    """An axis that holds these values; logarithmic if all are above 0, unless that is said otherwise."""
    finite = [x for x in values if x is not None and math.isfinite(x)]
    if not finite:
        return axis(title)
    low, high = min(finite), max(finite)
    if low > 0 if log is None else log and low > 0:
        span = max(math.log10(high / low), 0.2)
        middle = math.log10(low * high) / 2
        ends = middle - span * (0.5 + margin), middle + span * (0.5 + margin)
        at = log_ticks(10 ** ends[0], 10 ** ends[1], ticks)
        return axis(title, type="log", range=list(ends), tickvals=at, ticktext=[number(x) for x in at])
    wide = (high - low) or abs(high) or 1.0
    return axis(title, range=[low - margin * wide, high + margin * wide])


def log_ticks(low: float, high: float, most: int = TICKS) -> list[float]:
    """Powers of ten between two numbers, not all if they are many, with 2 and 5 between them if they are few.

    >>> log_ticks(0.0009, 2.0), log_ticks(0.3, 1.2)
    ([0.001, 0.01, 0.1, 1.0], [0.5, 1.0])
    """
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    if len(powers) > 2:
        return [10.0**p for p in powers][:: math.ceil(len(powers) / most)]
    for digits in ((1, 2, 5), range(1, 10)):
        ticks = [float(f"{d}e{p}") for p in range(powers.start - 1, powers.stop + 1) for d in digits]
        inside = [x for x in ticks if low <= x <= high]
        if len(inside) > 1:
            return inside
    return [low, high]


def number(x: float) -> str:
    """A number on an axis.

    >>> number(0.0001), number(1e-5), number(2e-7)
    ('0.0001', '10⁻⁵', '2·10⁻⁷')
    """
    if x == 0 or 1e-4 <= abs(x) < 1e5:
        return f"{x:.3g}" if abs(x) < 1000 else f"{x:g}"
    digits, power = f"{x:.1e}".split("e")
    raised = f"10{str(int(power)).translate(_SUPERSCRIPTS)}"
    digits = digits.removesuffix(".0")
    return {"1": raised, "-1": f"-{raised}"}.get(digits, f"{digits}·{raised}")


class Squeezed:
    """A scale for numbers of many sizes and both signs: even near 0, logarithmic beyond (asinh).

    Even all over where the largest is not far above the smallest of interest.
    """

    WIDE = 40.0  # the largest over the smallest of interest, from which on it is squeezed
    DEEPEST = 1e6  # the largest over what is even

    def __init__(self, least: float, values: Sequence[float]):
        finite = [x for x in values if math.isfinite(x)] + [0.0]
        self.low, self.high = min(finite), max(finite)
        largest = max(self.high, -self.low)
        self.near = max(least, largest / self.DEEPEST) if 0 < self.WIDE * least < largest else 0.0

    def place(self, x: float) -> float:
        """Where a number stands."""
        return math.asinh(x / self.near) if self.near else x

    def axis(self, title: str) -> dict[str, Any]:
        """The axis, a little wider than its numbers."""
        ends = [self.place(self.low), self.place(self.high)]
        wide = (ends[1] - ends[0]) or 1.0
        more: dict[str, Any] = {"range": [ends[0] - 0.06 * wide, ends[1] + 0.06 * wide]}
        if self.near:
            ticks = self._ticks()
            more |= {"tickvals": [self.place(x) for x in ticks], "ticktext": [number(x) for x in ticks]}
        return axis(title, **more)

    def _ticks(self) -> list[float]:
        top = max(self.high, -self.low)
        powers = range(math.ceil(math.log10(self.near)), math.floor(math.log10(top)) + 1)
        some = [10.0**p for p in powers][:: max(1, math.ceil(len(powers) / 4))]
        return [x for x in [*(-x for x in reversed(some)), 0.0, *some] if self.low <= x <= self.high]
