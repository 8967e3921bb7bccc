"""The charts of a search: loss against rate, curves at the best rates, and each hyperparameter by itself."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stepwell.lab.names import count
from stepwell.lab.sweeps.results import Results
from stepwell.lab.trial import Run
from stepwell.pages.html import losses, traces
from stepwell.pages.html.axes import layout, plain, scale
from stepwell.pages.html.blocks import Chart
from stepwell.pages.html.colours import keys
from stepwell.pages.style import panels

RATES_READ = (
    "Median of the last loss over the seeds, bars from the least to the highest. Ring: the best setting. Cross at the "
    "top: some or all seeds diverged, or ended far above the loss before training."
)
ISOLATION_READ = (
    "Every whole run, a dot each, against one hyperparameter, whatever the others were. Ring: the best setting, at its "
    "median over seeds. Cross at the top: diverged, or far above the loss before training."
)
SPREAD = 20.0  # the largest of a hyperparameter's values over the least, from which on its axis is logarithmic


def rates(results: Results) -> list[Chart]:
    """The last loss against the learning rate: a chart for a few families of optimizers; none if all diverged."""
    groups, best = results.groups(), results.best()
    top = losses.ceiling(results, results.whole)
    if math.isinf(top):
        return []
    shown = [losses.spread(results, runs) for by in groups.values() for runs in by.values()]
    inside = [x for s in shown for x in (s.low, s.median, s.high) if x <= top]
    x = scale("learning rate", [run.lr for run in results.whole], margin=0.04)
    y = scale(losses.name(results), [*inside, top])
    made = []
    for title, names in panels(list(groups)).items():
        data = [t for name in names for t in _against_rate(results, name, groups[name], best[name][0], top)]
        title = title if len(names) < len(groups) else "All optimizers"
        words = _rates_in_words(results, names, groups, best, top)
        made.append(Chart(title, "", words, data, layout(x, y), legend=keys(names)))
    return made


def _against_rate(results: Results, name: str, groups: Mapping, best: Run, top: float) -> list[traces.Trace]:
    sampled = any(hyper for _, hyper in groups)
    places = [(lr, runs, losses.spread(results, runs)) for (lr, _), runs in groups.items()]
    inside = [(lr, runs, s) for lr, runs, s in places if s.median <= top]
    x, y = [lr for lr, *_ in inside], [s.median for *_, s in inside]
    up = [min(s.high, top) - s.median for *_, s in inside]
    down = [s.median - s.low for *_, s in inside]
    bars = {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1, "width": 2}
    words = [_run_words(results, name, runs, s.median) for _, runs, s in inside]
    bars["color"] = f"{traces.paint(name)}/0.6"
    draw = traces.points if sampled else traces.line
    mode = {} if sampled else {"mode": "lines+markers", "marker": {"size": 5, "color": traces.paint(name)}}
    found = [draw(x, y, name, text=words, error_y=bars, **mode)]
    some = [(lr, runs, s) for lr, runs, s in places if s.high > top]
    lost = [_run_words(results, name, runs, s.median) for _, runs, s in some]
    found.append(traces.crosses([lr for lr, *_ in some], top, name, text=lost))
    found += [traces.ring(lr, s.median, name, hoverinfo="skip") for lr, runs, s in inside if best in runs]
    return found


def _run_words(results: Results, name: str, runs: Sequence[Run], loss: float) -> str:
    lost = sum(run.loss is None for run in runs)
    text = f"<b>{plain(name)}</b>, {plain(losses.words_of(losses.hyper_of(runs[0])))}<br>{losses.text(loss)}"
    return text + (f"<br>{lost} of {count(len(runs), 'run')} diverged" if lost else "")


def _rates_in_words(results: Results, names: Sequence[str], groups: Mapping, best: Mapping, top: float) -> str:
    parts = []
    for name in names:
        medians = [losses.spread(results, runs).median for runs in groups[name].values()]
        lost = sum(x > top for x in medians)
        lowest = losses.text(losses.spread(results, best[name]).median)
        parts.append(
            f"{name}: lowest {lowest} at {best[name][0].lr:g}, {lost} of {len(medians)} settings off the scale"
        )
    return "; ".join(parts) + "."


def curves(results: Results) -> list[Chart]:
    """The loss over the steps, each optimizer at its best setting: a chart for a few families, the others in grey."""
    best = {name: runs for name, runs in results.best().items() if any(run.loss is not None for run in runs)}
    lines = {name: losses.over_steps(results, runs) for name, runs in best.items()}
    shown = [losses.seen(x) for points in lines.values() for _, s in points for x in (s.low, s.median, s.high)]
    y = scale(losses.name(results), shown)
    x = scale(
        f"step, of {results.task['batch']} rows", [step for points in lines.values() for step, _ in points], False, 0.01
    )
    goal = results.task["goal"]
    marks = [traces.level(goal["value"] - results.task["lowest"])] if goal and goal["metric"] == "loss" else []
    made = []
    for title, names in panels(list(best)).items():
        data = [traces.grey([p for p, _ in way], [losses.seen(s.median) for _, s in way])
                for name, way in lines.items() if name not in names]  # fmt: skip
        for name in names:
            data += _curve(name, best[name][0], lines[name])
        ends = [f"{name} ends at {losses.text(lines[name][-1][1].median)}" for name in names]
        title = title if len(names) < len(best) else "All optimizers"
        made.append(Chart(title, "", "; ".join(ends) + ".", data, layout(x, y, shapes=marks), legend=keys(names)))
    return made


def curves_read(results: Results) -> str:
    """How to read the curves."""
    goal = results.task["goal"]
    seeds = count(len(results.settings["seeds"]), "seed")
    about = f"Loss over the steps. Median over {seeds}, the band from the least to the highest."
    about += " Grey: the other optimizers." if len(panels(list(results.best()))) > 1 else ""
    return about + (f" Dotted: {goal['words']}." if goal and goal["metric"] == "loss" else "")


def _curve(name: str, run: Run, way: losses.Points) -> list[traces.Trace]:
    x = [step for step, _ in way]
    low, middle, high = ([losses.seen(getattr(s, k)) for _, s in way] for k in ("low", "median", "high"))
    words = [f"<b>{plain(name)}</b>, step {step:g}<br>{losses.text(s.median)}" for step, s in way]
    return [traces.band(x, low, high, name), traces.line(x, middle, name, text=words)]


def isolation(results: Results) -> list[Chart]:
    """The loss of every whole run against one hyperparameter: a small chart for each of each optimizer."""
    best, groups, top = results.best(), results.groups(), losses.ceiling(results, results.whole)
    if math.isinf(top):
        return []
    inside = [x for run in results.whole if (x := above(results, run)) <= top]
    names = dict.fromkeys(key for run in results.whole for key in losses.hyper_of(run))
    made = []
    for key in names:
        own = {name: [r for rs in groups[name].values() for r in rs if key in losses.hyper_of(r)] for name in best}
        x = _axis_of(key, [losses.hyper_of(run)[key] for runs in own.values() for run in runs])
        y = scale(losses.name(results, long=False), [*inside, top])
        made += [_isolated(results, key, runs, best[name], top, layout(x, y)) for name, runs in own.items() if runs]
    return made


def above(results: Results, run: Run) -> float:
    """A run's last loss above the least."""
    return losses.above(results, run.loss)


