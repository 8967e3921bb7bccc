"""The figures of a comparison, and of a schedule."""

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from stepwell.lab.names import count
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.standing import Spread
from stepwell.lab.trial import Run
from stepwell.pages.style import COLOURS, GREY, draw, look, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 2
Points = list[tuple[float, Spread]]


def curves(results: Results) -> "Figure":
    """Loss against steps, each optimizer at its best rate: a panel a family, all others in grey behind it."""
    return draw(_paint_curves, results)


def rates(results: Results) -> "Figure":
    """Final loss against the learning rate: how wide each optimizer's good rates are, and where it diverges."""
    return draw(_paint_rates, results)


def schedule(values: Sequence[float], title: str) -> "Figure":
    """A learning rate against the step."""
    return draw(_paint_schedule, values, title)


def _paint_curves(figure: "Figure", results: Results) -> None:
    best = results.best()
    lines = {name: _over_steps(runs, results.task["lowest"]) for name, runs in best.items()}
    for axes, members in _grid(figure, list(best), "step", _loss_name(results)):
        for points in lines.values():
            axes.plot(*_medians(points), color=GREY, linewidth=0.8, zorder=1)
        for depth, name in enumerate(members):
            _line(axes, lines[name], name, depth, f"{name}\nlr {best[name][0].lr:g}")
        axes.set_yscale("log")
        _goal(axes, results)
        axes.set_xlim(0, results.settings["steps"])
    about = f"steps of {results.task['batch']} rows; grey: all the others"
    _title(figure, results, "every optimizer at its best learning rate", about)


def _paint_rates(figure: "Figure", results: Results) -> None:
    groups, lowest = results.groups(), results.task["lowest"]
    starts = [run.curve["loss"][0] for run in results.runs]
    top = 3 * (max((x for x in starts if x is not None), default=1.0) - lowest)
    best = {name: runs[0].lr for name, runs in results.best().items()}
    axes = None
    for axes, members in _grid(figure, list(groups), "learning rate", f"final {_loss_name(results)}"):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for depth, name in enumerate(members):
            points = [(lr, _above(lowest, [r.loss for r in runs])) for (lr, _), runs in groups[name].items()]
            inside = [(lr, spread) for lr, spread in points if spread.median <= top]
            _line(axes, inside, name, depth, name, marker="o", markersize=3.5)
            at_best = [spread.median for lr, spread in inside if lr == best[name]]
            lost = [lr for lr, spread in points if spread.median > top]
            marks = {"color": look(name)["color"], "linestyle": "none", "markerfacecolor": "none", "zorder": 4}
            axes.plot([best[name]] * len(at_best), at_best, marker="o", markersize=9, **marks)
            axes.plot(lost, [top] * len(lost), marker="x", markersize=7, **marks)
    if axes:
        axes.set_ylim(
            top=1.3 * top
        )  # after the last panel: on common axes a limit stops what follows from widening them
    _title(figure, results, "how much the learning rate matters", "circle: best rate; cross: diverged or off scale")


def _paint_schedule(figure: "Figure", values: Sequence[float], title: str) -> None:
    figure.set_size_inches(8, 4)
    axes = figure.add_subplot()
    axes.step(range(len(values)), values, where="post", color=COLOURS[0])
    axes.set(
        title=textwrap.fill(title, 70),
        xlabel="step (updates, from 0)",
        ylabel="learning rate",
        xlim=(0, max(len(values) - 1, 1)),
    )
    axes.set_ylim(bottom=min(0.0, *values) if len(values) > 1 else 0.0)


def _title(figure: "Figure", results: Results, what: str, about: str) -> None:
    seeds = count(len(results.settings["seeds"]), "seed")
    figure.suptitle(f"{results.task['name']}: {what}\nmedian and range over {seeds}; {about}", fontsize=11)


def _grid(figure: "Figure", optimizers: Sequence[str], x: str, y: str) -> Iterator[tuple["Axes", list[str]]]:
    """A panel for each group of families, with common axes; after its curves are drawn its legend is set beside it."""
    groups = panels(optimizers)
    columns = min(COLUMNS, len(groups))
    rows = math.ceil(len(groups) / columns)
    figure.set_size_inches(6.2 * columns + 1.2 * (columns == 1), 0.9 + 2.9 * rows)
    grid: Any = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(groups):
            axes.remove()
            continue
        title, members = list(groups.items())[place]
        yield axes, members
        axes.set_title(title)
        axes.tick_params(labelbottom=True, labelleft=True)
        if place >= len(groups) - columns:
            axes.set_xlabel(x)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, labelspacing=0.7)
    figure.supylabel(y, fontsize=10)


def _line(axes: "Axes", points: Points, name: str, depth: int, label: str, **marks: Any) -> None:
    width = max(2.8 - 0.4 * depth, 1.2)  # the deeper curve is the wider, so that one on top of its equal hides nothing
    axes.plot(*_medians(points), label=label, zorder=3 + 0.1 * depth, linewidth=width, **look(name), **marks)
    low, high = [s.low for _, s in points], [s.high if math.isfinite(s.high) else math.nan for _, s in points]
    axes.fill_between([x for x, _ in points], low, high, color=look(name)["color"], alpha=0.13, linewidth=0, zorder=2)


def _medians(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [spread.median for _, spread in points]


def _over_steps(runs: Sequence[Run], lowest: float) -> Points:
    longest = max((run.curve["step"] for run in runs), key=len)
    at = [[run.curve["loss"][i] if i < len(run.curve["loss"]) else None for run in runs] for i in range(len(longest))]
    return [(step, _above(lowest, losses)) for step, losses in zip(longest, at, strict=True) if step is not None]


def _above(lowest: float, losses: Sequence[float | None]) -> Spread:
    return Spread.of(None if loss is None else max(loss - lowest, 1e-12) for loss in losses)


def _goal(axes: "Axes", results: Results) -> None:
    goal = results.task["goal"]
    if goal and goal["metric"] == "loss":
        axes.axhline(goal["value"] - results.task["lowest"], color="#555555", linewidth=0.9, label=goal["words"])


def _loss_name(results: Results) -> str:
    task = results.task
    return f"{task['measured']} above the least, {task['lowest']:.6f}" if task["lowest"] else task["measured"]
