"""The page itself: one file that asks for nothing, escapes what users wrote, and can be read without seeing it."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from stepwell.lab.sweeps.results import Results
from stepwell.pages import html
from tests.lab.synthetic import results, run
from tests.pages.html.made import FOUND, Read, comparison, doctor, kept, shown, sweep

BAD = "m" * 120 + "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\"'\u2028"
MEGABYTES = 6.0


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return shown(*kept(tmp_path_factory.mktemp("all")).values())


def test_three_hundred_trials_are_less_than_six_megabytes(tmp_path: Path) -> None:
    made = sweep()
    assert len(made.runs) == 300
    made.write(tmp_path)
    html.write(tmp_path / "report.html", [tmp_path])
    assert 1 < (tmp_path / "report.html").stat().st_size / 1e6 < MEGABYTES
    text = (tmp_path / "report.html").read_text("utf-8")
    assert text.count("plotly.js v") == 1


def test_it_asks_for_nothing_else(everything: Read) -> None:
    for tag, has in everything.tags:
        assert tag not in ("link", "iframe", "img", "base", "object")
        assert "src" not in has
        assert (has.get("href") or "#").startswith("#")
    (policy,) = everything.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert (policy["content"] or "").startswith("default-src 'none';")


def wicked(folder: Path) -> list[Path]:
    """A file of each kind in which everything that a user may have written is bad."""
    folder.mkdir(exist_ok=True)
    runs = [run(BAD, lr, seed, 0.5, 0.9, hyper=((BAD, 0.5),)) for lr in (0.1, 0.2) for seed in range(3)]
    goal = {"metric": "loss", "value": 0.7, "words": BAD}
    made = results(runs, name=BAD, about=BAD, measured=BAD, metric_name=BAD, schedule=BAD, goal=goal)
    made.environment["machine"] = BAD
    made.write(folder)
    compared = comparison(BAD)
    compared.contests[0].results.task["measured"] = BAD
    compared.write(folder)
    document = (
        json.dumps(doctor()).replace('"digits"', json.dumps(BAD)).replace("layers.0.weight", json.dumps(BAD)[1:-1])
    )
    (folder / "doctor.json").write_text(document.replace("it jumps", json.dumps(BAD)[1:-1]))
    found = json.dumps(FOUND.to_json() | {"optimizer": BAD, "task": BAD, "way": BAD})
    (folder / "found_rate.json").write_text(found)
    return [folder]


def test_what_users_wrote_is_shown_as_it_is_and_never_run(tmp_path: Path) -> None:
    text = html.page(wicked(tmp_path / "<b>place"))
    read = Read(text)
    calm = Read(html.page([*kept(tmp_path / "calm").values()]))
    count = {tag for tag, _ in read.tags} | {tag for tag, _ in calm.tags}
    assert {tag for tag in count if not any(tag == t for t, _ in calm.tags)} == set()
    assert len(read.all("script")) == len(calm.all("script"))
    assert "<script>alert" not in text
    assert " ".join(BAD.split()) in read.text
    assert "<b>place" in read.text


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in strings(each)]
    return (
        [text for each in value for text in strings(each)]
        if isinstance(value, list)
        else [value] * isinstance(value, str)
    )


def test_plotly_takes_no_orders_from_users_words(tmp_path: Path) -> None:
    read = shown(*wicked(tmp_path))
    drawn = [text for figure in read.figures.values() for text in strings({**figure, "data": [
        {k: v for k, v in trace.items() if k != "legendgroup"} for trace in figure["data"]]})]  # fmt: skip
    assert any("&lt;/script&gt;" in text for text in drawn)
    assert not any("<script" in text or "<img" in text for text in drawn)


def test_several_files_have_a_table_of_contents_and_a_section_each(tmp_path: Path) -> None:
    read = shown(*kept(tmp_path).values())
    articles = [has["id"] for has in read.all("article")]
    assert len(articles) == 6
    links = {(has["href"] or "")[1:] for has in read.all("a")}
    ids = [has["id"] for _, has in read.tags if "id" in has]
    assert len(ids) == len(set(ids))
    assert {*articles} < links <= set(ids)


def test_results_of_one_task_stand_side_by_side(tmp_path: Path) -> None:
    for place, loss in (("a", 0.25), ("b", 0.5)):
        results([run("adam", 0.1, seed, loss) for seed in range(3)], name="mine").write(tmp_path / place)
    results([run("lion", 0.3, 0, 0.7)], name="other").write(tmp_path / "c")
    read = shown(*(tmp_path / place for place in "abc"))
    assert "mine, side by side" in read.text
    assert "other, side by side" not in read.text
    table = read.text.partition("mine: 2 results")[2]
    for place, loss in (("a", "0.25"), ("b", "0.5")):
        assert re.search(rf"{place}/results\.json Sweep adam 0.1 {loss} \(.*?\) Alone 1 January 2024", table)


def test_a_file_that_is_named_twice_is_shown_once(tmp_path: Path) -> None:
    results([run("adam", 0.1, 0, 0.5)]).write(tmp_path)
    assert len(shown(tmp_path, tmp_path / "results.json").all("article")) == 1


@pytest.mark.parametrize("paths", ["one", "several"])
def test_headings_are_in_order_and_one_is_the_first(paths: str, tmp_path: Path) -> None:
    every = kept(tmp_path)
    for chosen in [list(every.values())] if paths == "several" else [[path] for path in every.values()]:
        levels = shown(*chosen).headings()
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_landmarks_tables_and_charts_can_be_read_aloud(everything: Read) -> None:
    for landmark in ("main", "nav", "header", "footer"):
        assert everything.all(landmark)
    assert len(everything.all("html", lang="en")) == 1
    assert all(has.get("scope") in ("col", "row") for has in everything.all("th"))
    assert len(everything.all("caption")) == len(everything.all("table"))
    plots = everything.all("div", role="img")
    assert len(plots) == len(everything.figures) > 10
    assert all(len((has["aria-label"] or "").partition(". ")[2]) > 10 for has in plots)
    assert all(has.get("tabindex") == "0" and has.get("aria-label") for has in everything.all("div", role="region"))
    labels = {has["for"] for has in everything.all("label")}
    assert {has["id"] for has in everything.all("input")} == labels


def test_without_javascript_every_chart_says_in_words_what_it_shows(everything: Read) -> None:
    assert len(everything.all("noscript")) == len(everything.figures)
    assert everything.text.count("The chart needs JavaScript. What it shows: ") == len(everything.figures)
    for has in [*everything.all("button"), *everything.all("div", **{"class": "search"})]:
        assert "hidden" in has or has.get("class") == "key"  # what does nothing without scripts is not there


def test_figures_have_no_colour_that_a_theme_could_not_change(everything: Read) -> None:
    def colours(value: Any, key: str = "") -> list[str]:
        if isinstance(value, dict):
            return [found for name, each in value.items() for found in colours(each, name)]
        if isinstance(value, list):
            return [found for each in value for found in colours(each, key)]
        return [value] if key.endswith("color") and isinstance(value, str) else []

    found = set(colours(everything.figures))
    assert len(found) > 10
    assert {name for name in found if not name.startswith("--")} == {"rgba(0,0,0,0)"}
    styles = html.page([]) + "".join(everything.words)
    for name in found - {"rgba(0,0,0,0)"}:
        assert f"{name.partition('/')[0]}:" in styles


def test_made_in_memory_or_from_its_file_it_is_the_same(tmp_path: Path) -> None:
    from stepwell.pages import report

    made: Results = sweep(rates=3, seeds=2)
    report.make(made, tmp_path)
    assert (tmp_path / "report.html").read_text("utf-8") == html.page([tmp_path / "results.json"])
