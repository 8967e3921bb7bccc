"""The examples, run as a user runs them, with tables small enough for a test."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.conftest import data_folder

EXAMPLES = Path(__file__).parents[1] / "examples"
PATIENCE = 240
PNG = b"\x89PNG\r\n\x1a\n"
DENSE, LAZY, EXACT, BY_ROWS = "dense", "sparse, lazy", "sparse, exact", "sparse, row-wise Adagrad"
CLICKS = ("click_model.py", "--rows", "100000", "--width", "16", "--steps", "30", "--dense-steps", "20")
WORDS = ("text_classifier.py", "--rows", "3000", "--width", "8", "--steps", "30", "--lr", "0.03", "--double")


@dataclass
class Printed:
    """What an example printed: the table's cells by way and column, all of stdout and stderr; and its picture."""

    table: dict[str, dict[str, str]]
    out: str
    err: str
    picture: Path

    def number(self, way: str, column: str) -> float:
        return float(self.table[way][column].split()[0])

    def training(self, way: str) -> tuple[float, float]:
        first, last = map(float, self.table[way]["training loss"].split(" → "))
        return first, last

    @property
    def level(self) -> tuple[float, float]:
        """The loss to compare with, and that at the start."""
        found = re.search(r"Held out, [^:]+: ([\d.]+); the start: ([\d.]+)\.", self.out)
        assert found
        return float(found[1]), float(found[2])


def example(*arguments: str) -> subprocess.CompletedProcess[str]:
    name, *options = arguments
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def printed(folder: Path, *arguments: str) -> Printed:
    picture = folder / "picture.png"
    done = example(*arguments, "--out", str(picture))
    assert done.returncode == 0, done.stderr
    head, *rows = [re.split(r" {2,}", line.strip()) for line in done.stdout.split("\n\n")[1].splitlines()]
    table = {way: dict(zip(head, cells, strict=True)) for way, *cells in rows}
    return Printed(table, done.stdout, done.stderr, picture)


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    return printed(tmp_path_factory.mktemp("clicks"), *CLICKS)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    data = data_folder("wikitext-2/valid.txt")
    return printed(tmp_path_factory.mktemp("words"), *WORDS, "--data", str(data))


@pytest.fixture(params=["clicks", "words"])
def either(request: pytest.FixtureRequest) -> Printed:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(("name", "rounding"), [("clicks", 1e-5), ("words", 1e-12)])  # float32 and float64
def test_exact_comes_to_the_dense_weights_and_lazy_does_not(
    name: str, rounding: float, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(name)
    assert found.number(EXACT, "weights off by") < rounding
    assert found.number(LAZY, "weights off by") > 1e-3
    assert found.table[DENSE]["weights off by"] == "–"


def test_exact_has_the_dense_losses(either: Printed) -> None:
    column = next(name for name in either.table[DENSE] if name.startswith("held out"))
    assert either.number(EXACT, column) == pytest.approx(either.number(DENSE, column), abs=2e-4)
    assert either.number(LAZY, column) != either.number(DENSE, column)


def test_losses_fall(either: Printed) -> None:
    start = either.level[1]
    for way in either.table:
        first, last = either.training(way)
        assert last < first
        assert either.number(way, "at the end") < start


def test_times_and_memory_are_there(either: Printed) -> None:
    for way in either.table:
        assert 0 < either.number(way, "optimizer step") < either.number(way, "whole step")
        assert re.fullmatch(r"\d+\.\d MB|–", either.table[way]["extra"])
    assert "flush()" in either.out


def test_a_picture_is_written_and_progress_is_on_stderr(either: Printed) -> None:
    assert either.picture.read_bytes().startswith(PNG)
    for way in either.table:
        assert f"{way}: " in either.err
    assert str(either.picture) in either.err


def test_the_dense_way_says_that_it_had_fewer_steps(clicks: Printed) -> None:
    assert [clicks.table[way]["steps"] for way in (DENSE, LAZY, EXACT, BY_ROWS)] == ["20", "30", "30", "30"]
    assert "The dense way was given 20 steps of 30" in clicks.out


def test_clicks_cannot_be_foretold_better_than_by_what_was_planted(clicks: Printed) -> None:
    best, start = clicks.level
    for way in clicks.table:
        assert best < clicks.number(way, "at the end") < start
    assert clicks.table[BY_ROWS]["weights off by"] == "–"  # another optimizer


def test_row_wise_adagrad_keeps_one_number_a_row(clicks: Printed) -> None:
    assert clicks.number(BY_ROWS, "state") == pytest.approx(0.4, abs=0.05)
    assert clicks.number(LAZY, "state") == pytest.approx(2 * 6.4, abs=0.05)


def test_words_begin_as_a_guess_by_frequency(words: Printed) -> None:
    guess, start = words.level
    assert start == pytest.approx(guess, abs=2e-4)


def test_adagrad_is_exact_even_if_lazy(tmp_path: Path) -> None:
    found = printed(tmp_path, *CLICKS, "--optimizer", "adagrad", "--double")
    for way in (LAZY, EXACT):
        assert found.number(way, "weights off by") < 1e-12


def test_an_unknown_optimizer_is_said() -> None:
    done = example("click_model.py", "--optimizer", "adamm")
    assert done.returncode == 2
    assert "'adamm'; did you mean adam" in done.stderr


def test_without_the_data_all_ways_are_said(tmp_path: Path) -> None:
    done = example("text_classifier.py", "--data", str(tmp_path))
    assert done.returncode == 2
    for way in ("wikitext-2/valid.txt", "--data PATH", "STEPWELL_DATA=PATH"):
        assert way in done.stderr
    assert "Traceback" not in done.stderr
