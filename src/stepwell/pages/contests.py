"""The figures of a comparison: what tuning buys, who is better by how much, how often each is among the quickest."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from stepwell.lab.comparisons.comparison import Comparison
from stepwell.lab.comparisons.contest import Contest
from stepwell.lab.comparisons.judge import Judgement, Standing
from stepwell.lab.names import count
from stepwell.lab.statistics import differences
from stepwell.pages.style import GREY, draw, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = 40.0  # the largest difference over what is to be seen near 0, from which on the scale is logarithmic
DEEPEST = 1e9  # the largest difference over the noise floor that such a scale still shows
TICKS = 4  # powers of ten that are named on either side of 0
PROFILES = {"steps": "steps to the target", "seconds": "time to the target"}


def tuning(contest: Contest) -> "Figure":
    """The best loss against the number of settings tried: the median search, and half of all searches as a band."""
    return draw(_paint_tuning, contest)


def gaps(contest: Contest) -> "Figure":
    """How much more each optimizer's loss is than the leader's: the mean, its interval, every seed, the noise floor."""
    return draw(_paint_gaps, contest)


def profile(comparison: Comparison) -> "Figure":
    """The share of tasks on which each optimizer reaches the target within a factor of the quickest one's cost."""
    return draw(_paint_profile, comparison)


