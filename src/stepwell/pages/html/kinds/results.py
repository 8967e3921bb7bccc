"""A sweep: results.json."""

import math
from collections.abc import Sequence
from pathlib import Path

from stepwell.lab.names import count
from stepwell.lab.sweeps import answer
from stepwell.lab.sweeps.results import SCHEMA, VERSION, Results
from stepwell.lab.sweeps.standing import Standing
from stepwell.lab.trial import Run
from stepwell.pages import tables
from stepwell.pages.html import facts, gaps, losses, shape, sweeping
from stepwell.pages.html.blocks import Block, Cell, Charts, Notes, Part, Section, Summary, Table, Tile, Words
from stepwell.pages.html.reading import Kind

NUMBERS = {str: float}
RUN = shape.of(
    Run, hyper=NUMBERS, curve={"step": [float], "loss": [shape.Maybe(float)], "metric": [shape.Maybe(float)]}
)
TASK = {
    "name": str, "about": str, "measured": str, "metric_name": str, "lowest": float, "batch": shape.Maybe(int),
    "schedule": shape.Maybe(str), "clip_norm": shape.Maybe(float),
    "goal": shape.Maybe({"metric": str, "value": float, "words": str}),
}  # fmt: skip
SETTINGS = {
    "optimizers": [str], "seeds": [int], "steps": int, "rates": int, "halving": int, "trials": int,
    "way": shape.Maybe({"reason": str}),
}  # fmt: skip
MADE = {"stepwell": str, "environment": dict, "started": str, "wall_seconds": float, "complete": bool}
ALONE = "With one seed there is no interval: it cannot be said how sure the order is."


def sections(path: Path) -> list[Section]:
    """The section of a sweep."""
    results = Results.read(path)
    ranking = results.ranking()
    good = bool(ranking) and math.isfinite(ranking[0].loss.median)
    parts = []
    if ranking:
        parts += [_ranking(results, ranking), _rates(results), *_curves(results), *_isolation(results)]
    parts += [facts.tried(results), _made(results)]
    parts += [facts.every_run(results.ordered(), results.task["metric_name"], path.name)] if results.runs else []
    first = ranking[0] if good else None
    return [
        Section(
            kind=KIND.word,
            title=results.task["name"],
            headline=_headline(results, first),
            sentence=answer.sentence(results),
            about=_about(results),
            optimizer=first.optimizer if first else None,
            tiles=_tiles(results, ranking) if first else (),
            notices=_notices(results),
            paste=answer.lines(results),
            parts=parts,
            summary=_summary(results, first, ranking),
        )
    ]


def _headline(results: Results, first: Standing | None) -> str:
    if first:
        return f"{first.optimizer} at a learning rate of {first.lr:.3g}"
    return "Every run diverged" if results.runs else "Nothing was trained"


def _about(results: Results) -> str:
    settings = results.settings
    what = "setting" if settings["trials"] else "learning rate"
    tried = count(settings["trials"] or settings["rates"], what)
    asked = f"{count(len(settings['optimizers']), 'optimizer')} × {tried} × {count(len(settings['seeds']), 'seed')}"
    return f"{asked} · {facts.when(results.started)}"


def _notices(results: Results) -> list[Words]:
    found = []
    if not results.complete:
        found.append(Words("Interrupted: this is what was done until then.", "warn"))
    if not results.runs:
        found.append(
            Words("There are no trials in this file, so there is nothing to rank and nothing to draw.", "warn")
        )
    elif all(run.loss is None for run in results.runs):
        lost = f"All {count(len(results.runs), 'run')} diverged, so there is no loss to draw. Below is where each did."
        found.append(Words(lost, "bad"))
    return found


