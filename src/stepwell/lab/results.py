"""What a comparison came to, and its file.

`results.json` is one object. Version 1 of its schema:

    schema       "stepwell.compare"            version     1
    stepwell     the version that wrote it     environment versions of python, numpy, torch; machine; processors
    started      UTC, ISO 8601                 wall_seconds  how long all of it took
    complete     false if it was interrupted: then `runs` and `ranking` have what was done until then
    task         name, about, measured (what the loss is called, with its unit), lowest (the least loss there can be),
                 goal {metric, value, words}, batch, every (steps between measurements)
    settings     optimizers, rates (of the grid, before it was extended), seeds, epochs, steps, workers
    ranking      from best to worst, an object for each optimizer at its best learning rate:
                 optimizer, lr, edge (true if no rate beyond that one was tried), tied (true if no worse than the first
                 at some seed), seeds (how many), loss and accuracy {median, low, high}, goal_step (median over seeds,
                 null if most did not get there), goal_reached (at how many seeds), step_microseconds
    runs         every run, in the order optimizer, lr, seed, as `stepwell.lab.train.Run` says: optimizer, lr, seed,
                 status ("done" or "diverged"), steps, goal_step, loss, accuracy, step_microseconds, seconds,
                 curve {step, loss, accuracy, seconds}

A number that is not finite is null. Equal settings, seeds and versions give equal numbers, except for times.
"""

import json
import math
import os
import platform
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import stepwell
from stepwell.files import write
from stepwell.lab.search import Search
from stepwell.lab.train import Run

SCHEMA, VERSION = "stepwell.compare", 1


@dataclass(frozen=True)
class Spread:
    """A number over seeds. Infinity stands for a run that diverged."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Self:
        """The spread of some numbers, None being infinite."""
        numbers = [math.inf if x is None else x for x in values]
        return cls(statistics.median(numbers), min(numbers), max(numbers))


@dataclass(frozen=True)
class Standing:
    """An optimizer's place: its results at its best learning rate (see this module's text for the names)."""

    optimizer: str
    lr: float
    edge: bool
    tied: bool
    seeds: int
    loss: Spread
    accuracy: Spread | None
    goal_step: float | None
    goal_reached: int
    step_microseconds: float


@dataclass
class Results:
    """The runs of a comparison and what they were made with."""

    task: dict[str, Any]
    settings: dict[str, Any]
    environment: dict[str, Any]
    started: str
    stepwell: str = stepwell.__version__
    wall_seconds: float = 0.0
    complete: bool = False
    runs: list[Run] = field(default_factory=list)

    @classmethod
    def of(cls, search: Search) -> Self:
        """The empty results of a search that is about to begin."""
        task = {k: getattr(search.task, k) for k in ("name", "about", "measured", "lowest", "batch", "every")}
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(task | {"goal": asdict(search.task.goal)}, search.settings(), _environment(), started)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The results in a file, or in a folder's results.json. Errors: ValueError if it is something else."""
        content = json.loads((path / "results.json" if path.is_dir() else path).read_text("utf-8"))
        if not isinstance(content, dict) or (content.get("schema"), content.get("version")) != (SCHEMA, VERSION):
            raise ValueError(f"{path} does not hold {SCHEMA} version {VERSION}")
        runs = [Run(**run) for run in content["runs"]]
        names = ("task", "settings", "environment", "started", "stepwell", "wall_seconds", "complete")
        return cls(**{name: content[name] for name in names}, runs=runs)

    def groups(self) -> dict[str, dict[float, list[Run]]]:
        """The runs by optimizer, in the settings' order, and by learning rate and seed, from the smallest."""
        order = {name: i for i, name in enumerate(self.settings["optimizers"])}
        found: dict[str, dict[float, list[Run]]] = {}
        for run in sorted(self.runs, key=lambda r: (order[r.optimizer], r.lr, r.seed)):
            found.setdefault(run.optimizer, {}).setdefault(run.lr, []).append(run)
        return found

    def best(self) -> dict[str, list[Run]]:
        """Each optimizer's runs at its best rate, the best optimizer first: by median loss over the seeds."""
        best = {name: _best(list(by_rate.values())) for name, by_rate in self.groups().items()}
        return dict(sorted(best.items(), key=lambda item: _median_loss(item[1])))

    def gather(self, search: Search) -> Iterator[Run]:
        """Train what the search plans. Each run is kept before it is handed on, so an interrupt loses none of them."""
        began = time.perf_counter()
        for run in search:
            self.runs.append(run)
            self.wall_seconds = round(time.perf_counter() - began, 2)
            yield run
        self.complete = True

    def ranking(self) -> list[Standing]:
        """The optimizers from best to worst."""
        best = self.best()
        first = next(iter(best.values()), [])
        groups = self.groups()
        return [_standing(runs, list(groups[name]), first) for name, runs in best.items()]

    def document(self) -> dict[str, Any]:
        """What results.json holds, as plain Python that JSON can write."""
        ranking = [_finite(asdict(standing)) for standing in self.ranking()]
        runs = [asdict(run) for by_rate in self.groups().values() for group in by_rate.values() for run in group]
        own = {name: getattr(self, name) for name in ("stepwell", "environment", "started", "wall_seconds", "complete")}
        return {"schema": SCHEMA, "version": VERSION, **own, "task": self.task, "settings": self.settings,
                "ranking": ranking, "runs": runs}  # fmt: skip

    def json(self) -> str:
        """The document as text, with a line for each place of the ranking and for each run."""
        document = self.document()
        long = {name: document.pop(name) for name in ("ranking", "runs")}
        parts = [_dump(document, indent=1).removesuffix("\n}")]
        for name, rows in long.items():
            parts.append(f' "{name}": [\n' + ",\n".join("  " + _dump(row) for row in rows) + "\n ]")
        return ",\n".join(parts) + "\n}\n"

    def write(self, folder: Path) -> None:
        """Put results.json into a folder; what was there stays until all of the new file is."""
        write(folder / "results.json", self.json())


