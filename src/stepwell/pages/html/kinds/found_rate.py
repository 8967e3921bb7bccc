"""A learning rate that was looked for: found_rate.json, as `stepwell find-lr --out` or `--json` writes it."""

import math
from pathlib import Path

from stepwell.lab.names import count
from stepwell.lab.rates.found_rate import SCHEMA, VERSION, Cost, FoundRate, Round, short
from stepwell.lab.statistics import Basin
from stepwell.pages.html import facts, rating, shape
from stepwell.pages.html.blocks import Cell, Facts, Part, Section, Summary, Table, Tile, Words
from stepwell.pages.html.reading import Kind

NUMBERS = [shape.Maybe(float)]


def sections(path: Path) -> list[Section]:
    """The section of a search for a rate."""
    found = FoundRate.read(path)
    parts = [_losses(found)] if found.rounds else []
    return [
        Section(
            kind=KIND.word,
            title=found.task,
            headline=_headline(found),
            sentence=_sentence(found),
            about=f"{count(len(found.rounds), 'round')} of short runs · {count(len(found.seeds), 'seed')}",
            optimizer=found.optimizer if found.rate is not None else None,
            tiles=_tiles(found),
            notices=_notices(found),
            paste=found.paste,
            parts=[*parts, *(_round(each, found.seeds) for each in reversed(found.rounds)), _run(found)],
            summary=_summary(found),
        )
    ]


def _headline(found: FoundRate) -> str:
    if found.rate is None:
        return f"No clear answer for {found.optimizer}"
    return f"{found.optimizer} at a learning rate of {short(found.rate)}"


def _sentence(found: FoundRate) -> str:
    if found.rate is None:
        return f"{found.task}: {found.reason or 'no reason is given'}."
    steps = count(found.cost.full, "step")
    text = f"{found.task}: for {steps}, {found.optimizer} wants a rate of about {short(found.rate)}"
    if found.short_rate is not None and found.short_rate != found.rate and found.rounds:
        text += f"; runs of {found.rounds[-1].steps} want {short(found.short_rate)}, and the best falls with the length"
    return text + "."


def _notices(found: FoundRate) -> list[Words]:
    if not found.rounds:
        return [Words("Nothing was trained, so there is nothing to draw.", "warn")]
    if all(not math.isfinite(x) for each in found.rounds for x in each.means):
        return [
            Words("Every run diverged, so there is no loss to draw; try smaller rates with a smaller middle.", "bad")
        ]
    return []


def _tiles(found: FoundRate) -> list[Tile]:
    tiles = []
    if found.rate is not None:
        known = found.interval is not None
        ends = " to ".join(map(short, found.interval or ()))
        sure = Tile("95 % over seeds", ends, count(len(found.seeds), "seed"), tone="good")
        tiles.append(sure if known else Tile("How sure", "Not known", found.interval_reason or "", tone="warn"))
    if found.basin is not None:
        ends = [
            name for name, is_open in (("lower", found.basin.low_open), ("higher", found.basin.high_open)) if is_open
        ]
        more = f"learn 90 % as much; perhaps {' and '.join(ends)} ones too" if ends else "learn 90 % as much"
        tiles.append(Tile("Nearly as good", f"{short(found.basin.low)} to {short(found.basin.high)}", more))
    if found.edge is not None:
        tiles.append(Tile("Too large from", short(found.edge), "training ends above where it began", tone="bad"))
    if found.cost.steps:
        runs = f"{found.cost.runs:.2g} full runs" if math.isfinite(found.cost.runs) else count(found.cost.steps, "step")
        tiles.append(Tile("Cost", runs, f"{found.cost.steps} steps in {facts.seconds(found.cost.seconds)}"))
    return tiles


def _losses(found: FoundRate) -> Part:
    chart = rating.rounds(found)
    return Part(
        "Loss against learning rate", [chart or Words("Every run diverged: there is no loss to set against the rate.")]
    )


def _round(each: Round, seeds: tuple[int, ...]) -> Part:
    names = [f"seed {seed}" for seed in seeds] if len(seeds) > 1 else []
    rows = []
    for rate, mean, losses in zip(each.rates, each.means, each.losses, strict=True):
        rows.append([facts.value(rate), _loss(mean), *(map(_loss, losses) if names else ())])
    table = Table(
        f"Runs of {each.steps} steps", ["rate", "mean loss" if names else "loss", *names], rows, words=(), noun="rate"
    )
    return Part(f"{count(len(each.rates), 'rate')} in runs of {count(each.steps, 'step')}", [table], folded=True)


def _loss(x: float) -> Cell:
    return facts.value(x) if math.isfinite(x) else Cell("diverged", math.inf, tone="bad")


def _run(found: FoundRate) -> Part:
    cost = found.cost
    pairs = {
        "Task": found.task,
        "Optimizer": found.optimizer,
        "Method": found.method,
        "Full run": count(cost.full, "step")
        + f", about {facts.seconds(cost.full_seconds)}" * math.isfinite(cost.full_seconds),
        "Seeds": facts.seeds_in_words(found.seeds),
        "Way": found.way,
    }
    return Part("What was run", [Facts({name: text for name, text in pairs.items() if text})])


def _summary(found: FoundRate) -> Summary:
    rate = "–" if found.rate is None else short(found.rate)
    sure = " to ".join(map(short, found.interval)) if found.interval else "not known"
    return Summary(found.task, "–", found.optimizer, rate, "–", sure)


KIND = Kind(
    SCHEMA,
    VERSION,
    "found_rate.json",
    "Learning rate",
    shape.of(
        FoundRate,
        interval=shape.Maybe([float]),
        basin=shape.Maybe(shape.of(Basin)),
        cost=shape.of(Cost, full_seconds=shape.Maybe(float)),
        rounds=[shape.of(Round, losses=[NUMBERS], initial=shape.Maybe(float))],
    ),
    sections,
)
