"""What a comparison came to, on one task or several, and its file.

`comparison.json` is one object. Version 1 of its schema:

    schema       "stepwell.comparison"         version     1
    stepwell     the version that wrote it     environment versions of python, numpy, torch; machine; processors
    started      UTC, ISO 8601                 wall_seconds  how long all of it took
    complete     false if it was interrupted: then everything below is of what was done until then
    optimizers   their names
    profiles     null for one task; else by "steps" and "seconds" to the target, the performance profile over the
                 tasks: factors, and by optimizer the share of tasks that it solves within each factor of the best;
                 unsolved (how many tasks nobody solved). See `stepwell.lab.statistics.performance_profile`
    contests     an object for each task:
      task       as in `stepwell.lab.sweeps.results`
      settings   optimizers, steps (of a run), seeds (of the tuning), confirmation and again (the fresh seeds, and those
                 of the A/A run), level (of the whole), rates (of the grid), trials and sampler (0 and null for a grid),
                 spaces (by optimizer and hyperparameter the range that was searched; "1-beta" is of 1 - β), way
      answer     a sentence          warnings    sentences, each with what to do
      noise      the A/A noise floor: what two means of the leader's losses differ by at other seeds; null without it
      level      that of each interval: see `stepwell.lab.comparisons.judge`
      target     {metric, value, words} or null: the task's goal, or the loss that all reach
      standings  from best to worst: optimizer, verdict ("best"; "tie": not told from the best; "slightly worse": by
                 less than the noise floor; "worse"), lr, hyper (other hyperparameters by name), edges (by
                 hyperparameter "low" or "high": the best is at that end of what was searched), loss and metric {mean,
                 low, high} over the fresh seeds, diverged (how many runs), difference {mean, low, high}: its loss
                 above the leader's, paired by seed, or null; steps_to_target {median, reached, runs, each},
                 seconds_to_target, step_seconds (of a step, trained alone on one thread)
      tuning     by optimizer trials (1, 2 …), and of the best loss of so many settings picked blindly from those
                 tried: mean, low, median, high (quartiles)
      runs       every run of all rounds, as in `stepwell.lab.sweeps.results`

A number that is not finite is null. Equal settings, seeds and versions give equal numbers, except for times.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from stepwell.files import write
from stepwell.lab.comparisons import advice
from stepwell.lab.comparisons.contest import Contest
from stepwell.lab.comparisons.judge import Standing
from stepwell.lab.documents import dump, plain
from stepwell.lab.statistics import Profile, performance_profile
from stepwell.lab.sweeps.results import Results
from stepwell.lab.trial import Run

SCHEMA, VERSION = "stepwell.comparison", 1
FACTS = ("task", "settings", "started", "wall_seconds", "complete")  # of a contest's results, as they are


@dataclass(frozen=True)
class Comparison:
    """A comparison of some optimizers: what came of it on each task, in `contests`."""

    contests: Sequence[Contest]

    @property
    def optimizers(self) -> list[str]:
        """What is compared, in the order in which it was given."""
        return self.contests[0].optimizers

    @property
    def runs(self) -> list[Run]:
        """All runs, of all tasks."""
        return [run for contest in self.contests for run in contest.results.runs]

    @property
    def complete(self) -> bool:
        """Whether all of it was done."""
        return all(contest.results.complete for contest in self.contests)

    @property
    def wall_seconds(self) -> float:
        """How long all of it took."""
        return sum(contest.results.wall_seconds for contest in self.contests)

    @functools.cached_property
    def profiles(self) -> dict[str, Profile]:
        """The performance profiles over the tasks, by what is counted: "steps" and "seconds"; {} for one task.

        Tasks without a target, as those that everything diverges on, count as solved by nobody.
        """
        if len(self.contests) < 2:
            return {}
        paces = [contest.paces for contest in self.contests]
        costs = {
            "steps": [
                [each[name].steps.median if name in each else None for each in paces] for name in self.optimizers
            ],
            "seconds": [[each[name].seconds if name in each else None for each in paces] for name in self.optimizers],
        }
        return {
            what: performance_profile([[_infinite(x) for x in row] for row in table]) for what, table in costs.items()
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        """The comparison in a file, or in a folder's comparison.json. Errors: ValueError if it is something else."""
        content = json.loads((path / "comparison.json" if path.is_dir() else path).read_text("utf-8"))
        if not isinstance(content, dict) or (content.get("schema"), content.get("version")) != (SCHEMA, VERSION):
            raise ValueError(f"{path} does not hold {SCHEMA} version {VERSION}")
        return cls([_contest(each, content) for each in content["contests"]])

    def document(self) -> dict[str, Any]:
        """What comparison.json holds, as plain Python that JSON can write."""
        first = self.contests[0].results
        profiles = {
            what: {"factors": found.factors.tolist(), "unsolved": found.unsolved,
                   "shares": dict(zip(self.optimizers, found.shares.tolist(), strict=True))}
            for what, found in self.profiles.items()
        }  # fmt: skip
        return {
            "schema": SCHEMA, "version": VERSION, "stepwell": first.stepwell, "environment": first.environment,
            "started": first.started, "wall_seconds": round(self.wall_seconds, 2), "complete": self.complete,
            "optimizers": self.optimizers, "profiles": profiles or None,
            "contests": [plain(_document(contest)) for contest in self.contests],
        }  # fmt: skip

    def json(self) -> str:
        """The document as text, with a line for each part of a contest, and for each run."""
        document = self.document()
        contests = document.pop("contests")
        head = dump(document, indent=1).removesuffix("\n}")
        return f'{head},\n "contests": [\n' + ",\n".join(map(_text, contests)) + "\n ]\n}\n"

    def write(self, folder: Path) -> None:
        """Put comparison.json into a folder; what was there stays until all of the new file is."""
        write(folder / "comparison.json", self.json())


