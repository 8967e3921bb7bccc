"""The charts of a search for a learning rate: what short runs came to at each rate, and what follows from it."""

import math
from collections.abc import Iterator
from typing import Any

from stepwell.lab.names import count
from stepwell.lab.rates.found_rate import FoundRate, Round, short
from stepwell.pages.html import traces
from stepwell.pages.html.axes import layout, scale
from stepwell.pages.html.blocks import Chart, Key

EARLIER = "--muted"  # rounds before the last


def rounds(found: FoundRate) -> Chart | None:
    """The loss against the rate, a line for each round; the best rate, those as good, and where training fails."""
    finite = [x for each in found.rounds for x in each.means if math.isfinite(x)]
    if not finite:
        return None
    starts = [each.initial for each in found.rounds if math.isfinite(each.initial)]
    top = max((x + abs(x) / 2 for x in starts), default=max(finite))
    top = top if top > min(finite) else max(finite)
    data = [trace for place, each in enumerate(found.rounds) for trace in _round(found, place, each, top)]
    inside = [x for x in finite if x <= top]
    rates = [rate for each in found.rounds for rate in each.rates]
    y = scale("loss", [*inside, top, *starts[-1:]])
    shapes = [*_marks(found), *(traces.level(start) for start in starts[-1:])]
    about = "Mean over seeds of short runs, the band from the least to the highest. Dotted: the loss before training. "
    about += f"{_reading(found)}Cross at the top: diverged, or far above the loss before training."
    frame = layout(scale("learning rate", rates, margin=0.04), y, shapes=shapes)
    return Chart("By the length of runs", about, _in_words(found), data, frame, 380, list(_keys(found)))


def _round(found: FoundRate, place: int, each: Round, top: float) -> list[traces.Trace]:
    name = _name(each)
    there = [k for k, mean in enumerate(each.means) if mean <= top]
    x, y = [each.rates[k] for k in there], [each.means[k] for k in there]
    words = [f"<b>{name}</b><br>lr {a:.3g}: {b:.4g}" for a, b in zip(x, y, strict=True)]
    key = list(_keys(found))[place]
    own = {"legendgroup": name}
    dots = {"size": 6, "color": key.colour}
    low, high = ([limit(each.losses[k]) for k in there] for limit in (min, max))
    shade = traces.band(x, low, [min(h, top) for h in high]) | own | {"fillcolor": f"{key.colour}/0.15"}
    line = traces.line(
        x, y, line={**traces.of_key(key), "width": 2}, mode="lines+markers", marker=dots, text=words, **own
    )
    lost = [rate for k, rate in enumerate(each.rates) if k not in there]
    cross = {"symbol": "x-thin", "size": 8, "line": {"width": 2, "color": key.colour}}
    return [shade, line, traces.crosses(lost, top, hoverinfo="skip", **own) | {"marker": cross}]


def _keys(found: FoundRate) -> Iterator[Key]:
    for place, each in enumerate(found.rounds):
        last = place == len(found.rounds) - 1
        yield Key(_name(each), traces.paint(found.optimizer) if last else EARLIER, () if last else (5, 3))


def _name(each: Round) -> str:
    return f"runs of {count(each.steps, 'step')}"


def _marks(found: FoundRate) -> Iterator[dict[str, Any]]:
    if found.basin is not None:
        yield traces.span(found.basin.low, found.basin.high, "--good")
    if found.interval is not None:
        yield traces.span(*found.interval, "--accent")
    if found.rate is not None:
        yield traces.upright(found.rate)
    if found.edge is not None and math.isfinite(found.edge):
        yield traces.upright(found.edge, "--bad", "5px,3px")


def _reading(found: FoundRate) -> str:
    edge = found.edge is not None and math.isfinite(found.edge)
    parts = {
        "Upright line: the best rate for full runs": found.rate is not None,
        "green: rates that learn 90 % as much": found.basin is not None,
        "blue: 95 % over seeds": found.interval is not None,
        "red: too large from here on": edge,
    }
    told = "; ".join(text for text, there in parts.items() if there)
    return f"{told[0].upper()}{told[1:]}. " if told else ""


def _in_words(found: FoundRate) -> str:
    lowest = []
    for each in found.rounds:
        loss, rate = min(zip(each.means, each.rates, strict=True))
        lowest.append(
            f"{_name(each)}: lowest {loss:.4g} at {short(rate)}"
            if math.isfinite(loss)
            else f"{_name(each)}: all diverged"
        )
    return "; ".join(lowest) + f". {found.paste or 'No clear answer'}."
