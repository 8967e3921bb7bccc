"""What a sweep or a comparison came to, as runs with names, for the writers of other packages."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepwell.lab.comparisons import advice
from stepwell.lab.comparisons.comparison import SCHEMA, Comparison
from stepwell.lab.comparisons.contest import Contest
from stepwell.lab.sweeps import answer
from stepwell.lab.sweeps.results import Results
from stepwell.lab.trial import Run
from stepwell.pages import comparison as contests
from stepwell.pages import tables
from stepwell.pages.report import file_name

Source = Results | Comparison | Path | str
FILES: dict[str, type[Results] | type[Comparison]] = {"results.json": Results, "comparison.json": Comparison}
ROUNDS = {"seeds": "tuning", "confirmation": "confirmation", "again": "again"}  # of a comparison, by its setting


@dataclass(frozen=True)
class Named:
    """A run, its name, and what sets it apart from the others: by name, its settings and where it belongs."""

    name: str
    run: Run
    settings: dict[str, Any]

    @property
    def final(self) -> dict[str, float]:
        """What the run came to, by name; of one that diverged the loss is not a number, and there is no metric."""
        found = {name: getattr(self.run, name) for name in ("loss", "metric", "best", "taken", "goal_step", "seconds")}
        return {"loss": float("nan")} | {name: float(value) for name, value in found.items() if value is not None}

    def points(self) -> Iterator[tuple[int, float, dict[str, float]]]:
        """Each measurement: step, seconds since the run began, values by name; a loss without bounds is NaN."""
        curve = self.run.curve
        for i, step in enumerate(curve["step"]):
            found = {name: curve[name][i] for name in ("loss", "metric") if i < len(curve[name])}
            values = {name: float("nan") if value is None else float(value) for name, value in found.items()}
            yield step, self.run.seconds * step / max(1, self.run.taken), values


@dataclass(frozen=True)
class Part:
    """What came of one task: its results, the answer as Markdown, and a name that can be a folder's."""

    name: str
    results: Results
    answer: str

    @property
    def runs(self) -> list[Named]:
        """All runs, in the order of the results' own file, each under a name of its own."""
        runs, rounds = self.results.ordered(), _rounds(self.results)
        return [Named(name, run, _settings(run, rounds)) for name, run in zip(_names(runs), runs, strict=True)]


def parts(source: Source) -> list[Part]:
    """The tasks of a sweep or of a comparison, or of the file, or the folder, that has one.

    Errors: FileNotFoundError if there is none; ValueError if the file holds something else.
    """
    found = source if isinstance(source, Results | Comparison) else read(Path(source))
    if isinstance(found, Results):
        return [Part(file_name(found.task["name"]), found, _answer(found))]
    names = _apart([file_name(contest.name) for contest in found.contests])
    return [Part(name, contest.results, _verdict(contest)) for name, contest in zip(names, found.contests, strict=True)]


def read(path: Path) -> Results | Comparison:
    """The sweep or the comparison in a file, or in a folder's results.json or comparison.json."""
    if path.is_dir():
        there = [path / name for name in FILES if (path / name).exists()]
        if not there:
            raise FileNotFoundError(f"{path} has no {' and no '.join(FILES)}")
        path = there[0]
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not whole, or no file of the lab: {error}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    try:
        return (Comparison if schema == SCHEMA else Results).read(path)  # which says what else it may be
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _names(runs: Sequence[Run]) -> list[str]:
    """Names that say what differs: optimizer, rate, other hyperparameters, seed, and steps where lengths differ."""
    long = len({run.steps for run in runs}) > 1
    names = [_name(run, "{:.4g}", long) for run in runs]
    often = Counter(names)
    return [_name(run, "{!r}", long) if often[name] > 1 else name for name, run in zip(names, runs, strict=True)]


def _name(run: Run, number: str, long: bool) -> str:
    values = {"lr": run.lr, **dict(run.hyper)}
    words = [f"{name}={number.format(value)}" for name, value in values.items()]
    words += [f"seed={run.seed}", *([f"steps={run.steps}"] if long else [])]
    return " ".join([file_name(run.optimizer), *words])


def _settings(run: Run, rounds: dict[int, str]) -> dict[str, Any]:
    found = {"optimizer": run.optimizer, "lr": run.lr, **dict(run.hyper), "seed": run.seed, "steps": run.steps}
    return found | ({"round": rounds[run.seed]} if run.seed in rounds else {}) | {"status": run.status}


def _rounds(results: Results) -> dict[int, str]:
    """By seed, which round of a comparison its runs are of; {} for a sweep."""
    if "confirmation" not in results.settings:
        return {}
    return {seed: word for name, word in ROUNDS.items() for seed in results.settings[name]}


def _apart(names: list[str]) -> list[str]:
    """Names, each of them once."""
    return [name if names.count(name) == 1 else f"{name} {i}" for i, name in enumerate(names, 1)]


def _answer(results: Results) -> str:
    table = tables.markdown(tables.columns(results), tables.rows(results)) if results.runs else ""
    return f"**{answer.sentence(results)}**\n\n{table}"


def _verdict(contest: Contest) -> str:
    table = tables.markdown(contests.columns(contest), contests.rows(contest), names=3) if contest.judgement else ""
    return "\n\n".join([f"**{advice.sentence(contest)}**", table, *advice.warnings(contest)])
