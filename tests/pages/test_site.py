"""The documentation's generated pages: true to the rules, and built by MkDocs without a warning or a network."""

import contextlib
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from stepwell import book
from stepwell.pages import portrait, site
from stepwell.rule import Decay, Rate, rule
from stepwell.rules import algorithms, named
from tests.pages.test_index import Document, made

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of stability with few cells."""
    monkeypatch.setattr(portrait, "PRODUCTS", np.geomspace(0.03, 60.0, 21))
    monkeypatch.setattr(portrait, "DECAYS", np.linspace(0.01, 0.98, 3))


@pytest.mark.parametrize("name", named)
def test_every_formula_becomes_mathml(name: str) -> None:
    """Well-formed, a row for each line, and nothing of LaTeX left in it."""
    latex = named[name].latex()
    tree = ElementTree.fromstring(site.mathml(latex))
    space = "{http://www.w3.org/1998/Math/MathML}"
    table = tree.find(f"./{space}mrow/{space}mtable")
    assert table is not None
    assert len(table.findall(f"{space}mtr")) == latex.count("&=")
    text = "".join(tree.itertext())
    assert not re.search(r"[\\&]|aligned|operatorname", text)
    assert text.count("=") == latex.count("&=")


def test_names_are_set_as_the_formula_has_them() -> None:
    assert "<mi>&#x003C8;</mi>" in site._symbol("momentum_decay")
    assert "<mi>scaled</mi>" in site.mathml(named["rmsprop_momentum"].latex())


@pytest.mark.parametrize("name", ["nadam", "gradient_descent"])
def test_a_rule_page_says_all_of_its_rule(name: str) -> None:
    files = site.rule_page(named[name])
    page = files[f"rules/{name}.md"]
    assert isinstance(page, str)
    for expected in (named[name].reference, *(f"<code>{state}</code>" for state in named[name].state)):
        assert expected in page
    for hyper in named[name].hyperparameters.values():
        row = f"<td><code>{hyper.name}</code></td><td>{hyper.default:g}</td><td>{hyper.domain.words}</td>"
        assert row in page
    assert {f"rules/{name}/{figure}.{ending}" for figure in ("path", "stability") for ending in ("png", "svg")} < {
        *files
    }


def test_a_rule_page_points_to_its_errata_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portrait, "stability", lambda _: (None, ""))
    page = str(site.rule_page(named["yogi"])["rules/yogi.md"])
    assert "<code>initial_accumulator</code></td></tr>" in page  # where v starts
    assert "(../book/errata.md#e03_yogis_epsilon)" in page
    assert "- [3\\. " in page  # its own number, not that of a list
    assert "optax.yogi(" in page
    assert "Without a version of it: PyTorch, Keras, Paddle, MXNet." in page
    assert "errata.md" not in str(site.rule_page(named["yogi"], linked=False)["rules/yogi.md"])


def test_a_section_page_shows_its_numbers_and_its_code() -> None:
    section, pages = made("book_section")
    files = site.section_page(section, pages)
    page = files["book/book_section.md"]
    assert isinstance(page, str)
    assert "## A title with &lt;b&gt;: and \\`code\\`. {#first}" in page
    assert "<td>0.333</td><td>0.333</td>" in page
    assert '<img src="book_section/curve.png" alt="Loss &lt;by&gt; step"' in page
    assert "````python\n" in page
    assert "def made(name: str" in page  # the module that the experiment is in
    assert "<script>" not in page.partition("## The code")[0]
    assert files["book/book_section/curve.png"][:4] == b"\x89PNG"


def test_a_part_is_one_block_of_html() -> None:
    """A blank line inside would end the block, and Markdown would take what follows for its own."""
    _, (page,) = made()
    page.notes.append("one\n\ntwo")
    assert "\n\n" not in site._part("body", page, "")


def test_the_contents_have_the_verdicts() -> None:
    page = site.contents([made("one"), made("two", right=False)])
    assert '(one.md) — <span class="verdict">2 numbers agree</span>' in page
    assert '(two.md) — <span class="verdict bad">1 number agrees, 1 disagrees</span>' in page


@pytest.mark.parametrize("right", [True, False])
def test_a_number_that_does_not_hold_fails_a_strict_build(
    right: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    monkeypatch.setattr(book, "named", {"made": made("made", right)[0]})
    monkeypatch.setenv(site.RULES, "momentum")
    site.pages.cache_clear()
    try:
        with contextlib.nullcontext() if right else pytest.raises(Abort, match="1 warning"):
            build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    finally:
        site.pages.cache_clear()
    assert ("made: first: one third <b>: got 0.333, expected 0.334" in caplog.text) is not right


def test_the_navigation_leads_to_every_rule_in_its_family(monkeypatch: pytest.MonkeyPatch) -> None:
    home, sections, rules = site.nav()
    assert home == {"Home": "index.md"}
    assert sections["Book"][0] == "book/index.md"
    families = [family for family in rules["Rules"] if isinstance(family, dict) and "In the frameworks" not in family]
    listed = [name for family in families for (members,) in [family.values()] for member in members for name in member]
    assert sorted(listed) == sorted(named)
    assert [name for name in listed if name in algorithms] == list(algorithms)
    monkeypatch.setenv(site.RULES, "lion, adam")
    assert {"Lion": [{"lion": "rules/lion.md"}]} in site.nav()[2]["Rules"]
    monkeypatch.setenv(site.RULES, "lino")
    with pytest.raises(ValueError, match="no page 'lino'; did you mean lion"):
        site.nav()


def test_the_site_is_built_without_a_warning_or_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    monkeypatch.setenv(site.SECTIONS, "gd")
    monkeypatch.setenv(site.RULES, "momentum")
    site.pages.cache_clear()
    try:
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    finally:
        site.pages.cache_clear()
    for path in tmp_path.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for address in re.findall(r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="([^"]*)"', text):
            assert "//" not in address, path
            assert (path.parent / address.partition("?")[0]).exists() or path.name == "404.html", (path, address)
    page = (tmp_path / "book/gd.html").read_text(encoding="utf-8")
    assert page.count("<td>0.060466</td>") == 2
    assert 'id="one_dimension"' in page
    assert "<math" in (tmp_path / "rules/momentum.html").read_text(encoding="utf-8")
    assert not (tmp_path / "hooks.py").exists()
    assert "0.060466" in (tmp_path / "search/search_index.json").read_text(encoding="utf-8")
    assert not (ROOT / "docs/book").exists()  # nothing generated lies among the sources


def test_pictures_of_a_rule_show_the_edge_of_its_stability() -> None:
    """2 for gradient descent and for Adagrad; in Adadelta the mean of squared steps was 1/ρ before it is 1."""
    limits = {"gradient_descent": 2.0, "adagrad": 2.0, "adadelta": 2 * np.sqrt(0.9)}
    for name, limit in limits.items():
        figure, words = portrait.stability(named[name])
        assert figure is not None
        assert ("Second moments" in words) is (name != "gradient_descent")
        curve: Any = figure.axes[0].lines[0]
        products, radii = curve.get_xdata(), curve.get_ydata()
        inside = products[np.nan_to_num(radii, nan=9.0) < 1]
        step = portrait.PRODUCTS[1] / portrait.PRODUCTS[0]
        assert limit / step <= inside.max() <= limit


def test_the_decay_that_matters_is_the_one_of_a_state_that_moves() -> None:
    expected = {"momentum": "beta", "rmsprop": None, "rmsprop_momentum": "beta", "adam": "beta1", "nadam": "beta1"}
    found = {name: portrait._main_decay(named[name], portrait._held(named[name])) for name in expected}
    assert found == expected


def test_processes_make_the_same_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = list(site._rule_pages(["lion"], linked=True))
    monkeypatch.setattr(site, "MANY", 1)
    assert list(site._rule_pages(["lion"], linked=True)) == alone
    assert alone[0][0] == "lion"


def test_a_rule_that_never_settles_has_no_picture_of_it() -> None:
    assert portrait.stability(named["lion"]) == (None, portrait.NEVER)


def test_a_rule_of_ones_own_can_be_looked_at() -> None:
    @rule
    def own(g, v, *, lr: Rate = 0.1, beta: Decay = 0.9):
        """Mine."""
        v = beta * v + g
        return lr * v, v

    assert portrait._main_decay(own, {}) == "beta"
    assert "v" not in portrait._held(own)


def test_the_documents_of_the_site_are_closed() -> None:
    _, pages = made()
    Document(site._part("body", pages[0], "here/"))
