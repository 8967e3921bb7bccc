"""Files that are damaged, foreign, older or not there: it is said in words which it is, and where."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepwell.lab.comparisons.comparison import Comparison
from stepwell.pages import html
from stepwell.pages.html.shape import Maybe, Misshapen, check
from tests.lab.contests import contest
from tests.pages.html.made import kept, shown, sweep
from tests.test_cli import refused, run

SCHEMAS = sorted(html.known())


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return kept(tmp_path_factory.mktemp("good"))


def why(path: Path) -> str:
    with pytest.raises(html.Unreadable) as caught:
        html.read(path)
    return str(caught.value)


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_file_that_was_cut_off(good: dict[str, Path], schema: str, share: float, tmp_path: Path) -> None:
    text = good[schema].read_text("utf-8").rstrip()
    path = tmp_path / "cut.json"
    path.write_text(text[: int(len(text) * share)], "utf-8")
    assert why(path).startswith("the file is damaged: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\xff", "the file is no text"),
        (b"rate,loss\n0.1,2", "the file is no JSON"),
        (b"[" * 100_000, "the file is no JSON"),
        (b"[1, 2]", "it names no schema. Known are: stepwell.comparison"),
        (b'{"schema": ["stepwell.results"]}', "it names no schema"),
        (b'{"schema": "other.results", "version": 2}', "its schema is 'other.results'"),
        (b'{"schema": "stepwell.results", "version": 1, "stepwell": "0.0.1"}', "by Stepwell 0.0.1"),
        (b'{"schema": "stepwell.results", "version": 1}', "this Stepwell reads version 2; make it anew"),
        (b'{"schema": "stepwell.results", "version": 99}', "a newer Stepwell reads it"),
        (b'{"schema": "stepwell.results"}', "version None"),
        (b'{"schema": "stepwell.results", "version": 2}', "damaged: stepwell is missing"),
        (b'{"schema": "stepwell.results", "version": 2, "x": NaN}', "damaged: it has NaN"),
    ],
)  # fmt: skip
def test_what_is_no_result_or_an_old_one(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(content)
    assert words in why(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    assert "there is no such file or folder" in html.page([tmp_path / "none.json"])
    assert "the folder has no comparison.json, doctor.json, found_rate.json or results.json" in html.page([tmp_path])


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("runs", 3, "loss"), "low", 'runs[3].loss must be a number or null; it is "low"'),
        (("runs", 0, "curve", "step", 1), None, "runs[0].curve.step[1] must be a number; it is null"),
        (("runs",), {}, "runs must be a list; it is {}"),
        (("task", "name"), 5, "task.name must be text; it is 5"),
        (("complete",), 1, "complete must be true or false; it is 1"),
        (("settings", "steps"), True, "settings.steps must be a whole number; it is true"),
    ],
)
def test_wrong_types_are_named_with_their_place(place: tuple[Any, ...], value: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(broken(sweep(rates=2, seeds=2).json(), place, value))
    assert why(path) == f"the file is damaged: {words}"


WRONG = ["gone", None, "text", -1, 1e300, [], {}]


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of a tree; of a list only the first."""
    if place:
        yield place
    for key in value if isinstance(value, dict) else range(min(len(value), 1)) if isinstance(value, list) else ():
        yield from leaves(value[key], (*place, key))


