"""The index of the book: every number, its verdict, the pictures; text that looks like HTML stays text."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from stepwell.book.section import Options, Page, Section, run
from stepwell.pages import index, plots

NASTY = "<script>alert('1 & 2')</script>"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Document(HTMLParser):
    """A page's tags with their attributes, its text, and whether every tag is closed where it should be."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attributes for name, attributes in self.tags if name == tag]


def made(name: str = "made", right: bool = True) -> tuple[Section, list[Page]]:
    """A section with everything that a page can have."""
    section = Section(name, f"Made & {NASTY}", f"First, {NASTY}.\n\nSecond `x < 1`.")

    @section.experiment
    def first(page: Page) -> None:
        """A title with <b>: and `code`.

        Text at <https://d2l.ai/a>.
        """
        page.number("one third <b>", 1 / 3, "0.333" if right else "0.334")
        page.claim("x < y", True, "1 < 2")
        page.measured("seconds", 1.5)
        page.say(f"A note {NASTY}")
        page.table(["<i>", "b"], [["1 < 2", "β"]])
        page.figure(
            "curve", plots.figure("Loss <by> step", plots.lines([plots.Line("a", [1, 2])], "t", "step", "loss"))
        )

    return section, [run(first, Options(seeds=2))]


def read(folder: Path) -> Document:
    return Document((folder / "index.html").read_text(encoding="utf-8"))


def test_an_index_has_all_that_was_written(tmp_path: Path) -> None:
    index.write(tmp_path, [made("one"), made("two", right=False)])
    page = read(tmp_path)
    for expected in ("First, <script>", "one third <b>", "0.333", "0.334", "1 < 2", "1.5", "A note <script>", "β"):
        assert expected in page.text
    assert page.text.count("2 numbers agree") == 2  # in the contents and at the section
    assert page.text.count("1 number agrees, 1 disagrees") == 2
    assert [mark["aria-label"] for mark in page.all("span") if "aria-label" in mark] == [
        "agrees", "agrees", "nothing to compare with", "disagrees", "agrees", "nothing to compare with",
    ]  # fmt: skip


def test_a_section_with_nothing_to_compare_claims_nothing(tmp_path: Path) -> None:
    section, (page,) = made()
    page.lines = page.lines[2:]
    index.write_section(tmp_path, section, [page])
    assert "nothing to compare" in read(tmp_path).text
    assert "agree" not in read(tmp_path).text.replace("expectedagree", "")  # the heading of the column


def test_nothing_written_becomes_a_tag_but_code_and_addresses(tmp_path: Path) -> None:
    index.write(tmp_path, [made()])
    page = read(tmp_path)
    assert page.all("script") == page.all("b") == page.all("i") == []
    assert len(page.all("code")) == 2
    assert [a["href"] for a in page.all("a") if a["href"].startswith("http")] == ["https://d2l.ai/a"]


def test_figures_lie_where_the_index_looks_for_them(tmp_path: Path) -> None:
    index.write(tmp_path, [made("one"), made("two")])
    (first, second) = read(tmp_path).all("img")
    assert (first["src"], second["src"]) == ("one/curve.png", "two/curve.png")
    assert first["alt"] == "Loss <by> step"
    assert (tmp_path / "one/curve.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "two/curve.svg").read_text()
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["index.html", "one/curve.png", "one/curve.svg", "two/curve.png", "two/curve.svg"]


def test_one_section_needs_no_folder_and_no_contents(tmp_path: Path) -> None:
    index.write_section(tmp_path, *made())
    page = read(tmp_path)
    assert page.all("img")[0]["src"] == "curve.png"
    assert (tmp_path / "curve.svg").exists()
    assert page.all("nav") == []


def test_an_index_needs_no_network_and_can_be_walked_by_keyboard(tmp_path: Path) -> None:
    index.write(tmp_path, [made("one"), made("two")])
    page = read(tmp_path)
    loaded = [a.get("src") or a.get("href", "") for tag in ("img", "link", "script", "iframe") for a in page.all(tag)]
    assert not [address for address in loaded if "//" in address]
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    inside = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert inside == ["content", "one", "two"]
    assert set(inside) <= targets
    scrolled = [div for div in page.all("div") if div.get("class", "").startswith("scroll")]
    assert scrolled
    assert all(div["tabindex"] == "0" and div["aria-label"] for div in scrolled)
    text = (tmp_path / "index.html").read_text()
    assert "prefers-color-scheme: dark" in text
    assert re.search(r'name="viewport" content="width=device-width', text)


def test_the_heading_says_how_it_was_run(tmp_path: Path) -> None:
    index.write(tmp_path, [made()])
    assert "3 numbers in 0 s; 2 seeds." in read(tmp_path).text


@pytest.mark.parametrize(("names", "message"), [(["a", "a"], "two figures"), (["../a"], "letters, digits")])
def test_a_figure_that_would_be_lost_is_refused_before_anything_is_written(
    tmp_path: Path, names: list[str], message: str
) -> None:
    section, (page,) = made()
    figure = page.figures["curve"]
    pages = [Page(str(k), "", "", Options(), figures={name: figure}) for k, name in enumerate(names)]
    with pytest.raises(ValueError, match=message):
        index.write(tmp_path, [(section, pages)])
    assert list(tmp_path.iterdir()) == []
