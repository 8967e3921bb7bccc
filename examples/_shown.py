"""What people look at: a table of ways for stdout, and a picture."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from _ways import MEASURED, Run, Task, end_early, say, spread
from stepwell.pages import plots, style

POINTS = 60  # of a curve


def table(task: Task, runs: Sequence[Run]) -> str:
    """A line for each way, and what its columns mean."""
    at, losses = runs[0].way.steps, runs[0].held
    head = ["", "steps", "optimizer step", "whole step", "state", "extra", "training loss", f"held out, step {at}",
            "at the end", "weights off by"]  # fmt: skip
    rows = [head] + [
        [
            run.way.name, str(run.way.steps), _ms(run.step), _ms(run.whole), _mb(run.state), _mb(run.extra),
            f"{_ends(run)[0]:.4f} → {_ends(run)[1]:.4f}", f"{run.held[at]:.4f}", f"{run.held[run.way.steps]:.4f}",
            "–" if run.difference is None else f"{run.difference:.1e}",
        ]
        for run in runs
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    flushes = ", ".join(f"{run.way.name} {run.flush * 1e3:.1f} ms" for run in runs[1:])
    level, name = task.level
    lines += [
        "",
        "Times are medians. A whole step has the forward and backward pass too; in it, exact brings rows up to date.",
        f"Parameters: {_mb(runs[0].parameters)}; extra: the peak beyond them and the state, in {MEASURED} steps.",
        f"Losses in nats; training: means of the first and last tenth of the steps. Held out, {name}: {level:.4f}; "
        f"the start: {losses[0]:.4f}.",
        f"Weights are compared with the first line's at step {at}; rounding grows on the way, less so with --double.",
        f"flush() at step {at}: {flushes}.",
    ]
    return "\n".join(lines)


def picture(task: Task, runs: Sequence[Run], path: Path) -> None:
    """Losses and times against steps, as PNG; where some ways end early, over the logarithm of steps."""
    log = "x" if end_early([run.way.steps for run in runs]) else ""
    losses = [_curve(run, run.losses, np.mean, log) for run in runs]
    first = 1 if log else 0
    held = [
        plots.Line(run.way.name, list(run.held.values())[first:], list(run.held)[first:], marker="o") for run in runs
    ]
    whole = [_curve(run, 1e3 * np.array(run.whole), np.median, log) for run in runs]
    own = [_curve(run, 1e3 * np.array(run.step), np.median, log) for run in runs]
    level, name = task.level
    figure = plots.figure(
        task.title,
        _first_behind(plots.lines(losses, "Training", "step", "loss [nats]", log=log)),
        _first_behind(plots.lines(held, "Held out", "step", "loss [nats]", log=log, level=level, level_label=name)),
        *(
            plots.lines(
                curves, title, "step", "time [ms]", log=f"{log}y" if log else "", ylim=None if log else _up(curves)
            )
            for title, curves in (("The whole step", whole), ("The optimizer's step", own))
        ),
    )
    style.save(figure, path)
    say(f"picture: {path}")


def _first_behind(panel: plots.Panel) -> plots.Panel:
    """The first curve wide and pale, so that one that lies on it does not hide it."""

    def paint(axes: Any) -> None:
        panel(axes)
        axes.lines[0].set(linewidth=6, alpha=0.3)
        axes.legend()

    return paint


def _up(curves: Sequence[plots.Line]) -> plots.Limits:
    return 0.0, 1.4 * max(float(np.quantile(curve.y, 0.9)) for curve in curves)


def _curve(run: Run, values: Any, middle: Callable[[Any], Any], log: str) -> plots.Line:
    """The middle of some steps at a time: as many each time or, for a logarithmic axis, ever more."""
    ends = spread(len(values), POINTS, bool(log))
    blocks = np.split(np.asarray(values), ends[:-1])
    return plots.Line(run.way.name, [float(middle(block)) for block in blocks], ends)


def _ends(run: Run) -> tuple[float, float]:
    tenth = max(len(run.losses) // 10, 1)
    return float(np.mean(run.losses[:tenth])), float(np.mean(run.losses[-tenth:]))


def _ms(seconds: Sequence[float]) -> str:
    return f"{1e3 * float(np.median(seconds)):.3g} ms"


def _mb(size: int | None) -> str:
    return "–" if size is None else f"{size / 1e6:.1f} MB"
