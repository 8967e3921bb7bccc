"""The chart of who is behind the first by how much, with intervals, and seeds where they are known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stepwell.pages.html import traces
from stepwell.pages.html.axes import Squeezed, layout, plain
from stepwell.pages.html.blocks import Chart

ROW, FRAME = 34, 74  # pixels: of an optimizer, and of all around them


@dataclass(frozen=True)
class Behind:
    """How far an optimizer is behind the first.

    Attributes:
        optimizer: its name. tied: whether it is not told from the first.
        mean, low, high: of the gap and its interval, infinite or NaN where it is not known; all 0 for the first.
        seeds: the gap at each seed, if known.
    """

    optimizer: str
    tied: bool
    mean: float = 0.0
    low: float = 0.0
    high: float = 0.0
    seeds: Sequence[float] = ()


def chart(rows: Sequence[Behind], measured: str, level: float, noise: float | None = None) -> Chart | None:
    """The gaps of all but the first, who comes first and has none; None if no interval has an end."""
    if not any(math.isfinite(x) for row in rows[1:] for x in (row.low, row.high)):
        return None
    values = [x for row in rows[1:] for x in (row.mean, row.low, row.high, *row.seeds) if math.isfinite(x)]
    floor = noise if noise and math.isfinite(noise) else 0.0
    ends = [[abs(x) for x in (row.mean, row.low, row.high) if math.isfinite(x)] for row in rows[1:]]
    least = min((max(each) for each in ends if any(each)), default=0.0)
    scale = Squeezed(max(floor, least), [*values, floor, -floor])
    data = [trace for place, row in enumerate(rows) for trace in _row(row, place, scale)]
    y = {
        "tickvals": list(range(len(rows))), "ticktext": [plain(row.optimizer) for row in rows],
        "range": [len(rows) - 0.5, -0.5], "automargin": True, "fixedrange": True, "showgrid": False, "zeroline": False,
        "tickfont": {"size": 13, "color": "--ink"}, "ticklabelstandoff": 6,
    }  # fmt: skip
    shapes = [traces.span(scale.place(-floor), scale.place(floor), "--muted")] if floor else []
    x = scale.axis(f"{measured} above that of {rows[0].optimizer}")
    about = f"Mean and {100 * level:.4g} % interval of the gap, paired by seed; hollow: not told from the first."
    about += " Small dots: seeds." if any(row.seeds for row in rows) else ""
    about += f" Shaded: the noise floor, {floor:.2g}." if floor else ""
    frame = layout(x, y, shapes=[*shapes, traces.upright(0.0)])
    return Chart(
        "How far behind the first", about, _in_words(rows), data, frame, FRAME + ROW * len(rows)
    )  # fmt: skip


def _row(row: Behind, place: int, scale: Squeezed) -> list[traces.Trace]:
    colour, words = traces.paint(row.optimizer), f"<b>{plain(row.optimizer)}</b><br>{_words(row)}"
    if place == 0:
        marks = {"symbol": "diamond", "size": 11, "color": colour}
        return [traces.points([0.0], [0], row.optimizer, marker=marks, text=["the first"])]
    found = []
    seeds = [(scale.place(x), x) for x in row.seeds if math.isfinite(x)]
    if seeds:
        small = {"size": 4, "color": f"{colour}/0.6"}
        texts = [f"{plain(row.optimizer)}, a seed: {x:.4g}" for _, x in seeds]
        found.append(
            traces.points([x for x, _ in seeds], [place + 0.28] * len(seeds), row.optimizer, marker=small, text=texts)
        )
    ends = [min(max(x, scale.low), scale.high) for x in (row.low, row.high) if not math.isnan(x)]
    if len(ends) == 2 and not (math.isinf(row.low) and math.isinf(row.high) and row.low == row.high):
        width = {"color": colour, "width": 3}
        found.append(
            traces.line([scale.place(x) for x in ends], [place] * 2, row.optimizer, line=width, hoverinfo="skip")
        )
        open_ends = [("triangle-left", ends[0], row.low), ("triangle-right", ends[1], row.high)]
        for symbol, at, end in open_ends:
            if math.isinf(end):
                marks = {"symbol": symbol, "size": 9, "color": colour}
                found.append(
                    traces.points(
                        [scale.place(at)], [place], row.optimizer, marker=marks, text=[words], cliponaxis=False
                    )
                )
    if math.isfinite(row.mean):
        fill = "--ground" if row.tied else colour
        marks = {"size": 10, "color": fill, "line": {"width": 2, "color": colour}}
        found.append(traces.points([scale.place(row.mean)], [place], row.optimizer, marker=marks, text=[words]))
    elif not math.isfinite(row.low):
        mark = {"symbol": "x-thin", "size": 9, "color": colour, "line": {"width": 2, "color": colour}}
        found.append(
            traces.points(
                [scale.place(scale.high)], [place], row.optimizer, marker=mark, text=[words], cliponaxis=False
            )
        )
    return found


def _words(row: Behind) -> str:
    if not math.isfinite(row.mean):
        return "some of its runs diverged" if not row.tied else "no interval is known"
    if math.isinf(row.low) and math.isinf(row.high):
        return f"{row.mean:.4g}, with no interval"
    return f"{row.mean:.4g} ({_end(row.low)} to {_end(row.high)}){', not told from the first' if row.tied else ''}"


def _end(x: float) -> str:
    return f"{x:.4g}" if math.isfinite(x) else "∞" if x > 0 else "−∞"


def _in_words(rows: Sequence[Behind]) -> str:
    return (
        f"{rows[0].optimizer} is first; behind it "
        + "; ".join(f"{row.optimizer}: {_words(row)}" for row in rows[1:])
        + "."
    )
