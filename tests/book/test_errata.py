"""The page of errata: all 26, in order, each true, and each of them false where the library has the text's error."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from stepwell import rules
from stepwell.book import errata
from stepwell.book.errata.erratum import Erratum
from stepwell.book.section import Options, Page, run
from tests.book.errata_mutants import MUTANTS
from tests.lab.conftest import data_folder

ALL: list[Any] = errata.section.experiments
NUMBERS = range(1, 27)


def number(erratum: Erratum) -> int:
    found = re.match(r"e(\d\d)_", erratum.__name__)
    assert found
    return int(found[1])


@cache
def page(k: int) -> Page:
    return run(ALL[k - 1], Options(data=data_folder()))


def test_they_are_numbered_from_1_to_26() -> None:
    assert [number(each) for each in ALL] == list(NUMBERS)
    assert list(MUTANTS) == list(NUMBERS)


@pytest.mark.parametrize("k", NUMBERS)
def test_each_holds_and_says_what_is_wrong_and_what_is_done(k: int) -> None:
    written = page(k)
    assert written.title.startswith(f"{k}. ")
    assert re.search("D2L|companion text|exercise", written.text)
    assert re.search(r"\b[Hh]ere\b|Stepwell|`\w+", written.text)
    assert [line for line in written.lines if line.holds is False] == []
    assert any(line.holds for line in written.lines)


@pytest.mark.parametrize("k", NUMBERS)
def test_it_would_not_hold_if_the_library_had_the_error(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, wrong = MUTANTS[k]
    monkeypatch.setattr(where, what, wrong)
    assert not run(ALL[k - 1], Options(data=data_folder())).holds


@pytest.mark.parametrize("k", NUMBERS)
def test_each_names_its_tests_and_they_are_there(k: int) -> None:
    (note,) = [note for note in page(k).notes if note.startswith("Tests: ")]
    assert f"-k test_{k}_" in note
    texts = [path.read_text("utf-8") for path in Path(__file__).parent.glob("test_errata_*.py")]
    assert any(f"\ndef test_{k}_" in text for text in texts)


def test_the_figures_are_few_and_have_axes_with_names() -> None:
    figures = [figure for k in NUMBERS for figure in page(k).figures.values()]
    assert len(figures) == 5
    assert all(axes.get_xlabel() and axes.get_ylabel() for figure in figures for axes in figure.axes)


def test_a_rules_errata_are_found_by_its_name() -> None:
    assert [number(each) for each in errata.concerning("adam")] == [1, 2, 4, 23]
    assert [number(each) for each in errata.concerning("yogi")] == [1, 3, 4]
    assert [number(each) for each in errata.concerning("adadelta")] == [4, 12, 24]
    assert errata.concerning("lion") == []


def test_errata_name_rules_that_exist() -> None:
    assert {name for each in ALL for name in each.rules} <= set(rules.named)


def test_marking_is_what_makes_an_erratum_found() -> None:
    marked = [each for name in rules.named for each in errata.concerning(name)]
    assert all(each in ALL for each in marked)
    assert {number(each) for each in marked} == {k for k in NUMBERS if ALL[k - 1].rules}
