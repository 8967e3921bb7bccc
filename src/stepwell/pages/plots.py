"""The figures of the book: panels that functions paint, put together under one title.

    ways = [plots.Line("β = 0.5", path, rule="momentum")]
    plots.figure("Momentum on a ravine", plots.paths(surface, ways, "η = 0.6"))

A curve that belongs to a rule has that rule's colour, here as everywhere; where one panel has several of one rule they
differ in their dashes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stepwell.pages.style import LINES, OTHERS, draw, look
from stepwell.rules import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panel = Callable[["Axes"], None]
Limits = tuple[float, float]
LEVELS = 14
CURVE = 400  # points of a drawn function


@dataclass(frozen=True)
class Line:
    """A curve: `y` over `x`, or `y` alone over 0, 1, …; `low` and `high` are the edges of a band around it.

    For `paths` and `descent`, `y` is a path: an array of points, the first the start.
    """

    label: str
    y: Any
    x: Any = None
    rule: str | None = None
    low: Any = None
    high: Any = None
    marker: str = ""


def figure(title: str, *panels: Panel, columns: int = 2, size: tuple[float, float] = (5.6, 3.9)) -> "Figure":
    """Panels in rows under one title; `size` is that of a panel, in inches."""
    return draw(_paint, title, panels, min(columns, len(panels)), size)


def lines(
    curves: Sequence[Line], title: str, x: str, y: str, *, log: str = "", ylim: Limits | None = None,
    level: float | None = None, level_label: str = "",
) -> Panel:  # fmt: skip
    """Curves over a common axis. `log` is "", "x", "y" or "xy"; `level` draws a horizontal line to compare with."""

    def paint(axes: "Axes") -> None:
        for curve, style in zip(curves, _styles(curves), strict=True):
            at = np.arange(len(curve.y)) if curve.x is None else curve.x
            axes.plot(at, curve.y, label=curve.label, marker=curve.marker, markersize=4, **style)
            if curve.low is not None:
                axes.fill_between(at, curve.low, curve.high, color=style["color"], alpha=0.15, linewidth=0)
        if level is not None:
            axes.axhline(level, color="#555555", linewidth=0.9, label=level_label or None, zorder=1)
        _scales(axes, log)
        axes.set(title=title, xlabel=x, ylabel=y)
        if ylim:
            axes.set_ylim(*ylim)
        _legend(axes)

    return paint


def descent(surface: Any, paths: Sequence[Line], title: str, xlim: Limits | None = None, y: str = "f(x)") -> Panel:
    """A function of one number, and on it the points that descents went through."""

    def paint(axes: "Axes") -> None:
        points = [np.ravel(path.y) for path in paths]
        low, high = xlim or _around(np.concatenate([*points, np.ravel(surface.domain)]))
        grid = np.linspace(low, high, CURVE)
        axes.plot(grid, surface(grid[:, None]), color="#9a9a9a", linewidth=1.3, zorder=1)
        for path, xs, style in zip(paths, points, _styles(paths), strict=True):
            style |= {"linewidth": 1.1, "markersize": 4}
            axes.plot(xs, surface(xs[:, None]), marker="o", label=path.label, **style)
        axes.set(title=title, xlabel="x", ylabel=y, xlim=(low, high))
        _legend(axes)

    return paint


def paths(
    surface: Any, paths: Sequence[Line], title: str, xlim: Limits | None = None, ylim: Limits | None = None
) -> Panel:
    """The contours of a function of two numbers, and the ways that descents took over it."""

    def paint(axes: "Axes") -> None:
        every = np.concatenate([np.asarray(path.y).reshape(-1, 2) for path in paths] + [np.transpose(surface.domain)])
        (x_low, x_high), (y_low, y_high) = xlim or _around(every[:, 0]), ylim or _around(every[:, 1])
        grid = np.stack(np.meshgrid(np.linspace(x_low, x_high, 161), np.linspace(y_low, y_high, 161)), axis=-1)
        height = surface(grid)
        rise = np.linspace(0, 1, LEVELS) ** 2  # closer together near the bottom, where the ways end
        levels = np.unique(height.min() + rise * (height.max() - height.min()))
        axes.contour(*np.moveaxis(grid, -1, 0), height, levels=levels, colors="#b9b9b9", linewidths=0.7, zorder=1)
        for path, style in zip(paths, _styles(paths), strict=True):
            way = np.asarray(path.y).reshape(-1, 2)
            style |= {"linewidth": 1.2, "markersize": 3.5}
            axes.plot(way[:, 0], way[:, 1], marker="o", label=path.label, **style)
        starts = {tuple(np.asarray(path.y).reshape(-1, 2)[0]): ("s", 6) for path in paths}
        for (x, y), (marker, size) in (starts | dict.fromkeys(surface.minima, ("*", 10))).items():
            axes.plot(x, y, marker=marker, color="black", markersize=size, zorder=5)
        axes.set(title=title, xlabel="x₁", ylabel="x₂", xlim=(x_low, x_high), ylim=(y_low, y_high))
        axes.grid(False)
        _legend(axes)

    return paint


def bars(values: dict[str, float], title: str, y: str, *, log: bool = False, rules: Sequence[str] = ()) -> Panel:
    """A bar for each name, with its value above it; the bars of rules have their colours."""

    def paint(axes: "Axes") -> None:
        colours = [look(_algorithm(name))["color"] if name in rules else OTHERS[0] for name in values]
        drawn = axes.bar(list(values), list(values.values()), color=colours, width=0.65)
        axes.bar_label(drawn, fmt="{:.3g}", fontsize=9)
        axes.set(title=title, ylabel=y)
        axes.set_yscale("log" if log else "linear")
        axes.grid(False, axis="x")
        if sum(map(len, values)) > 40:
            axes.tick_params(axis="x", rotation=25)

    return paint


def heat(x: Any, y: Any, z: Any, title: str, labels: tuple[str, str, str], *, log: str = "", edge: Any = None) -> Panel:
    """A field z (rows: y) as colours, `labels` for x, y and z; `edge` draws the lines along which z has that value."""

    def paint(axes: "Axes") -> None:
        mesh = axes.pcolormesh(x, y, z, cmap="cividis", shading="nearest")
        assert axes.figure is not None
        axes.figure.colorbar(mesh, ax=axes, label=labels[2])
        if edge is not None:
            axes.contour(x, y, z, levels=[edge], colors="white", linewidths=1.4)
        _scales(axes, log)
        axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
        axes.grid(False)

    return paint


def _paint(figure: "Figure", title: str, panels: Sequence[Panel], columns: int, size: tuple[float, float]) -> None:
    rows = math.ceil(len(panels) / columns)
    figure.set_size_inches(size[0] * columns, size[1] * rows + 0.4)
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        panel(axes)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    figure.suptitle(title, fontsize=12)


def _styles(curves: Sequence[Line]) -> list[dict[str, Any]]:
    """A rule's curves have its colour; those of none take colours that no rule has."""
    seen: dict[str, int] = {}
    styles, others = [], 0
    for curve in curves:
        if curve.rule is None:
            line = LINES[others // len(OTHERS) % len(LINES)]
            styles.append({"color": OTHERS[others % len(OTHERS)], "linestyle": line})
            others += 1
            continue
        name = _algorithm(curve.rule)
        own = look(name)
        k = seen[name] = seen.get(name, -1) + 1
        styles.append(own if k == 0 else own | {"linestyle": LINES[(LINES.index(own["linestyle"]) + k) % len(LINES)]})
    return styles


def _algorithm(rule: str) -> str:
    """The rule by whose look a curve is drawn: Adagrad is Adagrad wherever its ε stands."""
    bare = rule.removesuffix("_eps_inside")
    return bare if bare in named else rule


def _around(values: Any) -> Limits:
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low or 1.0)
    return low - margin, high + margin


def _scales(axes: "Axes", log: str) -> None:
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")


def _legend(axes: "Axes") -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels and any(labels):
        axes.legend(handles, labels, loc="best", frameon=True, framealpha=0.85, edgecolor="none")
