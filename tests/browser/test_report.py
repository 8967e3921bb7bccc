"""The report in a real Chromium: charts, theme, keyboard, phone, paper; nothing complained of, nothing fetched."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepwell.pages import html
from stepwell.pages.html.colours import colour_of, on_dark
from stepwell.pages.style import look
from tests.browser.conftest import PHONE, Watched
from tests.lab.synthetic import results, run
from tests.pages.html.made import kept, sweep
from tests.pages.html.test_page import wicked

Opening = Callable[..., Watched]
PLOTS = "[...document.querySelectorAll('.plot')]"
TRACES = f"{PLOTS}.flatMap(plot => plot.data)"
SHOWN = f"name => {TRACES}.filter(trace => trace.legendgroup === name && trace.visible).length"
TOO_WIDE = f"{PLOTS}.filter(plot => plot.querySelector('svg').clientWidth > plot.clientWidth + 1).length"
DRAWN = f"{PLOTS}.filter(plot => plot.querySelector('svg.main-svg .trace path')).length"
FOCUS = """() => {
    const each = document.activeElement;
    return [each.tagName + (each.id || each.className), getComputedStyle(each).outlineStyle];
}"""
PRINTED = """colour => addEventListener("beforeprint", () => window.seen([
    getComputedStyle(document.body).backgroundColor,
    Math.max(...[...document.querySelectorAll(".plot svg")].map(svg => svg.width.baseVal.value)),
    document.querySelector(".plot").data.some(trace => trace.marker?.color === colour),
]))"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep, one optimizer black."""
    folder = tmp_path_factory.mktemp("report")
    sweep(("adam", "momentum", "adagrad_eps_inside"), rates=14, seeds=3).write(folder)
    html.write(folder / "report.html", [folder])
    return folder / "report.html"


def drawn(watched: Watched) -> Any:
    """The page once all of its charts are drawn."""
    watched.page.wait_for_selector("html[data-drawn]", state="attached", timeout=20_000)
    return watched.page


def charts(page: Any) -> int:
    """How many charts have something in them."""
    return page.evaluate(DRAWN)


def strokes(page: Any, optimizer: str) -> set[str]:
    """The colours that an optimizer's lines have on the page."""
    lines = f"{TRACES}.filter(trace => trace.legendgroup === name && trace.line?.dash)"
    return set(page.evaluate(f"name => {lines}.map(trace => trace.line.color)", optimizer))


def overflow(page: Any) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_every_chart_is_drawn(report: Path, opened: Opening) -> None:
    page = drawn(opened(report))
    assert charts(page) == page.locator(".plot").count() == 6
    assert page.evaluate("document.querySelectorAll('svg.main-svg').length") >= 6
    assert page.locator(".plot path.xy, .plot .scatterlayer .point").count() > 100


def test_every_kind_of_result_is_drawn(tmp_path: Path, opened: Opening) -> None:
    html.write(tmp_path / "all.html", [*kept(tmp_path).values()])
    page = drawn(opened(tmp_path / "all.html"))
    assert charts(page) == page.locator(".plot").count() > 20


def test_what_users_wrote_runs_nowhere(tmp_path: Path, opened: Opening) -> None:
    html.write(tmp_path / "wicked.html", wicked(tmp_path))
    watched = opened(tmp_path / "wicked.html")
    said: list[str] = []
    watched.page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page = drawn(watched)
    page.wait_for_timeout(200)
    assert said == []
    assert page.locator("img, .plot a").count() == 0
    assert page.locator(".plot text", has_text="<img src=x").count() > 0


@pytest.mark.parametrize("size", [None, PHONE])
@pytest.mark.parametrize("name", ["report", "all", "wicked"])
def test_the_page_is_never_wider_than_the_window(
    name: str, size: dict[str, int] | None, report: Path, tmp_path: Path, opened: Opening
) -> None:
    path = report
    if name != "report":
        path = tmp_path / "page.html"
        html.write(path, wicked(tmp_path) if name == "wicked" else [*kept(tmp_path).values()])
    page = drawn(opened(path, **({"size": size} if size else {})))
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert overflow(page) <= 0
    assert page.evaluate(TOO_WIDE) == 0


def test_charts_have_the_width_of_a_window_that_changes(report: Path, opened: Opening) -> None:
    page = drawn(opened(report))
    page.set_viewport_size({"width": 500, "height": 800})
    page.wait_for_function("() => document.querySelector('.plot svg').clientWidth < 500")
    assert overflow(page) <= 0


def test_colours_follow_the_theme_and_its_button(report: Path, opened: Opening) -> None:
    light, dark = drawn(opened(report)), drawn(opened(report, theme="dark"))
    for page, colour in ((light, str), (dark, on_dark)):
        for name in ("adam", "momentum"):
            assert strokes(page, name) == {colour(look(name)["color"])}
    ground = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(ground) == "rgb(255, 255, 255)" != dark.evaluate(ground)
    button = light.get_by_role("button", name="Theme")
    button.focus()
    for state, page in (("light", light), ("dark", dark)):
        light.keyboard.press("Enter")
        assert button.text_content() == f"Theme: {state}"
        light.wait_for_function(
            "colour => document.querySelector('.plot').data.some(trace => trace.marker?.color === colour)",
            arg=next(iter(strokes(page, "adam"))),
        )
        assert light.evaluate(ground) == page.evaluate(ground)
    light.reload()
    assert drawn_again(light).get_by_role("button", name="Theme: dark").count() == 1


