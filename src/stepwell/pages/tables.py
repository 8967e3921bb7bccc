"""The ranked table of a comparison, for a terminal and for a report."""

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stepwell.lab import bench
from stepwell.lab.names import count
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.standing import Spread, Standing

if TYPE_CHECKING:
    from rich.table import Table

RANGE = "range"
HEADING = 8  # characters; longer headings take several lines


def columns(results: Results) -> list[str]:
    """The headings of the ranked table, its columns of numbers from the third on."""
    loss = results.task["measured"].partition(" [")[0]
    metric = [results.task["metric_name"], RANGE] if _has_metric(results) else []
    goal = [f"steps to {results.task['goal']['words']}"] if results.task["goal"] else []
    return ["", "optimizer", *(["more"] if _has_more(results) else []), "best rate", loss, RANGE, *metric, *goal]


def rows(results: Results) -> list[list[str]]:
    """A row for each optimizer, best first."""
    return [_row(place, standing, results) for place, standing in enumerate(results.ranking(), 1)]


def notes(results: Results) -> list[str]:
    """What the reader of the table must know, the signs that occur in it first."""
    ranking, settings = results.ranking(), results.settings
    found = []
    if any(standing.tied for standing in ranking):
        found.append("≈ not told from the first: the 95 % interval of the difference, paired by seed, holds 0.")
    if any(standing.edge for standing in ranking):
        found.append("* the best of the rates that were tried is the outermost: a better one may lie beyond.")
    found.append(
        f"Each run: {settings['steps']} steps of {results.task['batch']} rows. Median and range over "
        f"{count(len(settings['seeds']), 'seed')}; at a seed all start with the same weights and see the same batches."
    )
    lost = sum(run.loss is None for run in results.runs)
    if lost:
        found.append(f"{lost} of {count(len(results.runs), 'run')} diverged; results.json has them too.")
    return found


def ranking(results: Results, width: int | None = None) -> "Table":
    """The ranked table for a terminal; the ranges are left out where it would be wider than `width`."""
    from rich.console import Console
    from rich.measure import Measurement

    full = _table(columns(results), rows(results))
    console = Console(width=1000, markup=False, emoji=False)
    if width is None or Measurement.get(console, console.options, full).maximum <= width:
        return full
    kept = [i for i, name in enumerate(columns(results)) if name != RANGE]
    return _table([columns(results)[i] for i in kept], [[row[i] for i in kept] for row in rows(results)])


def markdown(headings: Sequence[str], body: Sequence[Sequence[str]], names: int = 2) -> str:
    """A table in Markdown; the first columns are names, the others numbers, to the right."""
    rule = ["---" if i < names else "---:" for i in range(len(headings))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (headings, rule, *body))


def benchmarks(measured: Sequence[bench.Row]) -> "Table":
    """The rows of benchmarks: what was measured, against whom, and whether it is what was promised."""
    signs = {True: "✓", False: "✗ below", None: ""}
    body = []
    for row in measured:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f} ×"
        limit = "" if row["limit"] is None else f"{row['limit']:.0%}"
        floor = "" if row["floor"] is None else f"≥ {row['floor']:g}"
        body.append([signs[bench.kept(row)], row["name"], ratio, row["peer"] or "", limit, floor, row["detail"] or ""])
    return _table(["", "what", "ratio", "against", "of the limit", "promised", "measured"], body)


def _table(headings: Sequence[str], body: Sequence[Sequence[str]]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for i, heading in enumerate(headings):
        table.add_column(
            textwrap.fill(heading, HEADING, break_long_words=False),
            justify="left" if i == 1 else "right",
            vertical="bottom",
            no_wrap=i < 2,
        )
    for row in body:
        table.add_row(*row)
    return table


def _row(place: int, standing: Standing, results: Results) -> list[str]:
    metric, share = standing.metric, _metric_text(results)
    shown = [share(metric.median), _range(metric, share)] if metric else ["–", "–"]
    steps = "–" if standing.goal_step is None else f"{standing.goal_step:g}"
    if 0 < standing.goal_reached < standing.seeds:
        steps += f" ({standing.goal_reached}/{standing.seeds})"
    more = ", ".join(f"{name} {value:.3g}" for name, value in standing.hyper.items())
    return [
        f"{'≈ ' if standing.tied else ''}{place}",
        standing.optimizer,
        *([more] if _has_more(results) else []),
        f"{standing.lr:.3g}{'*' if standing.edge else ''}",
        _loss(standing.loss.median),
        _range(standing.loss, _loss),
        *(shown if _has_metric(results) else []),
        *([steps] if results.task["goal"] else []),
    ]


def _has_metric(results: Results) -> bool:
    return any(run.curve["metric"] for run in results.runs)


def _has_more(results: Results) -> bool:
    return any(run.hyper for run in results.runs)


def _metric_text(results: Results) -> Callable[[float], str]:
    return _percent if results.task["metric_name"] == "accuracy" else _loss


def _range(spread: Spread, text: Callable[[float], str]) -> str:
    return f"{text(spread.low)} – {text(spread.high)}"


def _loss(x: float) -> str:
    return "diverged" if math.isinf(x) else f"{x:.4f}" if x < 100 else f"{x:.1e}"


def _percent(x: float) -> str:
    return f"{100 * x:.1f} %"