def broken(text: str, place: tuple[Any, ...], wrong: Any) -> str:
    """A file in which something else stands at a place, or nothing."""
    content = json.loads(text)
    inside = content
    for key in place[:-1]:
        inside = inside[key]
    if wrong == "gone":
        del inside[place[-1]]
    else:
        inside[place[-1]] = wrong
    return json.dumps(content)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_whatever_is_wrong_inside_gives_a_page_or_words(good: dict[str, Path], schema: str, tmp_path: Path) -> None:
    text = good[schema].read_text("utf-8")
    if schema == "stepwell.comparison":
        fresh = {"adam": [0.1, 0.2, 0.3], "lion": [0.4, 0.5, 0.7]}
        tried = {0.01: 1.0, 0.1: 2.0}
        text = Comparison([contest({"adam": tried, "lion": tried}, fresh, fresh["adam"])]).json()
    path = tmp_path / "broken.json"
    refused = []
    for k, place in enumerate(leaves(json.loads(text))):
        for wrong in {k % len(WRONG), (k + 3) % len(WRONG)}:
            path.write_text(broken(text, place, WRONG[wrong]))
            try:
                html.read(path)
            except html.Unreadable as error:
                refused.append(str(error))
    assert len(refused) > 20
    assert all("damaged: " in words or "schema" in words or "version" in words for words in refused)


def test_a_shape_is_checked_to_its_depth() -> None:
    check({"a": [1, None], "more": object()}, {"a": [Maybe(int)]})
    for content in ({}, {"a": [1, "x"]}, {"a": None}, [], {"a": [True]}):
        with pytest.raises(Misshapen):
            check(content, {"a": [Maybe(int)]})


def test_beside_a_good_file_a_bad_one_is_named_on_the_page(good: dict[str, Path], tmp_path: Path) -> None:
    bad = tmp_path / "<i>bad.json"
    bad.write_text("{")
    read = shown(good["stepwell.doctor"], bad)
    assert "1 file could not be shown" in read.text
    assert "<i>bad.json" in read.text
    assert "it ends in the middle" in read.text
    assert read.headings()[0] == 1
    assert len(read.all("article")) == 1


def test_alone_a_bad_file_is_still_a_page_of_words(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    read = shown(bad)
    assert "Nothing to show" in read.text
    assert "it ends in the middle" in read.text
    assert read.headings()[0] == 1
    assert not read.all("figure")
    assert html.write(tmp_path / "out.html", [bad])[0] is False
    assert not (tmp_path / "out.html").exists()


# ---- the command


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was asked to open."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    return opened


def test_the_command_writes_a_page_and_opens_it_when_asked(
    good: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("report", str(good["stepwell.results"].parent))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "wrote report.html\n")
    assert browser == []
    result = run("report", str(good["stepwell.results"]), "--out", "new/page.html", "--open")
    assert result.exit_code == 0
    assert browser == [(tmp_path / "new" / "page.html").as_uri()]
    assert (tmp_path / "new" / "page.html").read_text("utf-8") == html.page([good["stepwell.results"]])


def test_the_command_refuses_in_words_and_writes_nothing(tmp_path: Path, browser: list[str]) -> None:
    bad, out = tmp_path / "bad.json", tmp_path / "out.html"
    bad.write_text("{")
    refused(run("report", str(bad), "--out", str(out), "--open"), str(bad), "it ends in the middle")
    refused(run("report", str(tmp_path / "none"), "--out", str(out)), "there is no such file or folder")
    refused(run("report", str(bad), "--out", str(tmp_path)), "--out must be a file")
    assert not out.exists()
    assert browser == []
    assert run("report").exit_code == 2


def test_with_a_good_file_and_a_bad_one_there_is_a_page_and_exit_code_2(good: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    result = run("report", str(good["stepwell.doctor"]), str(tmp_path / "none"), "--out", str(out))
    assert result.exit_code == 2
    assert "there is no such file or folder" in result.stderr
    assert f"wrote {out}" in result.stderr
    assert "The learning rate is too high" in out.read_text("utf-8")


def test_a_found_rate_can_be_kept_and_shown(tmp_path: Path) -> None:
    out = tmp_path / "rates.json"
    result = run("find-lr", "diabetes", "momentum", "--seeds", "1", "--quiet", "--out", str(out))
    assert (result.exit_code, result.stderr) == (0, f"wrote {out}\n")
    assert json.loads(out.read_text("utf-8"))["optimizer"] == "momentum"
    assert run("report", str(out), "--out", str(tmp_path / "a.html")).exit_code == 0