def drawn_again(page: Any) -> Any:
    page.wait_for_selector("html[data-drawn]", state="attached")
    return page


def test_black_is_seen_in_the_dark(report: Path, opened: Opening) -> None:
    page = drawn(opened(report, theme="dark"))
    black = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--curve-000000').trim()")
    assert black == on_dark("#000000") == "#ffffff"
    assert colour_of("adam") in page.content()


def test_a_system_that_turns_dark_is_followed(report: Path, opened: Opening) -> None:
    page = drawn(opened(report))
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("colour => document.querySelector('.plot').data.some(t => t.marker?.color === colour)",
                           arg=on_dark(look("adam")["color"]))  # fmt: skip


def test_the_lines_to_paste_are_copied(report: Path, opened: Opening) -> None:
    watched = opened(report, permissions=["clipboard-read", "clipboard-write"])
    page = drawn(watched)
    page.get_by_role("button", name="Copy").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Copied").wait_for()
    lines = page.locator(".code code").text_content()
    assert lines.startswith("from stepwell")
    assert page.evaluate("navigator.clipboard.readText()") == lines


def test_without_a_clipboard_of_its_own_the_page_copies_all_the_same(report: Path, opened: Opening) -> None:
    page = drawn(opened(report, permissions=["clipboard-read", "clipboard-write"]))
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true})")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    page.evaluate("delete navigator.clipboard")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator(".code code").text_content()


def test_runs_are_searched_and_sorted_with_the_keyboard(report: Path, opened: Opening) -> None:
    page = drawn(opened(report))
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("adam diverged")
    rows = page.locator("details tbody tr:visible")
    assert rows.count() == 3
    assert page.locator("details [role=status]").text_content() == "3 of 126 runs"
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    assert rows.count() == 126
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    for _ in range(5):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "loss"
    for state, best in (("ascending", min), ("descending", max)):
        page.keyboard.press("Enter")
        assert page.locator("details th[aria-sort]").evaluate_all(
            "each => each.map(x => [x.textContent, x.ariaSort])"
        ) == [["loss", state]]
        texts = rows.locator("td:nth-child(6)").all_text_contents()
        seen = [float("inf") if text == "diverged" else float(text) for text in texts]
        assert seen == sorted(seen, reverse=best is max)
        assert seen[0] == best(seen)


def test_an_optimizer_can_be_switched_off_with_the_keyboard(report: Path, opened: Opening) -> None:
    page = drawn(opened(report))
    assert page.evaluate(SHOWN, "adam") > 0
    page.get_by_role("button", name="adam").first.focus()
    page.keyboard.press("Space")
    page.wait_for_function(f"() => ({SHOWN})('adam') === 0")
    assert page.evaluate(SHOWN, "momentum") > 0
    assert set(page.locator("[data-line=adam]").evaluate_all("each => each.map(x => x.ariaPressed)")) == {"false"}
    page.keyboard.press("Space")
    page.wait_for_function(f"() => ({SHOWN})('adam') > 0")


def test_the_focus_is_seen_and_reaches_everything(report: Path, opened: Opening) -> None:
    page = drawn(opened(report))
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(FOCUS)
        reached.add(name)
        if name.startswith("BODY"):
            break
        assert outline != "none", name
    for wanted in ("Askip", "BUTTONtheme", "BUTTONcopy", "BUTTONkey", "DIVscroll", "SUMMARY"):
        assert wanted in reached


def test_without_javascript_tables_and_words_are_there(report: Path, opened: Opening) -> None:
    page = opened(report, java_script_enabled=False).page
    assert page.get_by_text("adam at a learning rate of").first.is_visible()
    assert page.locator("table").first.is_visible()
    assert page.locator("noscript p", has_text="The chart needs JavaScript.").first.is_visible()
    assert page.get_by_role("button", name="Copy").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_paper_it_is_white_and_whole(report: Path, theme: str, opened: Opening, tmp_path: Path) -> None:
    page = drawn(opened(report, theme=theme))
    seen: list[Any] = []
    page.expose_function("seen", lambda value: seen.append(value))
    page.evaluate(PRINTED, look("adam")["color"])
    page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
    page.wait_for_timeout(100)
    ((ground, widest, coloured),) = seen
    assert ground == "rgb(255, 255, 255)"
    assert widest <= 700  # pixels between the margins of A4
    assert coloured
    assert page.evaluate("getComputedStyle(document.body).backgroundColor !== 'rgb(255, 255, 255)'") == (
        theme == "dark"
    )
    page.emulate_media(media="print")
    for control in ("#theme", ".copy", ".contents", ".search", ".skip"):
        assert page.locator(control).first.is_hidden()
    size = (tmp_path / "report.pdf").read_bytes()
    assert size.startswith(b"%PDF")
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", size)) < 12


def test_where_nothing_can_be_drawn_there_is_no_frame(tmp_path: Path, opened: Opening) -> None:
    results([run("adam", 0.1, seed, None) for seed in range(3)]).write(tmp_path)
    html.write(tmp_path / "report.html", [tmp_path])
    page = drawn(opened(tmp_path / "report.html"))
    assert page.locator(".plot").count() == 0
    assert page.get_by_text("All 3 runs diverged").is_visible()