def _axis_of(key: str, values: Sequence[float]) -> dict[str, Any]:
    wide = min(values) > 0 and max(values) / min(values) > SPREAD
    return scale("learning rate" if key == "lr" else key, values, log=wide or key == "lr", margin=0.08, ticks=4)


def _isolated(
    results: Results, key: str, runs: Sequence[Run], best: Sequence[Run], top: float, frame: dict[str, Any]
) -> Chart:
    name = runs[0].optimizer
    seen = [run for run in runs if above(results, run) <= top]
    lost = [run for run in runs if above(results, run) > top]
    words = [_run_words(results, name, [run], above(results, run)) + f"<br>seed {run.seed}" for run in seen]
    marks = {"size": 5, "color": f"{traces.paint(name)}/0.55"}
    place = losses.hyper_of(best[0]).get(key)
    data = [
        traces.points(
            [losses.hyper_of(r)[key] for r in seen], [above(results, r) for r in seen], name, text=words, marker=marks
        ),
        traces.crosses([losses.hyper_of(r)[key] for r in lost], top, name, hoverinfo="skip"),
    ]
    data += [
        traces.ring(place, s, name, hoverinfo="skip")
        for s in [losses.spread(results, best).median]
        if place is not None and s <= top
    ]
    least = f"the best setting has {place:.4g}" if place is not None else "no best setting"
    summary = f"{count(len(runs), 'run')}, {len(lost)} off the scale; {least}."
    shapes = [] if place is None else [traces.upright(place, "--line")]
    return Chart(
        f"{name}: {'learning rate' if key == 'lr' else key}", "", summary, data, frame | {"shapes": shapes}, 230
    )
