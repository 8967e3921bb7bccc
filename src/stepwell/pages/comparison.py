"""The page of a comparison: the ranked table, for a terminal and in Markdown, and a folder with report and pictures."""

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stepwell.files import write
from stepwell.lab.comparisons import advice
from stepwell.lab.comparisons.comparison import Comparison
from stepwell.lab.comparisons.contest import Contest
from stepwell.lab.comparisons.judge import Standing
from stepwell.lab.names import count
from stepwell.pages import contests, figures, html, report, tables
from stepwell.pages.style import FORMATS, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

NEEDED = ("", "optimizer", "verdict", "best rate", "interval")  # in the narrowest terminal
HEADING = 9  # characters; longer headings take several lines
Draw = Callable[[], "Figure"]


def columns(contest: Contest) -> list[str]:
    """The headings of the ranked table."""
    more = ["more"] if _has_more(contest) else []
    scores = [contest.results.task["metric_name"]] if _has_metric(contest) else []
    reach = [f"{unit} to {contest.target.words}" for unit in ("steps", "seconds")] if contest.target else []
    loss = contest.results.task["measured"].partition(" [")[0]
    return [
        "",
        "optimizer",
        "verdict",
        "best rate",
        *more,
        f"mean {loss}",
        "above the first",
        "interval",
        *scores,
        *reach,
    ]


def rows(contest: Contest) -> list[list[str]]:
    """A row for each optimizer, best first."""
    standings = contest.judgement.standings if contest.judgement else ()
    return [_row(contest, place, standing) for place, standing in enumerate(standings, 1)]


def notes(contest: Contest) -> list[str]:
    """What the reader of the table must know, about the words and signs in it first."""
    judgement, settings = contest.judgement, contest.results.settings
    if not judgement:
        return []
    found = []
    if any(each.verdict == "slightly worse" for each in judgement.standings):
        found.append("slightly worse: a difference is shown, but one that a change of seeds makes, too.")
    if any(contest.edges(each.optimizer) for each in judgement.standings):
        found.append("* at the edge of what was tried; see the warnings.")
    if any(each.verdict == "tie" for each in judgement.standings):
        found.append("tie: a difference is not shown, which does not show that there is none; more --seeds may.")
    together = f", and {100 * judgement.level:g} % together" if judgement.each != judgement.level else ""
    tried = f"{settings['trials'] or settings['rates']} settings"
    noise = f" The noise floor is {_number(judgement.noise)}." if judgement.noise is not None else ""
    found.append(
        f"Each optimizer: {tried} × {count(len(settings['seeds']), 'tuning seed')}, runs of {settings['steps']} steps; "
        f"its best setting on {count(len(settings['confirmation']), 'fresh seed')}, paired. Intervals have a level of "
        f"{100 * judgement.each:.4g} %{together}.{noise}"
    )
    return found


def table(contest: Contest, width: int | None = None) -> "Table":
    """The ranked table for a terminal; where it would be wider than `width`, columns from the last on are left out."""
    from rich.console import Console
    from rich.measure import Measurement

    headings, body, console = columns(contest), rows(contest), Console(width=1000, markup=False, emoji=False)
    for kept in range(len(headings), headings.index("interval"), -1):
        found = _table(headings[:kept], [row[:kept] for row in body])
        if width is None or Measurement.get(console, console.options, found).maximum <= width:
            return found
    kept = [i for i, heading in enumerate(headings) if heading in NEEDED]
    return _table([headings[i] for i in kept], [[row[i] for i in kept] for row in body])


def _table(headings: Sequence[str], body: Sequence[Sequence[str]]) -> "Table":
    from rich import box
    from rich.table import Table

    found = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for i, heading in enumerate(headings):
        side = "left" if i in (1, 2) else "right"
        words = textwrap.fill(heading, HEADING, break_long_words=False)
        found.add_column(words, justify=side, vertical="bottom", no_wrap=True)
    for row in body:
        found.add_row(*row)
    return found


def pictures(comparison: Comparison) -> Iterator[tuple[str, str, Draw]]:
    """The figures that there are runs for: of each the file's name without its ending, a line about it, and itself."""
    for contest in comparison.contests:
        name = file_name(contest)
        if contest.judgement:
            yield f"{name}-gaps", f"{contest.name}: loss above the leader's", lambda c=contest: contests.gaps(c)
            confirmed = contest.confirmation
            yield f"{name}-curves", f"{contest.name}: loss against steps", lambda c=confirmed: figures.curves(c)
        if contest.luck:
            yield (
                f"{name}-tuning",
                f"{contest.name}: best loss against settings tried",
                lambda c=contest: contests.tuning(c),
            )
        if contest.tuning.runs and not contest.results.settings["sampler"]:
            tuning = contest.tuning
            yield f"{name}-rates", f"{contest.name}: loss against the learning rate", lambda c=tuning: figures.rates(c)
    if comparison.profiles:
        yield "profile", "How often each optimizer is among the quickest", lambda: contests.profile(comparison)


