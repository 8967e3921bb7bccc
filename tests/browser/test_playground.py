"""The playground as its reader uses it: with the keyboard, the mouse, a finger, a link."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepwell.functions import minimize, surfaces
from stepwell.lab.landscapes.grid import Landscape
from stepwell.pages import style
from stepwell.pages.playground import page
from stepwell.rules import named
from tests.browser.conftest import PHONE, WIDE

TABLET = {"width": 700, "height": 900}
STEPPED = "#surface=ravine&start=-5,-2&steps=40&momentum=lr:0.1&adam=lr:0.4,beta1:0.8"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as a file."""
    path = tmp_path_factory.mktemp("playground") / "playground.html"
    path.write_text(page(), encoding="utf-8")
    return path


@pytest.fixture
def at(opened: Callable[..., Any], file: Path) -> Callable[..., Any]:
    """The page at a hash: `at("#surface=bowl")`; its browser's page."""

    def opening(hash: str = STEPPED, **more: Any) -> Any:
        watched = opened(file, **more)
        watched.page.goto(file.as_uri() + hash)
        watched.page.reload()
        settle(watched.page)
        return watched.page

    return opening


def settle(page: Any) -> None:
    """Wait until what changed is drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def points(page: Any, place: int = 0) -> np.ndarray:
    """A path as it is drawn, (steps + 1, n)."""
    settle(page)
    found = page.evaluate("(k) => [paths[k].n, Array.from(paths[k].points)]", place)
    return np.array(found[1]).reshape(-1, found[0])


def picture(page: Any) -> str:
    settle(page)
    return page.evaluate("byId('picture').toDataURL()")


def field(page: Any, rule: str, hyper: str, kind: str) -> Any:
    return page.locator(f'.card[data-rule="{rule}"] .row[data-hyper="{hyper}"] input[type="{kind}"]')


def test_it_begins_with_paths_that_come_down(at: Callable[..., Any]) -> None:
    page = at("")
    rows = page.locator("#readout tr")
    assert rows.count() >= 2
    for k in range(rows.count()):
        path = points(page, k)
        assert surfaces.ravine(path[-1]) < surfaces.ravine(path[0]) / 100
    page.wait_for_function("byId('live').textContent !== ''")
    assert "ravine from (−5, −2), step 100 of 100." in page.locator("#live").text_content()


def test_a_slider_moved_by_a_key_moves_the_path(at: Callable[..., Any]) -> None:
    page = at()
    before, drawn = points(page), picture(page)
    slider = field(page, "momentum", "lr", "range")
    slider.focus()
    page.keyboard.press("ArrowRight")
    after = points(page)
    rate = page.evaluate("state.chosen[0].hyper.lr")
    assert rate > 0.1
    assert field(page, "momentum", "lr", "text").input_value() == str(rate)
    assert abs(after[1:] - before[1:]).max() > 1e-3
    assert picture(page) != drawn
    np.testing.assert_allclose(
        after, minimize(surfaces.ravine, [-5, -2], "momentum", lr=rate, steps=40).path, rtol=1e-9
    )
    assert f"lr={rate}" in page.locator("#python").inner_text()


def test_beta_is_as_fine_near_1_as_its_slider_needs(at: Callable[..., Any]) -> None:
    page = at()
    slider = field(page, "adam", "beta2", "range")
    slider.focus()
    page.keyboard.press("End")
    settle(page)
    assert page.evaluate("state.chosen[1].hyper.beta2") == pytest.approx(1 - 1e-5, abs=1e-12)
    page.keyboard.press("Home")
    settle(page)
    assert page.evaluate("state.chosen[1].hyper.beta2") == 0


def test_a_number_that_cannot_be_says_so_and_changes_nothing(at: Callable[..., Any]) -> None:
    page = at()
    before = points(page, 1)
    box = field(page, "adam", "beta1", "text")
    box.fill("1.5")
    trouble = page.locator('.card[data-rule="adam"] .row[data-hyper="beta1"] .trouble')
    assert trouble.inner_text() == "beta1 must be a number in [0, 1)"
    assert box.get_attribute("aria-invalid") == "true"
    assert (points(page, 1) == before).all()
    box.fill("0.95")
    assert trouble.is_hidden()
    expected = minimize(surfaces.ravine, [-5, -2], "adam", lr=0.4, beta1=0.95, steps=40).path
    np.testing.assert_allclose(points(page, 1), expected, rtol=1e-9, atol=1e-12)


def test_the_start_is_dragged_by_mouse(at: Callable[..., Any]) -> None:
    page = at()
    before, box = points(page), page.locator("#handle").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y - 40, steps=5)
    page.mouse.up()
    after = points(page)
    assert after[0, 0] > before[0, 0]
    assert after[0, 1] > before[0, 1]
    moved = page.locator("#handle").bounding_box()
    assert (moved["x"] - box["x"], moved["y"] - box["y"]) == pytest.approx((60, -40), abs=1)
    page.mouse.move(x + 65, y - 38, steps=3)
    assert (points(page) == after).all()


def test_the_start_goes_where_the_picture_is_pressed(at: Callable[..., Any]) -> None:
    page = at()
    box = page.locator("#picture").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    middle = [sum(side) / 2 for side in surfaces.ravine.domain]
    assert points(page)[0] == pytest.approx(middle, abs=0.02)


def test_the_start_is_moved_by_arrows_and_typed(at: Callable[..., Any]) -> None:
    page = at()
    page.locator("#handle").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert points(page)[0] == pytest.approx([-5 + 0.065, -2 + 0.4])
    page.locator("#start input").first.fill("1.25")
    page.keyboard.press("Tab")
    assert points(page)[0] == pytest.approx([1.25, -1.6])
    page.locator("#start input").first.fill("here")
    page.keyboard.press("Tab")
    assert page.locator("#start-trouble").inner_text() == "x1 must be a finite number"
    assert points(page)[0] == pytest.approx([1.25, -1.6])


def test_steps_are_played_paused_and_gone_through(at: Callable[..., Any]) -> None:
    page = at()
    where = page.locator("#where")
    assert where.inner_text() == "40 / 40"
    page.locator("#reset").click()
    assert where.inner_text() == "0 / 40"
    start = picture(page)
    page.locator("#forward").click()
    page.locator("#forward").click()
    page.locator("#back").click()
    assert where.inner_text() == "1 / 40"
    assert picture(page) != start
    page.locator("#speed").fill("5")
    page.locator("#play").click()
    assert page.locator("#play").get_attribute("aria-label") == "Pause"
    page.wait_for_function("state.now > 5")
    page.locator("#play").click()
    now = page.evaluate("state.now")
    page.wait_for_timeout(200)
    assert page.evaluate("state.now") == now < 40
    page.locator("#end").click()
    assert where.inner_text() == "40 / 40"


def test_shortcuts_are_the_pages_where_they_are_no_other_things(at: Callable[..., Any]) -> None:
    page = at()
    page.locator("h1").click()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("state.now") == 1
    page.keyboard.press("+")
    assert page.locator("#pace").inner_text() == "32 a second"
    page.keyboard.press(" ")
    assert page.evaluate("player.playing")
    page.wait_for_function("!player.playing")
    assert page.evaluate("state.now") == 40
    field(page, "momentum", "lr", "range").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("state.now") == 40


def test_the_table_says_in_words_what_diverged(at: Callable[..., Any]) -> None:
    page = at("#surface=rosenbrock&start=-1.2,1&steps=50&gradient_descent=lr:1&adam=lr:0.05")
    words = page.locator("#readout td.words").all_inner_texts()
    assert words[0].startswith("diverged at step ")
    assert words[1] == "below its start"
    steps = minimize(surfaces.rosenbrock, [-1.2, 1.0], lr=1.0, steps=50).nit
    assert words[0] == f"diverged at step {steps}"


def test_optimizers_are_added_and_removed_and_fitted(at: Callable[..., Any]) -> None:
    page = at()
    page.locator("#add").select_option("lion")
    assert page.locator(".card").count() == 3
    assert surfaces.ravine(points(page, 2)[-1]) < 1
    field(page, "lion", "lr", "text").fill("1e-6")
    assert surfaces.ravine(points(page, 2)[-1]) > 10
    page.locator('.card[data-rule="lion"]').get_by_role("button", name="Fit rate").click()
    assert surfaces.ravine(points(page, 2)[-1]) < 1
    for name in ("lion", "adam", "momentum"):
        page.get_by_role("button", name=f"Remove {name}").click()
    settle(page)
    assert page.locator("#nobody").is_visible()
    assert page.locator("#readout tr").count() == 0


def test_the_keyboard_looks_through_the_list_before_it_adds(at: Callable[..., Any]) -> None:
    page = at()
    page.locator("#add").focus()
    page.keyboard.press("n")
    page.keyboard.press("ArrowDown")
    chosen = page.locator("#add").input_value()
    assert chosen in named
    assert page.locator(".card").count() == 2
    assert page.locator("#plus").inner_text() == f"Add {chosen}"
    page.keyboard.press("Enter")
    assert page.locator(".card").count() == 3
    assert page.evaluate("document.activeElement.id") == f"{chosen}-lr"
    assert page.locator("#plus").is_hidden()


def test_every_optimizer_can_be_added_in_its_own_colour(at: Callable[..., Any]) -> None:
    page = at("#surface=bowl&steps=5&adam=lr:0.1")
    offered = page.evaluate("[...byId('add').options].map((o) => o.value).filter(Boolean)")
    assert {*offered, "adam"} == set(named)
    colours = page.evaluate("Object.fromEntries(Object.keys(RULES).map((r) => [r, DATA.rules[r].colour]))")
    assert colours == {name: style.look(name)["color"] for name in named}
    black = next(name for name, colour in colours.items() if colour == "#000000")
    page.locator("#theme").click()
    assert page.evaluate("(rule) => colourOf(rule)", black) == page.evaluate("themed('ink')") == "#e7eaee"


@pytest.mark.parametrize("surface", surfaces.named)
def test_every_surface_can_be_looked_at(at: Callable[..., Any], surface: str) -> None:
    page = at("")
    drawn = picture(page)
    page.locator("#surface").select_option(surface)
    assert points(page).shape[1] == surfaces.named[surface].dimension
    assert surface == "ravine" or picture(page) != drawn
    assert page.locator("#about").inner_text() == f"{surfaces.named[surface].about}."


def test_the_address_keeps_the_view(at: Callable[..., Any]) -> None:
    page = at()
    page.locator("#surface").select_option("himmelblau")
    field(page, "adam", "beta1", "text").fill("0.85")
    page.locator("#steps").fill("77")
    page.locator("#noise").fill("0.5")
    page.locator("#seed").fill("2")
    page.locator("#seed").press("Tab")
    page.locator("#back").click()
    before, hash = points(page, 1), page.evaluate("hashOf()")
    page.wait_for_function("(hash) => location.hash === hash", arg=hash)
    again = at(hash)
    assert (points(again, 1) == before).all()
    assert again.locator("#where").inner_text() == "76 / 77"
    assert again.locator("#surface").input_value() == "himmelblau"
    assert again.locator("#notice").is_hidden()
    assert "noise=0.5, seed=2" in again.locator("#python").inner_text()


@pytest.mark.parametrize(
    ("hash", "words"),
    [
        ("#surface=hill", "there is no surface hill here"),
        ("#start=1", "start must be two numbers for ravine; it says 1"),
        ("#start=1,x", "start must be two numbers"),
        ("#steps=-1", "steps must be an integer from 1 to 1000"),
        ("#steps=9&at=10", "at must be an integer from 0 to 9"),
        ("#adma=lr:0.1", "there is no optimizer adma"),
        ("#adam=rate:0.1", "adam has no hyperparameter rate"),
        ("#adam=beta1:1", "beta1 must be a number in [0, 1); adam has 1"),
        ("#noise=-1&seed=9", "noise must be a number ≥ 0; it says -1"),
        ("#%E0%A4%A", "there is no optimizer"),
        ("#toString=1&constructor=lr:2", "there is no optimizer toString; there is no optimizer constructor"),
    ],
)
def test_a_bad_address_says_so_in_words(at: Callable[..., Any], hash: str, words: str) -> None:
    page = at(hash)
    assert words in page.locator("#notice").inner_text()
    assert page.locator("#where").inner_text().endswith(str(page.evaluate("state.steps")))


def test_the_lines_of_python_give_the_same_paths(at: Callable[..., Any]) -> None:
    page = at("#surface=wave&start=9.5&steps=30&noise=0.2&seed=3&nesterov=lr:0.2,beta:0.7&adagrad_rowwise=lr:1")
    code = page.locator("#python").inner_text()
    known: dict[str, Any] = {}
    exec(code.partition("\n\n")[0], known)
    found = [eval(line, known) for line in code.partition("\n\n")[2].splitlines()]
    assert len(found) == 2
    for k, result in enumerate(found):
        np.testing.assert_allclose(points(page, k)[:, 0], result.path, rtol=1e-9)


def test_the_lines_are_copied(at: Callable[..., Any]) -> None:
    page = at(permissions=["clipboard-read", "clipboard-write"])
    page.locator("#copy").click()
    page.wait_for_function("byId('copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#python").inner_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, TABLET, PHONE], ids=["wide", "tablet", "phone"])
def test_it_fits_and_can_be_read(at: Callable[..., Any], size: dict[str, int], theme: str) -> None:
    page = at(STEPPED + "&adagrad=lr:1&rmsprop_eps_inside_centered_momentum=lr:0.1", size=size, theme=theme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for selector in ("#picture", "#chart", "#python", "#readout", "#add", "#play"):
        box = page.locator(selector).bounding_box()
        assert box["width"] > 30, selector
        assert box["x"] >= 0, selector
        assert box["x"] + box["width"] <= size["width"] + 1 or selector == "#python", selector
    for text, ground in (("ink", "ground"), ("muted", "ground"), ("bad", "ground"), ("ink", "high")):
        assert page.evaluate(CONTRAST, [text, ground]) >= 4.5, (text, ground)


CONTRAST = """([text, ground]) => {
  const light = (name) => channels(themed(name)).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""


def test_on_a_phone_the_picture_stays_above_the_sliders(at: Callable[..., Any]) -> None:
    page = at(size=PHONE, has_touch=True)
    field(page, "adam", "beta2", "range").scroll_into_view_if_needed()
    page.evaluate("scrollBy(0, 200)")
    settle(page)
    box = page.locator("#picture").bounding_box()
    assert 0 <= box["y"] < 20
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert points(page)[0] == pytest.approx([sum(side) / 2 for side in surfaces.ravine.domain], abs=0.05)


def test_buttons_and_fields_have_names(at: Callable[..., Any]) -> None:
    page = at()
    nameless = page.evaluate("""[...document.querySelectorAll("button, input, select")].filter((e) =>
      !e.getAttribute("aria-label") && !e.labels?.length && !e.textContent.trim()).map((e) => e.outerHTML)""")
    assert nameless == []


def holed() -> Landscape:
    """A plane whose losses are not all finite."""
    a = np.linspace(-2.0, 2.0, 9)
    losses = a[:, None] ** 2 + 3 * a**2
    losses[0, :3] = np.nan
    losses[-1, -1] = np.inf
    return Landscape(
        about="The loss of a test", a=a, b=a, losses=losses, path=np.array([[1.5, 1.0], [0.0, 0.0]]), share=0.5
    )


def test_the_users_own_loss_comes_first_and_says_what_it_is(opened: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "own.html"
    file.write_text(page(holed(), ["plane = 1"]), encoding="utf-8")
    shown = opened(file).page
    settle(shown)
    about = shown.locator("#about").inner_text()
    for words in ("The loss of a test.", "50 % of it lies in this plane", "At 4 of 81 points the loss is not finite"):
        assert words in about
    assert points(shown)[0] == pytest.approx([1.5, 1.0])
    assert shown.locator("#python").inner_text().startswith("plane = 1\n\nminimize(plane, [1.5, 1.0], ")
    field(shown, "momentum", "lr", "text").fill("5")
    settle(shown)
    assert shown.locator("#readout td.words").first.inner_text() == "left the measured plane at step 1"
    colours = shown.evaluate("""[...byId('picture').getContext('2d').getImageData(0, 0, 900, 500).data]
      .filter((_, k) => k % 4 === 3).reduce((found, x) => found.add(x), new Set()).size""")
    assert colours > 1
