"""The picture of a search for a learning rate: what short runs came to at each rate, and what follows from it."""

import math
from typing import TYPE_CHECKING

from stepwell.lab.rates.found_rate import FoundRate, Round, short
from stepwell.pages.style import COLOURS, GREY, draw, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EARLIER = "#999999"  # rounds before the last
MARKED = 40  # rates of a round beyond which it is a curve without dots


def figure(found: FoundRate) -> "Figure":
    """Loss against rate, a curve for each round of runs; the best rate, those as good, and where training fails."""
    return draw(_paint, found)


def _paint(figure: "Figure", found: FoundRate) -> None:
    figure.set_size_inches(8.4, 4.4)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    if all(min(each.means) > 0 for each in found.rounds):
        axes.set_yscale("log")
    top = max((each.initial + abs(each.initial) / 2 for each in found.rounds), default=1.0)
    colours = [EARLIER] * (len(found.rounds) - 1) + [look(found.optimizer)["color"]]
    for each, colour in zip(found.rounds, colours, strict=True):
        _round(axes, each, colour, top)
    for each in found.rounds[-1:]:
        axes.axhline(each.initial, color=GREY, linestyle=":", label="before training")
    axes.set_xscale("log")
    axes.set_ylim(top=1.05 * top)
    if any(each.initial > 0 and min(each.means) > 0 for each in found.rounds):
        axes.set_yscale("log")
    _answer(axes, found)
    axes.set(xlabel="learning rate", ylabel="loss")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    steps = f"{found.cost.full} steps"
    figure.suptitle(f"{found.optimizer} on {found.task}, for full runs of {steps}: {found.paste or 'no clear answer'}")


def _round(axes: "Axes", each: Round, colour: str, top: float) -> None:
    """The mean of a round's runs and their range over seeds; a cross where one diverged or is far above."""
    there = [mean <= top for mean in each.means]
    inside = [k for k, is_there in enumerate(there) if is_there]
    rates = [each.rates[k] for k in inside]
    marker = "o" if len(each.rates) <= MARKED else ""
    label = f"runs of {each.steps} steps"
    axes.plot(rates, [each.means[k] for k in inside], color=colour, marker=marker, markersize=4, label=label)
    low, high = ([limit(each.losses[k]) for k in inside] for limit in (min, max))
    axes.fill_between(rates, low, high, color=colour, alpha=0.15, linewidth=0)
    if lost := [rate for rate, is_there in zip(each.rates, there, strict=True) if not is_there]:
        axes.plot(lost, [top] * len(lost), color=colour, marker="x", linestyle="none", label="diverged or off scale")


def _answer(axes: "Axes", found: FoundRate) -> None:
    if found.basin is not None:
        low, high = found.basin.low, found.basin.high
        axes.axvspan(low, high, color=COLOURS[2], alpha=0.1, linewidth=0, label="learns 90 % as much")
    if found.interval is not None:
        axes.axvspan(*found.interval, ymax=0.03, color="black", label="95 % over seeds")
    if found.rate is not None:
        axes.axvline(found.rate, color="black", linewidth=1.2, label=f"best, {found.paste}")
    if found.edge is not None and math.isfinite(found.edge):
        axes.axvline(found.edge, color=COLOURS[1], linestyle="--", label=f"too large from {short(found.edge)}")
