"""The page that an experiment writes on: what agrees with the book, and what does not."""

import numpy as np
import pytest

from stepwell import book
from stepwell.book.section import RUNS, Options, Page, Section, run


def page() -> Page:
    return Page("name", "Title.", "text", Options())


@pytest.mark.parametrize(
    ("got", "printed", "holds"),
    [
        (0.0604662, "0.060466", True),
        (0.0604669, "0.060466", False),
        (0.0604656, "0.060466", True),
        (-2.3825628, "-2.382563", True),
        (2.382563, "-2.382563", False),
        (-1e-9, "-0.000000", True),
        (10.4, "10", True),
        (10.6, "10", False),
        (float("nan"), "0.1", False),
        (float("inf"), "0.1", False),
    ],
)
def test_a_number_agrees_to_the_digits_printed(got: float, printed: str, holds: bool) -> None:
    written = page()
    written.number("x", got, printed)
    assert written.lines[0].holds is holds
    assert written.holds is holds


def test_each_of_several_numbers_must_agree() -> None:
    written = page()
    written.number("right", [1.0, 2.0], "1.0, 2.00")
    written.number("second wrong", [1.0, 2.1], "1.0, 2.00")
    assert [line.holds for line in written.lines] == [True, False]
    assert [line.got for line in written.lines] == ["1.0, 2.00", "1.0, 2.10"]
    with pytest.raises(ValueError, match="2 numbers where 1 are expected"):
        written.number("too many", [1.0, 2.0], "1.0")
    with pytest.raises(ValueError, match="plain digits"):
        written.number("not a number", 1.0, "about 1")


@pytest.mark.parametrize(
    ("values", "edges", "holds"),
    [
        ([0.242, 0.25], "0.242 to 0.250", True),
        ([0.2416, 0.2504], "0.242 to 0.250", True),
        ([0.242, 0.2506], "0.242 to 0.250", False),
        ([0.2414, 0.25], "0.242 to 0.250", False),
        ([np.nan], "0.242 to 0.250", False),
        ([0.1, 0.24824], "at most 0.2482", True),
        ([0.1, 0.24826], "at most 0.2482", False),
    ],
)
def test_every_value_must_lie_in_the_band_to_the_digits_printed(values: list[float], edges: str, holds: bool) -> None:
    written = page()
    written.band("loss", values, edges)
    assert written.lines[0].holds is holds
    assert written.lines[0].expected == edges


def test_a_sample_must_have_the_mean_and_the_deviation_of_the_book() -> None:
    normal = np.random.default_rng(0).normal(0.5, 0.1, 1000)
    written = page()
    written.sample("right", normal, 0.5, 0.1)
    written.sample("mean off by 5 standard errors", normal, 0.5 + 5 * 0.1 / np.sqrt(1000), 0.1)
    written.sample("deviation off by 20 %", normal, 0.5, 0.12)
    written.sample("mean right, no spread", np.full(1000, 0.5), 0.5, 0.1)
    assert [line.holds for line in written.lines] == [True, False, False, False]
    with pytest.raises(ValueError, match=f"{RUNS} runs or more; got 199"):
        written.sample("few", normal[:199], 0.5, 0.1)


def test_what_is_only_measured_agrees_with_nothing() -> None:
    written = page()
    written.measured("time", 0.123456789)
    written.say("A remark.")
    written.table(["a", "b"], [(1, 2.5)])
    assert written.lines[0].got == "0.123457"
    assert written.lines[0].holds is None
    assert written.holds
    assert written.tables[0].rows == [["1", "2.5"]]
    written.claim("false", False)
    assert not written.holds


def test_a_section_runs_its_experiments_in_order() -> None:
    section = Section("name", "Title", "text")

    @section.experiment
    def first(page: Page) -> None:
        """The first: its title.

        Its text,
        over lines.
        """
        page.number("one", 1, "1")

    @section.experiment
    def second(page: Page) -> None:
        """The second."""
        page.measured("seeds", page.options.seeds)

    pages = list(section.run(Options(seeds=3)))
    assert [p.name for p in pages] == ["first", "second"]
    assert (pages[0].title, pages[0].text) == ("The first: its title.", "Its text, over lines.")
    assert pages[1].lines[0].got == "3"
    assert [p.name for p in section.run(only="second")] == ["second"]
    assert run(first).seconds >= 0


@pytest.mark.parametrize("name", book.named)
def test_every_section_says_what_it_is(name: str) -> None:
    section = book.named[name]
    assert section.name == name
    assert section.title
    assert len(section.text.split()) > 20
    assert ">>>" not in section.text
    assert "*" not in section.text
    assert section.experiments
    names = [experiment.__name__ for experiment in section.experiments]
    assert len(set(names)) == len(names)
    for experiment in section.experiments:
        assert (experiment.__doc__ or "").strip().partition("\n")[0].endswith((".", "?")), experiment.__name__
