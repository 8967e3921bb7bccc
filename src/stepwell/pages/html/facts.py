"""What was run, with what, and every run of it: the parts that all kinds of results with runs have."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from stepwell.lab.names import count
from stepwell.lab.sweeps.results import Results
from stepwell.lab.trial import DIVERGED, Run
from stepwell.pages.html.blocks import Cell, Facts, Notes, Part, Table, Tile

MANY = 20  # seeds that are named one by one, at most
NAMED = 3  # optimizers that a tile names, if there are more than one more


def tried(results: Results) -> Part:
    """What was run: the task, the settings, how many runs, how long and in what way."""
    task, settings, runs = results.task, results.settings, results.runs
    lost = sum(run.loss is None for run in runs)
    pairs = {
        "Task": f"{task['name']}: {task['about']}",
        "Measured": task["measured"] + (f"; {task['metric_name']}" if any(r.curve["metric"] for r in runs) else ""),
        "Optimizers": ", ".join(settings["optimizers"]),
        "Search": _search(settings),
        "Steps of a run": f"{settings['steps']}, each of {task['batch']} rows",
        "Schedule": task["schedule"] or "",
        "Clipping": f"gradients to a norm of {task['clip_norm']:g}" if task["clip_norm"] else "",
        "Goal": task["goal"]["words"] if task["goal"] else "",
        "Runs": f"{len(runs)}, of which {lost} diverged" if lost else str(len(runs)),
        "Time": seconds(results.wall_seconds),
        "Way": settings["way"]["reason"] if settings["way"] else "",
    }
    return Part("What was run", [Facts({name: text for name, text in pairs.items() if text})])


def _search(settings: Mapping[str, Any]) -> str:
    if settings["trials"]:
        text = f"{settings['trials']} settings of each optimizer, chosen by {settings['sampler']}"
    else:
        text = f"a grid of {count(settings['rates'], 'learning rate')}, farther where the best was at its edge"
    return text + (f"; successive halving by {settings['halving']}" if settings["halving"] else "")


def surroundings(stepwell: str, environment: Mapping[str, Any], started: str, **more: str) -> Part:
    """With which versions and seeds, on what, and when."""
    pairs = {"Stepwell": stepwell} | {name.capitalize(): str(value) for name, value in environment.items()}
    pairs |= {"Started": when(started)} | more
    return Part("Versions and seeds", [Facts({name: text for name, text in pairs.items() if text})])


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Seeds one by one, or from the first to the last.

    >>> seeds_in_words([0, 1, 2, 7])
    '0, 1, 2, 7'
    """
    if len(seeds) > MANY and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def when(started: str) -> str:
    """A time as people write it; what is none as it stands.

    >>> when("2024-01-31T10:20:30+00:00")
    '31 January 2024, 10:20 UTC'
    """
    try:
        time = datetime.fromisoformat(started)
    except ValueError:
        return started
    zone = time.tzname() or ""
    return f"{time.day} {time:%B %Y, %H:%M} {zone}".strip()


def seconds(time: float | None) -> str:
    """A time for people.

    >>> seconds(0.25), seconds(75), seconds(4020)
    ('0.25 s', '1 min 15 s', '1 h 7 min')
    """
    if time is None or not math.isfinite(time):
        return "–"
    if time < 60:
        return f"{time:.3g} s"
    if time < 3600:
        return f"{int(time // 60)} min {int(time % 60)} s"
    return f"{int(time // 3600)} h {int(time % 3600 // 60)} min"


def every_run(runs: Iterable[Run], metric: str, file: str) -> Part:
    """All runs in a table that can be searched and sorted, folded away."""
    runs = list(runs)
    names = list(dict.fromkeys(name for run in runs for name, _ in run.hyper))
    scored, aimed = (any(getattr(run, name) is not None for run in runs) for name in ("metric", "goal_step"))
    columns = ["optimizer", "learning rate", *names, "seed", "steps", "state", "loss", *[metric] * scored,
               "least loss", *["goal at step"] * aimed, "seconds"]  # fmt: skip
    rows = []
    for run in runs:
        more = dict(run.hyper)
        lost = Cell("diverged", math.inf, tone="bad")
        state = Cell(f"diverged at step {run.taken}", tone="bad") if run.status == DIVERGED else Cell(run.status)
        rows.append([
            Cell(run.optimizer), value(run.lr), *(value(more.get(name)) for name in names), value(run.seed),
            value(run.steps), state, lost if run.loss is None else value(run.loss), *[value(run.metric)] * scored,
            value(run.best), *[value(run.goal_step)] * aimed, value(run.seconds, 3),
        ])  # fmt: skip
    table = Table(f"Every run, {len(runs)}", columns, rows, words=(0, columns.index("state")), noun="run")
    return Part(
        f"All {count(len(runs), 'run')}", [table, Notes([f"With their curves they are in {file}."])], folded=True
    )


def score(name: str, middle: float, low: float, high: float) -> Tile:
    """A metric and its range.

    >>> score("accuracy", 0.95, 0.9, 0.96).value
    '95.0 %'
    """
    share = name == "accuracy"
    text = [f"{100 * x:.1f} %" if share else f"{x:.4g}" for x in (middle, low, high)]
    return Tile(name.capitalize(), text[0], f"{text[1]} to {text[2]}" if low < high else "")


def some(names: Sequence[str]) -> str:
    """The first of some names, and how many others there are.

    >>> some(["adam", "lion"]), some(list("abcdef"))
    ('adam, lion', 'a, b, c and 3 others')
    """
    few = len(names) <= NAMED + 1
    return ", ".join(names) if few else f"{', '.join(names[:NAMED])} and {len(names) - NAMED} others"


def value(x: float | None, digits: int = 4) -> Cell:
    """A number in a cell."""
    return Cell("–", math.inf) if x is None else Cell(f"{x:.{digits}g}", float(x))
