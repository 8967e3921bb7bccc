"""A comparison: comparison.json."""

import math
from collections import Counter
from pathlib import Path

from stepwell.lab.comparisons import advice
from stepwell.lab.comparisons.comparison import SCHEMA, VERSION, Comparison
from stepwell.lab.comparisons.contest import Contest
from stepwell.lab.names import count
from stepwell.pages import comparison as tables
from stepwell.pages.html import contesting, facts, losses, sweeping
from stepwell.pages.html.blocks import Block, Cell, Charts, Notes, Part, Section, Summary, Table, Tile, Tone, Words
from stepwell.pages.html.kinds import results as sweep
from stepwell.pages.html.reading import Kind
from stepwell.pages.html.shape import Maybe

TONES: dict[str, Tone] = {"best": "good", "tie": "warn"}
SETTINGS = sweep.SETTINGS | {
    "confirmation": [int], "again": [int], "level": float, "sampler": Maybe(str), "spaces": {str: {str: [float]}},
}  # fmt: skip
CONTEST = {
    "task": sweep.TASK, "settings": SETTINGS, "runs": [sweep.RUN], "started": str, "wall_seconds": float,
    "complete": bool, "step_seconds": {str: float},
}  # fmt: skip
PROFILES_READ = (
    "How often each optimizer reaches the target within a factor of the quickest one's cost: higher is better."
)


def sections(path: Path) -> list[Section]:
    """A section for each task, and before them one for all of them if they are several."""
    comparison = Comparison.read(path)
    found = [_contest(contest, path) for contest in comparison.contests]
    if not found:
        none = Words("There is no task in this file, so there is nothing to compare.", "warn")
        return [Section(KIND.word, path.stem, "Nothing was compared", notices=[none])]
    return [_together(comparison), *found] if len(found) > 1 else found


def _together(comparison: Comparison) -> Section:
    leaders = Counter(contest.leader for contest in comparison.contests if contest.leader).most_common()
    tasks = count(len(comparison.contests), "task")
    lead = ", ".join(
        f"{name} {'leads ' * (k == 0)}on {n}{f' of {tasks}' * (k == 0)}" for k, (name, n) in enumerate(leaders)
    )
    charts = contesting.profiles(comparison)
    rows = [
        [Cell(c.name), Cell(c.leader or "–", optimizer=c.leader), Cell(advice.sentence(c), long=True)]
        for c in comparison.contests
    ]
    table = Table("What came of each task", ["task", "first", "answer"], rows, words=(0, 1, 2))
    parts = [Part("Task by task", [table])]
    if charts:
        parts.append(Part("How often each is among the quickest", [Charts(charts, PROFILES_READ)]))
    return Section(
        kind=KIND.word,
        title=", ".join(contest.name for contest in comparison.contests),
        headline=lead or "No task has an answer",
        sentence=f"{', '.join(comparison.optimizers)} on {tasks}.",
        parts=parts,
    )


def _contest(contest: Contest, path: Path) -> Section:
    results, first = contest.results, contest.leader
    good = first is not None and math.isfinite(min(contest.judgement.losses[first])) if contest.judgement else False
    parts = [*_standings(contest), *_curves(contest), *_tuning(contest), facts.tried(results)]
    parts.append(facts.surroundings(results.stepwell, results.environment, results.started, **_seeds(contest)))
    if results.runs:
        parts.append(facts.every_run(results.ordered(), results.task["metric_name"], path.name))
    return Section(
        kind=KIND.word,
        title=contest.name,
        headline=_headline(contest, good),
        sentence=advice.sentence(contest),
        about=_about(contest),
        optimizer=first if good else None,
        tiles=_tiles(contest) if good else (),
        notices=_notices(contest),
        paste=advice.lines(contest) if good else "",
        parts=parts,
        summary=_summary(contest, good),
    )


def _headline(contest: Contest, good: bool) -> str:
    if good and contest.leader:
        return f"{contest.leader} at a learning rate of {_rate(contest):.3g}"
    if contest.results.runs and all(run.loss is None for run in contest.results.runs):
        return "Every run diverged"
    return "Every fresh run diverged" if contest.judgement else "Nothing can be said yet"


def _rate(contest: Contest) -> float:
    _, lr, _ = contest.settings[contest.leader or ""]
    return lr


def _about(contest: Contest) -> str:
    settings = contest.results.settings
    seeds = count(len(settings["confirmation"]), "fresh seed")
    return f"{count(len(contest.optimizers), 'optimizer')} · {seeds} · {facts.when(contest.results.started)}"


def _notices(contest: Contest) -> list[Words]:
    found = [Words(text[0].upper() + text[1:], "warn") for text in advice.warnings(contest)]
    if not contest.results.runs:
        none = "There are no trials in this file, so there is nothing to compare and nothing to draw."
        found.insert(0, Words(none, "warn"))
    return found