def _dump(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def _environment() -> dict[str, Any]:
    versions = {"python": platform.python_version()} | {name: version(name) for name in ("numpy", "torch")}
    return versions | {"machine": f"{platform.system()} {platform.machine()}", "processors": os.cpu_count()}


def _median_loss(runs: Sequence[Run]) -> float:
    return Spread.of(run.loss for run in runs).median


def _best(groups: Sequence[list[Run]]) -> list[Run]:
    """The lowest median loss among the groups with most seeds: an interrupted search has fewer of some."""
    most = max(map(len, groups))
    return min((runs for runs in groups if len(runs) == most), key=_median_loss)


def _standing(runs: list[Run], rates: list[float], first: list[Run]) -> Standing:
    loss = Spread.of(run.loss for run in runs)
    leading = {run.seed: run.loss for run in first}
    pairs = [(run.loss, leading.get(run.seed)) for run in runs]
    accuracies = [run.accuracy for run in runs]
    goal_step = Spread.of(run.goal_step for run in runs).median
    return Standing(
        optimizer=runs[0].optimizer,
        lr=runs[0].lr,
        edge=len(rates) > 1 and runs[0].lr in (rates[0], rates[-1]),
        tied=runs is not first and any(a is not None and b is not None and a <= b for a, b in pairs),
        seeds=len(runs),
        loss=loss,
        accuracy=_spread_upward(accuracies) if runs[0].curve["accuracy"] else None,
        goal_step=goal_step if math.isfinite(goal_step) else None,
        goal_reached=sum(run.goal_step is not None for run in runs),
        step_microseconds=round(statistics.median(run.step_microseconds for run in runs), 2),
    )


def _spread_upward(values: Sequence[float | None]) -> Spread:
    """The spread of numbers of which more is better: a run that diverged has none, that is 0."""
    return Spread.of(0.0 if x is None else x for x in values)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(x) for key, x in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
