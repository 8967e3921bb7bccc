"""`stepwell book` as a user has it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stepwell import book, cli
from stepwell.book.section import Page, Section
from stepwell.lab.data import DataError
from stepwell.pages import plots


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(cli.app, ["book", *arguments])


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Section]:
    """Two small sections in the place of the book's, in an empty folder."""
    first, second = Section("first", "The first section", "text"), Section("second", "The second", "text")

    @first.experiment
    def numbers(page: Page) -> None:
        """Numbers [bold]beside[/bold] the book's."""
        page.number("one", 1.0, "1.00")
        page.measured("seeds", page.options.seeds)
        page.table(["a", "b"], [("x", 1)])
        page.say("A [remark].")
        page.figure("line", plots.figure("Title", plots.lines([plots.Line("a", [0, 1])], "t", "x", "y")))

    @second.experiment
    def length(page: Page) -> None:
        """How long."""
        page.claim("in full", page.options.full)

    found = {"first": first, "second": second}
    monkeypatch.setattr(book, "named", found)
    monkeypatch.chdir(tmp_path)
    return found


def test_the_sections_are_listed() -> None:
    text = run().stdout
    places = [text.index(f"\n{name} ") for name in book.named]
    assert places == sorted(places)
    assert [each["name"] for each in json.loads(run("--json").stdout)] == list(book.named)


def test_a_section_prints_its_numbers_and_draws_its_figures(sections: dict[str, Section], tmp_path: Path) -> None:
    result = run("first", "--seeds", "3")
    assert result.exit_code == 0
    for text in ("The first section", "[bold]beside[/bold]", "✓", "1.00", "seeds", "3", "A [remark]."):
        assert text in result.stdout
    assert "1 of 1 number and claims hold" in result.stderr
    folder = tmp_path / "stepwell-results" / "book" / "first"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "line.png", "line.svg"]


def test_a_section_without_expectations_says_so(sections: dict[str, Section]) -> None:
    def only_measured(page: Page) -> None:
        """Measured."""
        page.measured("x", 1.0)

    sections["first"].experiments = [only_measured]
    result = run("first")
    assert result.exit_code == 0
    assert "nothing was expected" in result.stderr


def test_all_sections_make_one_index(sections: dict[str, Section], tmp_path: Path) -> None:
    result = run("--all", "--full", "--out", "here")
    assert result.exit_code == 0
    assert (tmp_path / "here" / "first" / "line.svg").exists()
    page = (tmp_path / "here" / "index.html").read_text("utf-8")
    assert page.index("The first section") < page.index("The second")
    assert not (tmp_path / "stepwell-results").exists()


def test_a_number_that_is_not_the_books_is_an_exit_code(sections: dict[str, Section]) -> None:
    result = run("--all", "--quiet", "--out", "here")
    assert result.exit_code == 1
    assert "✗" in result.stdout
    assert result.stderr == ""


def test_json_has_everything_but_the_pictures(sections: dict[str, Section]) -> None:
    found = json.loads(run("--all", "--json").stdout)
    assert [each["section"] for each in found] == ["first", "second"]
    (experiment,) = found[0]["experiments"]
    assert experiment["lines"][0] == {"what": "one", "got": "1.00", "expected": "1.00", "holds": True}
    assert experiment["tables"] == [{"columns": ["a", "b"], "rows": [["x", "1"]]}]
    assert experiment["figures"] == ["line"]
    assert found[1]["experiments"][0]["lines"][0]["holds"] is False


def test_mistakes_are_refused_before_anything_runs(sections: dict[str, Section], tmp_path: Path) -> None:
    for arguments, words in {
        ("frist",): "did you mean first",
        ("first", "--all"): "a section or --all",
        ("first", "--out", "file/below"): "cannot write into file/below",
        ("first", "--seeds", "0"): "seeds",
    }.items():
        (tmp_path / "file").touch()
        result = run(*arguments)
        assert result.exit_code == 2, arguments
        assert result.stdout == ""
        assert words in result.stderr


def test_missing_data_and_ctrl_c_keep_what_is_done(
    sections: dict[str, Section], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endings = ((DataError("nowhere"), 2, "nowhere"), (KeyboardInterrupt(), 130, "interrupted"), (RuntimeError(), 1, ""))
    for number, (error, code, words) in enumerate(endings):

        def fails(page: Page, error: BaseException = error) -> None:
            """Fails."""
            raise error

        order = {"second": sections["second"], "first": sections["first"]}
        monkeypatch.setattr(book, "named", order if code == 2 else sections)
        sections["second"].experiments = [fails]
        result = run("--all", "--out", f"kept{number}")
        assert result.exit_code == code
        assert words in result.stderr
        assert "1 of 1 number" in result.stderr
        assert (tmp_path / f"kept{number}" / "index.html").exists()