def _sure(contest: Contest) -> Tile:
    assert contest.judgement
    others = contest.judgement.standings[1:]
    if tied := [each.optimizer for each in others if each.verdict == "tie"]:
        return Tile("How sure", "Tie", f"not told from {facts.some(tied)}", tone="warn")
    near = others[0]
    gap = near.against
    words = f"next {near.optimizer}"
    if gap and math.isfinite(gap.low + gap.high):
        words += f", {gap.estimate:.3g} above ({gap.low:.3g} to {gap.high:.3g})"
    slight = any(each.verdict == "slightly worse" for each in others)
    return Tile("How sure", "Slightly better" if slight else "Better", words, tone="warn" if slight else "good")


def _tiles(contest: Contest) -> list[Tile]:
    assert contest.judgement
    assert contest.leader
    judgement, first = contest.judgement, contest.judgement.standings[0]
    seen = contest.judgement.losses[first.optimizer]
    (_, lr, hyper), edges = contest.settings[first.optimizer], contest.edges(first.optimizer)
    more = losses.words_of(dict(hyper)) or "the best of those tuned"
    if edges:
        more = "at the edge of what was tried"
    mean = losses.text(first.mean) if math.isfinite(first.mean) else "some diverged"
    tiles = [
        _sure(contest),
        Tile("Learning rate", f"{lr:.3g}", more, tone="warn" if edges else ""),
        Tile(
            f"Mean {losses.name(contest.results, long=False)}",
            mean,
            f"{min(seen):.4g} to {losses.text(max(seen))} over {count(len(seen), 'fresh seed')}",
        ),
    ]
    scores = [run.metric for run in contest.confirmed[first.optimizer] if run.metric is not None]
    if scores:
        tiles.append(
            facts.score(contest.results.task["metric_name"], sum(scores) / len(scores), min(scores), max(scores))
        )
    if judgement.noise is not None:
        noise = f"{judgement.noise:.3g}" if math.isfinite(judgement.noise) else "∞"
        tiles.append(Tile("Noise floor", noise, "what other seeds alone make"))
    return tiles


def _standings(contest: Contest) -> list[Part]:
    if not contest.judgement:
        return []
    columns = tables.columns(contest)
    names = [each.optimizer for each in contest.judgement.standings]
    rows = []
    for name, row in zip(names, tables.rows(contest), strict=True):
        verdict = row[2]
        rows.append([Cell(text, optimizer=name if i == 1 else None, tone=TONES.get(verdict, "bad") if i == 2 else "")
                     for i, text in enumerate(row)])  # fmt: skip
    words = tuple(i for i, column in enumerate(columns) if column in ("optimizer", "verdict", "more"))
    table = Table("Standings, the best first", ["place", *columns[1:]], rows, head=1, words=words)
    chart = contesting.behind(contest)
    none = Words("No difference has an interval: too few seeds, or too few runs ended at a number.")
    blocks: list[Block] = [table, Notes(tables.notes(contest)), chart or none]
    return [Part("Standings", blocks)]


def _curves(contest: Contest) -> list[Part]:
    charts = sweeping.curves(contest.confirmation) if contest.confirmed else []
    return (
        [Part("Training on fresh seeds", [Charts(charts, sweeping.curves_read(contest.confirmation))])]
        if charts
        else []
    )


def _tuning(contest: Contest) -> list[Part]:
    blocks: list[Block] = []
    if luck := contesting.tuning(contest):
        blocks.append(luck)
    if charts := sweeping.rates(contest.tuning):
        blocks.append(Charts(charts, sweeping.RATES_READ))
    parts = [Part("Tuning", blocks)] if blocks else []
    if alone := sweeping.isolation(contest.tuning):
        parts.append(Part("Each hyperparameter by itself", [Charts(alone, sweeping.ISOLATION_READ, "small")]))
    return parts


def _seeds(contest: Contest) -> dict[str, str]:
    rounds = {"Tuning seeds": "seeds", "Fresh seeds": "confirmation", "Seeds again": "again"}
    return {name: facts.seeds_in_words(contest.results.settings[which]) for name, which in rounds.items()}


def _summary(contest: Contest, good: bool) -> Summary:
    started = facts.when(contest.results.started)
    if not good or not contest.judgement or not contest.leader:
        return Summary(contest.name, started, "–", "–", "–", "–")
    rate = f"{_rate(contest):.3g}"
    mean = losses.text(contest.judgement.standings[0].mean)
    return Summary(contest.name, started, contest.leader, rate, f"{mean} (mean)", _sure(contest).value)


KIND = Kind(
    SCHEMA,
    VERSION,
    "comparison.json",
    "Comparison",
    {"stepwell": str, "environment": dict, "started": str, "complete": bool, "contests": [CONTEST]},
    sections,
)