def _tiles(results: Results, ranking: Sequence[Standing]) -> list[Tile]:
    first = ranking[0]
    over = f"{first.loss.low:.4g} to {losses.text(first.loss.high)} over {count(first.seeds, 'seed')}"
    rate = losses.words_of(first.hyper) or "inside of what was tried"
    rate = "the outermost tried: a better one may lie beyond" if first.edge else rate
    loss = (
        losses.name(results, long=False) if not results.task["lowest"] else results.task["measured"].partition(" [")[0]
    )
    tiles = [
        _sure(ranking),
        Tile("Learning rate", f"{first.lr:.3g}", rate, tone="warn" if first.edge else ""),
        Tile(loss.capitalize(), f"{first.loss.median:.4g}", over if first.seeds > 1 else "of one seed"),
    ]
    if first.metric:
        tiles.append(facts.score(results.task["metric_name"], first.metric.median, first.metric.low, first.metric.high))
    return tiles


def _sure(ranking: Sequence[Standing]) -> Tile:
    first, others = ranking[0], ranking[1:]
    if first.seeds == 1:
        return Tile("How sure", "Not known", "one seed cannot say", tone="warn")
    if not others:
        return Tile("How sure", "Alone", "no other optimizer was tried")
    if tied := [each.optimizer for each in others if each.tied]:
        return Tile("How sure", "Tie", f"not told from {facts.some(tied)}", tone="warn")
    gap = others[0].gap
    next_one = f"next {others[0].optimizer}" + (
        f", {gap.mean:.3g} above ({gap.low:.3g} to {gap.high:.3g})" if gap else ""
    )
    return Tile("How sure", "Beyond chance", next_one, tone="good")


def _ranking(results: Results, ranking: Sequence[Standing]) -> Part:
    columns = tables.columns(results)
    rows = [
        [Cell(text, optimizer=text if columns[i] == "optimizer" else None) for i, text in enumerate(row)]
        for row in tables.rows(results)
    ]
    words = tuple(i for i, name in enumerate(columns) if name in ("optimizer", "more"))
    table = Table("Optimizers, the best first", ["place", *columns[1:]], rows, head=1, words=words)
    blocks: list[Block] = [table, Notes(tables.notes(results))]
    behind = [gaps.Behind(ranking[0].optimizer, False), *map(_behind, ranking[1:])]
    chart = gaps.chart(behind, losses.name(results, long=False), 0.95)
    if chart:
        blocks.append(chart)
    elif len(ranking) > 1:
        blocks.append(
            Words(ALONE if ranking[0].seeds == 1 else "No interval is known: too few runs ended at a number.")
        )
    return Part("Ranking", blocks)


def _behind(place: Standing) -> gaps.Behind:
    gap = place.gap
    if gap is None:
        return gaps.Behind(place.optimizer, place.tied, math.nan, math.nan, math.nan)
    return gaps.Behind(place.optimizer, place.tied, gap.mean, gap.low, gap.high)


def _rates(results: Results) -> Part:
    charts = sweeping.rates(results)
    none = Words("Every run diverged: there is no loss to set against the learning rate.")
    return Part("Loss against learning rate", [Charts(charts, sweeping.RATES_READ) if charts else none])


def _curves(results: Results) -> list[Part]:
    charts = sweeping.curves(results)
    return [Part("Training at the best rate", [Charts(charts, sweeping.curves_read(results))])] if charts else []


def _isolation(results: Results) -> list[Part]:
    charts = sweeping.isolation(results)
    return [Part("Each hyperparameter by itself", [Charts(charts, sweeping.ISOLATION_READ, "small")])] if charts else []


def _made(results: Results) -> Part:
    seeds = facts.seeds_in_words(results.settings["seeds"])
    return facts.surroundings(results.stepwell, results.environment, results.started, Seeds=seeds)


def _summary(results: Results, first: Standing | None, ranking: Sequence[Standing]) -> Summary:
    task, started = results.task["name"], facts.when(results.started)
    if first is None:
        return Summary(task, started, "–", "–", "diverged" if results.runs else "nothing trained", "–")
    loss = f"{first.loss.median:.4g} ({first.loss.low:.4g} to {losses.text(first.loss.high)})"
    return Summary(task, started, first.optimizer, f"{first.lr:.3g}", loss, _sure(ranking).value)


KIND = Kind(
    SCHEMA, VERSION, "results.json", "Sweep", {**MADE, "task": TASK, "settings": SETTINGS, "runs": [RUN]}, sections
)
