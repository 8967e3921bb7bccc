"""The page put together: style, data, printed formulas and scripts in one file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

import stepwell
from stepwell.functions import surfaces
from stepwell.pages.playground import data
from stepwell.rules import named

if TYPE_CHECKING:
    from stepwell.lab.landscapes.grid import Landscape

WEB = Path(__file__).parent / "web"
THEME = Path(__file__).parents[1] / "web" / "theme.css"
LAST = "main.js"  # which starts the page; all other scripts are functions, in any order


def page(plane: "Landscape | None" = None, python: Sequence[str] = ()) -> str:
    """The HTML of the playground, with all rules and surfaces.

    Args:
        plane: the user's own loss, shown first if it is there.
        python: lines that make it anew, as `plane`, for the lines to paste.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    known = data.about_surfaces(surfaces.named)
    if plane is not None:
        known[data.OWN] = {**data.about_plane(plane), "python": list(python)}
    given = {
        "rules": data.about_rules(named),
        "surfaces": known,
        "draws": data.draws(),
        "first": None if plane is None else data.OWN,
    }
    environment = Environment(loader=FileSystemLoader(WEB), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html").render(
        title="Stepwell playground",
        version=stepwell.__version__,
        seeds=data.SEEDS,
        css=Markup("\n".join(text(path) for path in [THEME, *sorted(WEB.glob("*.css"))])),
        data=Markup(as_script(given)),
        script=Markup(scripts()),
    )


def scripts() -> str:
    """The printed formulas, then the page's own scripts, the one that starts it last."""
    files = sorted(WEB.glob("*.js"), key=lambda path: (path.name == LAST, path.name))
    printed = [data.rules_source(named), data.surfaces_source(surfaces.named)]
    return "\n".join([*printed, *map(text, files)])


def as_script(value: Any) -> str:
    """JSON that cannot end the script it stands in.

    >>> as_script({"about": "</script>"})
    '{"about": "\\\\u003c/script>"}'
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def text(path: Path) -> str:
    """A file of the page."""
    return path.read_text(encoding="utf-8")