def _paint_tuning(figure: "Figure", contest: Contest) -> None:
    from matplotlib.ticker import MaxNLocator

    figure.set_size_inches(7.4, 4.4)
    axes = figure.add_subplot()
    task = contest.results.task
    for depth, (name, luck) in enumerate(contest.luck.items()):
        low, median, high = (np.array(x) - task["lowest"] for x in (luck.low, luck.median, luck.high))
        high = np.where(np.isfinite(high), high, np.nan)
        style = look(name)
        axes.plot(luck.trials, np.where(np.isfinite(median), median, np.nan), label=name, **_width(depth), **style)
        axes.fill_between(luck.trials, low, high, color=style["color"], alpha=0.13, linewidth=0)
    shown = [x for line in axes.lines for x in np.asarray(line.get_ydata(), float) if math.isfinite(x)]
    if shown and min(shown) > 0:
        axes.set_yscale("log")
    less = f" above the least, {task['lowest']:.6f}" if task["lowest"] else ""
    axes.set(xlabel="settings tried, picked blindly from all", ylabel=f"best {task['measured']}{less}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(left=1)
    _beside(axes)
    seeds = count(len(contest.results.settings["seeds"]), "tuning seed")
    _title(figure, contest, "what tuning gives", f"median search and the middle half of searches; {seeds}")


def _paint_gaps(figure: "Figure", contest: Contest) -> None:
    assert contest.judgement
    judgement = contest.judgement
    figure.set_size_inches(7.4, 1.9 + 0.42 * len(judgement.standings))
    axes = figure.add_subplot()
    values = [_gaps(judgement, each) for each in judgement.standings]
    scale = _scale(axes, judgement, np.concatenate(values))
    if judgement.noise and math.isfinite(judgement.noise):
        label = f"noise floor (A/A): {judgement.noise:.2g}"
        axes.axvspan(-judgement.noise, judgement.noise, color=GREY, alpha=0.45, linewidth=0, label=label)
    axes.axvline(0, color="#555555", linewidth=0.9, zorder=1)
    for row, (standing, gap) in enumerate(zip(judgement.standings, values, strict=True)):
        _row(axes, row, standing, gap, scale)
    axes.set_yticks(range(len(values)), [each.optimizer for each in judgement.standings])
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.set_xlabel(f"{contest.results.task['measured']}, less that of {contest.leader} at the same seed")
    _beside(axes)
    seeds = count(len(values[0]), "fresh seed")
    about = f"mean and {100 * judgement.each:.4g} % interval over {seeds}; hollow: a tie; a dot a seed"
    _title(figure, contest, "who is better, and how sure that is", about)


def _row(axes: "Axes", row: int, standing: Standing, gap: np.ndarray, limits: tuple[float, float]) -> None:
    """An optimizer's line: the interval with the mean on it, hollow where it is a tie; below it, its seeds."""
    colour = look(standing.optimizer)["color"]
    if standing.against is None:
        axes.plot(0, row, marker="D", color=colour, markersize=8, linestyle="none", clip_on=False)
        return
    style = {"color": colour, "linestyle": "none", "clip_on": False}
    seen, lost = gap[np.isfinite(gap)], np.clip(gap[np.isinf(gap)], *limits)
    axes.plot(seen, np.full(len(seen), row + 0.22), marker=".", alpha=0.5, markersize=5, **style)
    axes.plot(lost, np.full(len(lost), row + 0.22), marker="x", markersize=6, **style)
    ends = [float(np.clip(x, *limits)) for x in (standing.against.low, standing.against.high)]
    axes.plot(ends, [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
    for end in ends:
        marker = dict(zip(limits, "<>", strict=True)).get(end, "|")
        axes.plot(end, row, marker=marker, markersize=9, markeredgewidth=2, **style)
    if math.isfinite(standing.against.estimate):
        fill = "white" if standing.verdict == "tie" else colour
        marks = style | {"markerfacecolor": fill, "markeredgewidth": 2, "zorder": 4}
        axes.plot(standing.against.estimate, row, marker="o", markersize=9, **marks)


def _scale(axes: "Axes", judgement: Judgement, values: np.ndarray) -> tuple[float, float]:
    """Set the axis of differences, logarithmic away from 0 where they are of many sizes; its limits."""
    intervals = [each.against for each in judgement.standings if each.against]
    noise = _finite([judgement.noise or 0.0])
    finite = _finite([*values, 0.0, *noise, *-noise, *(end for each in intervals for end in (each.low, each.high))])
    low, high = float(finite.min()), float(finite.max())
    largest = max(high, -low) or 1.0
    high = max(high, largest / 4)
    least = float(max([*noise, *np.sort(_finite([abs(each.estimate) for each in intervals]))[:1]], default=0.0))
    if least > 0 and largest > WIDE * least:
        near = max(float(noise[0]) if noise.any() else least, largest / DEEPEST)
        axes.set_xscale("symlog", linthresh=2 * near)
        axes.minorticks_off()
        tens = 10.0 ** np.arange(math.ceil(math.log10(2 * near)), math.log10(largest) + 1)
        tens = tens[:: -(-len(tens) // TICKS)]
        axes.set_xticks([*-tens[::-1], 0.0, *tens], [*(f"{x:g}" for x in -tens[::-1]), "0", *(f"{x:g}" for x in tens)])
        limits = (min(1.5 * low, -near), 1.5 * high)
    else:
        margin = 0.06 * (high - low)
        limits = (low - margin, high + margin)
    axes.set_xlim(*limits)
    return limits


def _finite(values: Any) -> np.ndarray:
    array = np.array(values, float)
    return array[np.isfinite(array)]


def _gaps(judgement: Judgement, standing: Standing) -> np.ndarray:
    first = judgement.standings[0].optimizer
    return differences(judgement.losses[standing.optimizer], judgement.losses[first])


def _paint_profile(figure: "Figure", comparison: Comparison) -> None:
    profiles = comparison.profiles
    figure.set_size_inches(5.4 * len(profiles), 4.0)
    panels: Any = figure.subplots(1, len(profiles), sharey=True, squeeze=False)
    for axes, (what, found) in zip(panels.flat, profiles.items(), strict=True):
        end = max(2.0, 1.15 * float(found.factors[-1]))
        for depth, (name, shares) in enumerate(zip(comparison.optimizers, found.shares, strict=True)):
            at, share = [*found.factors, end], [*shares, shares[-1]]
            axes.step(at, share, where="post", label=name, **_width(depth), **look(name))
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set(title=PROFILES[what], xlabel="within this factor of the quickest", xlim=(1, end), ylim=(-0.02, 1.04))
    panels[0, 0].set_ylabel("share of tasks")
    _beside(panels[0, -1])
    names = ", ".join(contest.name for contest in comparison.contests)
    figure.suptitle(f"How often each optimizer is among the quickest\n{names}", fontsize=11)


def _title(figure: "Figure", contest: Contest, what: str, about: str) -> None:
    figure.suptitle(f"{contest.name}: {what}\n{about}", fontsize=11)


def _width(depth: int) -> dict[str, float]:
    """A curve on top is thinner, so that it hides none that is equal to it."""
    return {"linewidth": max(3.0 - 0.5 * depth, 1.2), "zorder": 3 + 0.1 * depth}


def _beside(axes: "Axes") -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
