"""What a search came to, and its file.

`results.json` is one object. Version 2 of its schema:

    schema       "stepwell.results"            version     2
    stepwell     the version that wrote it     environment versions of python, numpy, torch; machine; processors
    started      UTC, ISO 8601                 wall_seconds  how long all of it took
    complete     false if it was interrupted: then `runs` and `ranking` have what was done until then
    task         name, about, measured (what the loss is called, with its unit), metric_name, lowest (the least loss
                 there can be), goal {metric, value, words} or null, batch, schedule, clip_norm
    settings     optimizers, seeds, steps (of a whole run), rates (of the grid, before it was extended), halving,
                 trials, sampler; foreign, by name what makes those optimizers that are not this library's; task, by
                 which its runs are known: see `stepwell.lab.sweeps.fingerprint`; way {stacked, size, workers, reason}:
                 how it was done, or null
    ranking      from best to worst, an object for each optimizer at its best setting, by whole runs alone:
                 optimizer, lr, hyper (other hyperparameters by name), edge (true if no rate beyond that one was
                 tried), tied (true if the first is not told from it), seeds (how many), loss and metric {median, low,
                 high}, the metric of the runs that did not diverge, or null; gap {mean, low, high}: its loss above the
                 first's, paired by seed, with a 95 % interval, or null; goal_step (median over seeds, null if most did
                 not get there), goal_reached (at how many seeds)
    runs         every run, in the order optimizer, lr, steps, seed, as `stepwell.lab.trial.Run` says: optimizer, lr,
                 hyper, seed, steps, status ("done" or "diverged"), taken, goal_step, loss, metric, best, seconds,
                 curve {step, loss, metric}

A number that is not finite is null. Equal settings, seeds and versions give equal numbers, except for times.
"""

import csv
import io
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import stepwell
from stepwell.files import write
from stepwell.lab.documents import dump, environment, plain
from stepwell.lab.sweeps.fingerprint import schedule
from stepwell.lab.sweeps.search import Search
from stepwell.lab.sweeps.standing import Standing, best_of, median_loss, standing
from stepwell.lab.task import describe
from stepwell.lab.trial import Run

SCHEMA, VERSION = "stepwell.results", 2
DIGITS = 6  # of a number in the file: a float32 has seven


@dataclass
class Results:
    """The runs of a search and what they were made with."""

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
        """The results of a search that is about to begin: the runs that it has kept from before."""
        task = search.task
        known = {k: getattr(task, k) for k in ("name", "measured", "metric_name", "lowest", "batch", "clip_norm")}
        known |= {"about": describe(task), "goal": asdict(task.goal) if task.goal else None}
        known |= {"schedule": schedule(task, search.steps)}
        started = datetime.now(UTC).isoformat(timespec="seconds")
        settings = search.settings() | {"way": None}
        return cls(known, settings, environment(), started, runs=list(search.done))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The results in a file, or in a folder's results.json. Errors: ValueError if it is something else."""
        content = json.loads((path / "results.json" if path.is_dir() else path).read_text("utf-8"))
        if not isinstance(content, dict) or (content.get("schema"), content.get("version")) != (SCHEMA, VERSION):
            raise ValueError(f"{path} does not hold {SCHEMA} version {VERSION}")
        runs = [Run(**{**run, "hyper": tuple(sorted(run["hyper"].items()))}) for run in content["runs"]]
        names = ("task", "settings", "environment", "started", "stepwell", "wall_seconds", "complete")
        return cls(**{name: content[name] for name in names}, runs=runs)

    @property
    def whole(self) -> list[Run]:
        """The runs that are as long as any: those by which optimizers are ranked."""
        longest = max((run.steps for run in self.runs), default=0)
        return [run for run in self.runs if run.steps == longest]

    def ordered(self) -> list[Run]:
        """The runs as files have them."""
        return sorted(self.runs, key=lambda run: (run.optimizer, run.lr, run.hyper, run.steps, run.seed))

    def groups(self) -> dict[str, dict[Any, list[Run]]]:
        """The whole runs by optimizer, in the settings' order, and by setting (lr, hyper) and seed, from the least."""
        order = {name: i for i, name in enumerate(self.settings["optimizers"])}
        found: dict[str, dict[Any, list[Run]]] = {}
        for run in sorted(self.whole, key=lambda r: (order[r.optimizer], r.lr, r.hyper, r.seed)):
            found.setdefault(run.optimizer, {}).setdefault((run.lr, run.hyper), []).append(run)
        return found

    def best(self) -> dict[str, list[Run]]:
        """Each optimizer's runs at its best setting, the best optimizer first: by median loss over the seeds."""
        best = {name: best_of(list(by_setting.values())) for name, by_setting in self.groups().items()}
        return dict(sorted(best.items(), key=lambda item: median_loss(item[1])))

    def gather(self, search: Search) -> Iterator[Run]:
        """Train what the search plans. Each run is kept before it is handed on, so an interrupt loses none of them."""
        began = time.perf_counter()
        try:
            for run in search:
                self.runs = list(search.done)
                self.wall_seconds = round(time.perf_counter() - began, 2)
                self.settings["way"] = asdict(search.way) if search.way else None
                yield run
            self.complete = True
        finally:
            self.runs = list(search.done)  # all of the last group, also where its first run was interrupted

    def ranking(self) -> list[Standing]:
        """The optimizers from best to worst."""
        best = self.best()
        first = next(iter(best.values()), [])
        tried = {name: sorted({run.lr for run in self.runs if run.optimizer == name}) for name in best}
        return [standing(runs, tried[name], first) for name, runs in best.items()]

    def document(self) -> dict[str, Any]:
        """What results.json holds, as plain Python that JSON can write."""
        ranking = [plain(asdict(s), DIGITS) | {"lr": s.lr, "hyper": s.hyper} for s in self.ranking()]
        runs = [plain(asdict(run), DIGITS) | {"lr": run.lr, "hyper": dict(run.hyper)} for run in self.ordered()]
        own = {name: getattr(self, name) for name in ("stepwell", "environment", "started", "wall_seconds", "complete")}
        return {"schema": SCHEMA, "version": VERSION, **own, "task": plain(self.task, DIGITS),
                "settings": self.settings, "ranking": ranking, "runs": runs}  # fmt: skip

    def json(self) -> str:
        """The document as text, with a line for each place of the ranking and for each run."""
        document = self.document()
        long = {name: document.pop(name) for name in ("ranking", "runs")}
        parts = [dump(document, indent=1).removesuffix("\n}")]
        for name, rows in long.items():
            parts.append(f' "{name}": [\n' + ",\n".join("  " + dump(row) for row in rows) + "\n ]")
        return ",\n".join(parts) + "\n}\n"

    def write(self, folder: Path) -> None:
        """Put results.json and runs.csv into a folder; what was there stays until all of the new file is."""
        write(folder / "results.json", self.json())
        write(folder / "runs.csv", self.csv())

    def csv(self) -> str:
        """A row a run, in the document's order: what was set, and what came of it; without the curves."""
        names = sorted({name for run in self.runs for name, _ in run.hyper})
        fixed = ("steps", "status", "taken", "goal_step", "loss", "metric", "best", "seconds")
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["optimizer", "lr", *names, "seed", *fixed])
        for run in self.ordered():
            more = dict(run.hyper)
            table.writerow(
                [run.optimizer, run.lr, *(more.get(n, "") for n in names), run.seed, *(getattr(run, n) for n in fixed)]
            )
        return text.getvalue()