def make(comparison: Comparison, folder: Path) -> None:
    """Write comparison.json, the pictures as PNG and SVG, report.md and report.html into a folder."""
    comparison.write(folder)
    drawn = []
    for name, about, paint in pictures(comparison):
        figure = paint()
        for ending in FORMATS:
            save(figure, folder / f"{name}.{ending}")
        drawn.append((name, about))
    write(folder / "report.md", page(comparison, drawn))
    html.write(folder / report.HTML, [folder / "comparison.json"])


def page(comparison: Comparison, drawn: list[tuple[str, str]]) -> str:
    """The report as Markdown."""
    first = comparison.contests[0].results
    known = ", ".join(f"{name} {first.environment[name]}" for name in ("python", "numpy", "torch"))
    parts = [f"# {', '.join(comparison.optimizers)} compared on {count(len(comparison.contests), 'task')}"]
    if comparison.profiles:
        parts += ["\n".join(f"- {advice.sentence(contest)}" for contest in comparison.contests)]
        parts += [f"![{about}]({name}.png)" for name, about in drawn if name == "profile"]
    for contest in comparison.contests:
        own = [(name, about) for name, about in drawn if name.startswith(f"{file_name(contest)}-")]
        parts += _section(contest, own)
    parts.append(
        f"{count(len(comparison.runs), 'run')} in "
        f"{comparison.wall_seconds:.0f} s. Stepwell {first.stepwell}, {known}; {first.environment['machine']}, "
        f"{first.environment['processors']} processors; {first.started}. All numbers: "
        "[comparison.json](comparison.json). The pictures are there to scale, too, with the ending .svg."
    )
    return "\n\n".join(parts) + "\n"


def file_name(contest: Contest) -> str:
    """What the files of a task's comparison begin with."""
    return report.file_name(contest.name)


def _section(contest: Contest, drawn: list[tuple[str, str]]) -> list[str]:
    about = contest.results.task["about"]
    parts = [f"## {contest.name}", f"{about[0].upper()}{about[1:]}.", f"**{advice.sentence(contest)}**"]
    if paste := advice.lines(contest):
        parts.append(f"```python\n{paste}\n```")
    parts += [f"Warning: {text}" for text in advice.warnings(contest)]
    if contest.judgement:
        parts += [
            tables.markdown(columns(contest), rows(contest), names=3),
            "\n".join(f"- {note}" for note in notes(contest)),
        ]
    return parts + [f"![{about}]({name}.png)" for name, about in drawn]


def _row(contest: Contest, place: int, standing: Standing) -> list[str]:
    name, against = standing.optimizer, standing.against
    _, lr, hyper = contest.settings[name]
    edges = contest.edges(name)
    lost = sum(run.loss is None for run in contest.confirmed[name])
    mean = f"{lost} of {len(contest.confirmed[name])} diverged" if lost else _number(standing.mean)
    scores = [run.metric for run in contest.confirmed[name]]
    more = ", ".join(f"{key} {value:.3g}{'*' if key in edges else ''}" for key, value in hyper)
    return [
        str(place),
        name,
        standing.verdict,
        f"{lr:.3g}{'*' if 'lr' in edges else ''}",
        *([more] if _has_more(contest) else []),
        mean,
        _number(against.estimate) if against else "",
        f"{_number(against.low)} … {_number(against.high)}" if against else "",
        *([_score(contest, scores)] if _has_metric(contest) else []),
        *(_reach(contest, name) if contest.target else []),
    ]


def _reach(contest: Contest, name: str) -> list[str]:
    pace = contest.paces[name]
    some = f" ({pace.steps.reached}/{pace.steps.runs})" if 0 < pace.steps.reached < pace.steps.runs else ""
    steps = "–" if pace.steps.median is None else f"{pace.steps.median:g}"
    return [f"{steps}{some}", "–" if pace.seconds is None else f"{pace.seconds:.3g}"]


def _score(contest: Contest, scores: list[float | None]) -> str:
    known = [score for score in scores if score is not None]  # one that diverged has none
    if not known:
        return "–"
    mean = sum(known) / len(known)
    return f"{100 * mean:.1f} %" if contest.results.task["metric_name"] == "accuracy" else _number(mean)


def _has_more(contest: Contest) -> bool:
    return any(hyper for _, _, hyper in contest.settings.values())


def _has_metric(contest: Contest) -> bool:
    return any(run.curve["metric"] for runs in contest.confirmed.values() for run in runs)


def _number(x: float) -> str:
    if not math.isfinite(x):
        return "?" if math.isnan(x) else "∞" if x > 0 else "−∞"
    return f"{x:.4f}" if 1e-3 <= abs(x) < 100 or not x else f"{x:.2g}"
