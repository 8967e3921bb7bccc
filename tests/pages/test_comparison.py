"""The page of a comparison shows what was compared: table, figures, report."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stepwell.lab.comparisons import advice
from stepwell.lab.comparisons.comparison import Comparison
from stepwell.lab.comparisons.contest import Contest
from stepwell.pages import comparison as page
from stepwell.pages import contests
from stepwell.pages.style import FORMATS, look
from tests.lab.contests import contest

GOOD = [0.10, 0.12, 0.11, 0.13, 0.115, 0.125, 0.105, 0.118]
NEAR = [0.115, 0.112, 0.121, 0.119, 0.128, 0.114, 0.112, 0.111]
FAR = [x + 0.2 + 0.01 * k for k, x in enumerate(GOOD)]
RATES = {0.001: 2.0, 0.01: 1.0, 0.1: None}
FRESH = {"adam": GOOD, "lion": NEAR, "momentum": FAR, "yogi": [*FAR[:7], None]}


@pytest.fixture
def made() -> Contest:
    tuning = dict.fromkeys(FRESH, RATES) | {"momentum": {0.001: 3.0, 0.01: 2.0, 0.1: 1.0}}
    return contest(tuning, FRESH, GOOD[::-1])


def printed(contest: Contest, width: int = 200) -> list[list[str]]:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(page.table(contest, width))
    return [line.split() for line in captured.get().splitlines()]


def test_the_table_ranks_and_says_what_is_told_apart(made: Contest) -> None:
    rows = page.rows(made)
    assert [row[:4] for row in rows] == [
        ["1", "adam", "best", "0.01"],
        ["2", "lion", "tie", "0.01"],
        ["3", "momentum", "worse", "0.1*"],
        ["4", "yogi", "worse", "0.01"],
    ]
    assert rows[0][5:7] == ["", ""]
    assert rows[2][4:6] == ["0.3504", "0.2350"]
    assert rows[3][4:7] == ["1 of 8 diverged", "∞", rows[3][6]]
    assert rows[3][6].endswith("… ∞")
    assert rows[0][-2:] == ["10", "0.01"]
    assert rows[3][-2:] == ["10 (7/8)", "0.01"]
    assert len(page.columns(made)) == len(rows[0])
    assert [row[:3] for row in printed(made)[-4:]] == [row[:3] for row in rows]
    assert any(note.startswith("* at the edge") for note in page.notes(made))
    assert "3 tuning seeds, runs of 10 steps; its best setting on 8 fresh seeds" in page.notes(made)[-1]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_terminal_has_fewer_columns_and_whole_words(made: Contest, width: int) -> None:
    rows = printed(made, width)
    assert not any("…" in word for row in rows for word in row if word != "…")
    assert [row[:3] for row in rows[-4:]] == [row[:3] for row in page.rows(made)]
    assert all("…" in row for row in rows[-3:])  # the interval


def test_a_metric_and_other_hyperparameters_have_their_columns() -> None:
    found = contest({"adam": RATES, "lion": RATES}, {"adam": GOOD, "lion": NEAR}, hyper={"adam": (("beta1", 0.95),)})
    assert page.columns(found)[4] == "more"
    assert [row[4] for row in page.rows(found)] == ["beta1 0.95", ""]
    for run in found.results.runs:
        run.curve["metric"].extend([0.1, 0.5, 0.9])
        object.__setattr__(run, "metric", 0.9)
    assert "accuracy" in page.columns(found)
    assert "90.0 %" in page.rows(found)[0]


def lines(figure: Any, marker: str) -> list[Any]:
    return [line for line in figure.axes[0].lines if line.get_marker() == marker]


def test_gaps_show_means_intervals_seeds_and_the_noise_floor(made: Contest) -> None:
    figure: Any = contests.gaps(made)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["adam", "lion", "momentum", "yogi"]
    lion, momentum = lines(figure, "o")
    assert made.judgement is not None
    against = made.judgement.standings[2].against
    assert against is not None
    assert list(momentum.get_xdata()) == [pytest.approx(against.estimate)]
    assert (lion.get_markerfacecolor(), momentum.get_markerfacecolor()) == ("white", look("momentum")["color"])
    whisker = next(line for line in axes.lines if list(line.get_ydata()) == [2, 2])
    assert list(whisker.get_xdata()) == pytest.approx([against.low, against.high])
    dots = [list(line.get_xdata()) for line in lines(figure, ".")]
    assert dots[1] == pytest.approx([a - b for a, b in zip(FAR, GOOD, strict=True)])
    assert [len(line.get_xdata()) for line in lines(figure, "x")] == [0, 0, 1]
    (band,) = axes.patches
    assert band.get_width() == pytest.approx(2 * (made.judgement.noise or 0))


@pytest.mark.parametrize(
    "fresh",
    [
        {"adam": GOOD, "lion": [x + 40 for x in GOOD], "yogi": NEAR},  # differences of many sizes
        {"adam": [0.1, None, 0.1, None, 0.1, 0.2], "lion": [None, 0.2, 0.3, None, 0.3, 0.4]},
        {"adam": GOOD[:2], "lion": NEAR[:2]},
        {"adam": GOOD, "lion": GOOD},
        {"adam": [None] * 6, "lion": [None] * 6},
    ],
)
def test_whatever_comes_of_it_can_be_drawn(fresh: dict[str, list[float | None]], tmp_path: Path) -> None:
    found = contest(dict.fromkeys(fresh, RATES), fresh, fresh["adam"])
    page.make(Comparison([found]), tmp_path)
    limits = contests.gaps(found).axes[0].get_xlim()
    assert -100 < limits[0] < 0 < limits[1] < 100


def test_tuning_shows_each_optimizers_median_search(made: Contest) -> None:
    figure: Any = contests.tuning(made)
    drawn = {str(line.get_label()): line for line in figure.axes[0].lines}
    assert set(drawn) == set(FRESH)
    assert list(drawn["momentum"].get_ydata()) == [2.0, 1.0, 1.0]
    assert list(drawn["adam"].get_xdata()) == [1, 2, 3]
    assert drawn["adam"].get_color() == look("adam")["color"]


def test_the_profile_is_of_shares(made: Contest) -> None:
    slow = contest(dict.fromkeys(FRESH, RATES), FRESH | {"lion": FAR}, GOOD, name="other")
    both = Comparison([made, slow])
    figure: Any = contests.profile(both)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["steps to the target", "time to the target"]
    for axes, what in zip(figure.axes, ("steps", "seconds"), strict=True):
        for line, share in zip(axes.lines, both.profiles[what].shares, strict=True):
            assert list(line.get_ydata()) == [*share, share[-1]]


def test_a_folder_has_the_file_the_report_and_its_pictures(made: Contest, tmp_path: Path) -> None:
    two = Comparison([made, contest(dict.fromkeys(FRESH, RATES), FRESH, GOOD, name="a/b c")])
    page.make(two, tmp_path)
    pictures = {f"{task}-{what}" for task in ("made_up", "a_b_c") for what in ("gaps", "curves", "tuning", "rates")}
    files = {f"{name}.{ending}" for name in pictures | {"profile"} for ending in FORMATS}
    assert {path.name for path in tmp_path.iterdir()} == files | {"comparison.json", "report.md", "report.html"}
    text = (tmp_path / "report.md").read_text("utf-8")
    assert text.count("](") - text.count("](comparison.json)") == 9
    for name in pictures | {"profile"}:
        assert f"]({name}.png)" in text
    assert text.count(advice.sentence(made)) == 2
    assert f"Warning: {advice.warnings(made)[0]}" in text
    assert "| 3 | momentum | worse | 0.1* |" in text
    assert Comparison.read(tmp_path).document() == two.document()


def test_before_anything_is_known_the_report_says_so(tmp_path: Path) -> None:
    early = contest({"adam": RATES, "lion": RATES}, {}, name="early")
    early.results.complete = False
    page.make(Comparison([early]), tmp_path)
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "early: nothing can be said yet." in text
    assert "interrupted" in text
    assert "early-gaps" not in text
    assert "early-rates.png" in text