def _document(contest: Contest) -> dict[str, Any]:
    judgement, paces = contest.judgement, contest.paces
    return {
        **{name: getattr(contest.results, name) for name in FACTS},
        "answer": advice.sentence(contest),
        "warnings": advice.warnings(contest),
        "noise": judgement.noise if judgement else None,
        "level": judgement.each if judgement else None,
        "target": asdict(contest.target) if contest.target else None,
        "step_seconds": contest.step_seconds,
        "standings": [_standing(contest, each, paces) for each in judgement.standings] if judgement else [],
        "tuning": {name: asdict(luck) for name, luck in contest.luck.items()},
        "runs": [asdict(run) | {"hyper": dict(run.hyper)} for run in contest.results.ordered()],
    }


def _standing(contest: Contest, standing: Standing, paces: Mapping[str, Any]) -> dict[str, Any]:
    name, against = standing.optimizer, standing.against
    runs, (_, lr, hyper), pace = contest.confirmed[name], contest.settings[name], paces.get(name)
    scores = [run.metric for run in runs if run.metric is not None]
    difference = {"mean": against.estimate, "low": against.low, "high": against.high} if against else None
    return {
        "optimizer": name, "verdict": standing.verdict,
        "lr": lr, "hyper": dict(hyper), "edges": contest.edges(name),
        "loss": _spread([run.cost for run in runs]), "metric": _spread(scores) if scores else None,
        "diverged": sum(run.loss is None for run in runs), "difference": difference,
        "steps_to_target": None if pace is None else {
            "median": pace.steps.median, "reached": pace.steps.reached, "runs": pace.steps.runs,
            "each": list(pace.steps.steps),
        },
        "seconds_to_target": pace.seconds if pace else None, "step_seconds": contest.step_seconds.get(name),
    }  # fmt: skip


def _contest(content: Mapping[str, Any], whole: Mapping[str, Any]) -> Contest:
    runs = [Run(**{**run, "hyper": tuple(sorted(run["hyper"].items()))}) for run in content["runs"]]
    facts = {name: content[name] for name in FACTS}
    results = Results(**facts, environment=whole["environment"], stepwell=whole["stepwell"], runs=runs)
    return Contest(results, content["step_seconds"])


def _text(contest: Mapping[str, Any]) -> str:
    parts = []
    for name, value in contest.items():
        rows = ",\n".join(f"    {dump(row)}" for row in value) if name in ("standings", "runs") else ""
        parts.append(f'   "{name}": ' + (f"[\n{rows}\n   ]" if rows else dump(value)))
    return "  {\n" + ",\n".join(parts) + "\n  }"


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": sum(values) / len(values), "low": min(values), "high": max(values)}


def _infinite(value: float | None) -> float:
    return math.inf if value is None else value
