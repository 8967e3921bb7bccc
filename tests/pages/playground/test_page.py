"""The playground's file: what is in it, and what is not."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stepwell.functions import surfaces
from stepwell.functions.surfaces import Surface
from stepwell.lab.landscapes.grid import Landscape
from stepwell.pages.playground import data, formulas, page
from stepwell.pages.playground.page import WEB, as_script
from stepwell.pages.style import look
from stepwell.rules import named

LARGEST = 500_000


def plane(points: int = 31, about: str = "A plane") -> Landscape:
    a = np.linspace(-1.0, 1.0, points)
    return Landscape(
        about=about, a=a, b=a, losses=np.cos(3 * a[:, None]) + np.sin(a), path=np.zeros((60, 2)), share=1.0
    )


def known(text: str) -> dict[str, Any]:
    """The data that a page has."""
    found = re.search(r"^const DATA = (.*);$", text, re.MULTILINE)
    assert found
    return json.loads(found[1])


def test_it_is_one_small_file_that_asks_for_nothing() -> None:
    text = page(plane())
    assert len(text.encode()) < LARGEST
    assert len(page().encode()) < len(text.encode())
    links = [*re.findall(r'(?:src|href)="([^"]+)"', text), *re.findall(r"url\(([^)]+)\)", text)]
    assert links == ["data:,"]
    assert "@import" not in text
    assert "{{" not in text.partition("<script>")[0]


def test_it_knows_every_rule_and_surface() -> None:
    found = known(page())
    assert list(found["rules"]) == list(named)
    assert list(found["surfaces"]) == list(surfaces.named)
    for name, about in found["rules"].items():
        assert about["colour"] == look(name)["color"]
        assert [h["name"] for h in about["hyper"]] == list(named[name].hyperparameters)
        assert about["formula"]
    assert found["first"] is None


def test_lines_are_dashed_as_in_every_figure() -> None:
    import matplotlib as mpl
    from matplotlib.lines import _get_dash_pattern  # pyright: ignore[reportAttributeAccessIssue]

    from stepwell.pages.style import _RC

    found = known(page())["rules"]
    with mpl.rc_context(_RC):
        for name in named:
            dashes = _get_dash_pattern(look(name)["linestyle"])[1]
            assert found[name]["dash"] == list(dashes or [])


def test_the_users_plane_comes_with_its_lines_and_is_first() -> None:
    found = known(page(plane(), ["plane = …"]))
    own = found["surfaces"][data.OWN]
    assert found["first"] == data.OWN
    assert own["python"] == ["plane = …"]
    assert own["points"] == 31 * 31
    packed = np.frombuffer(base64.b64decode(own["coefficients"]), "<f8")
    np.testing.assert_array_equal(packed, plane().pieces()[2].ravel())


def test_words_of_the_user_cannot_leave_the_script() -> None:
    text = page(plane(about="</script><script>alert(1)</script>"), ["</script>"])
    assert text.count("</script>") == page().count("</script>")
    assert known(text)["surfaces"][data.OWN]["about"] == "</script><script>alert(1)</script>"
    assert "<" not in as_script({"<b>": ["<"]})


def test_the_draws_are_those_of_minimize() -> None:
    drawn = data.draws()
    numbers = np.frombuffer(base64.b64decode(drawn["numbers"]), "<f8").reshape(data.SEEDS, -1)
    for seed, row in enumerate(numbers):
        generator = np.random.default_rng(seed)
        assert [*row[:6]] == [x for _ in range(3) for x in generator.standard_normal(2)]
        assert len(row) == 2 * data.MOST_STEPS


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (lambda x: 3 / x**2, "return 3/square(x1);"),
        (lambda x: x**-2.5, "Math.pow(x1, (-2.5))"),
        (lambda x: x**5, "Math.pow(x1, 5)"),
        (lambda x: 0.1 * x, "0.1*x1"),
    ],
)
def test_formulas_are_printed_as_doubles_and_powers_in_parentheses(formula: Callable[[Any], Any], text: str) -> None:
    source = formulas.surface_source(Surface("own", "", formula, domain=((1.0, 2.0),)))
    assert text in source
    assert "x1*x1" not in source


def test_no_formula_is_written_in_the_pages_own_scripts() -> None:
    for path in WEB.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not [
            name for name in ("beta1", "m_hat", "rosenbrock", "rastrigin") if re.search(rf"\b{name}\b", strip(text))
        ]
        assert len(text.splitlines()) <= 200, path.name


def strip(script: str) -> str:
    """A script without its comments."""
    return re.sub(r"//.*|/\*[\s\S]*?\*/", "", script)
