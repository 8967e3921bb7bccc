"""The documentation's page of all rules at all doors, from the figures that the doors' test runs have kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepwell.pages.site import RULES, chosen
from stepwell.pages.tables import markdown
from stepwell.rules import named

ABOUT = """\
Every rule, through `from_rule` of every door, after 50 steps on gradients that run through eight decades: how far the
parameter lies from the rule's own, computed in float64, relative to its largest element on the way. The figures are
those of the doors' own test runs (`make test-doors`), which fail above the limit."""


def page(folder: Path) -> str:
    """The page in Markdown, a table for each dtype.

    Args:
        folder: has a file for each door: its name, the versions it ran with, the limits, the cells by rule and dtype.
    """
    kept = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    limits = {dtype: limit for one in kept for dtype, limit in one["limits"].items()}
    parts = ["# The matrix", ABOUT]
    for dtype, limit in limits.items():
        largest = max(row[dtype] for one in kept for row in one["cells"].values())
        said = f"The largest of them is {largest:.1e}; the limit is {limit:g}."
        parts += [f"## {dtype}", said, _table(kept, dtype)]
    versions = [f"{name} {version}" for one in kept for name, version in one["versions"].items()]
    parts.append(f"Measured with {', '.join(dict.fromkeys(versions))}.")
    return "\n\n".join(parts) + "\n"


def contents(docs: Path) -> list[Any]:
    """The doors' part of the site's table of contents: what is written of each, and the matrix."""
    written = sorted((docs / "doors").glob("*.md"), key=lambda path: (path.stem != "index", path.stem))
    return [{"Doors": [*(f"doors/{path.name}" for path in written), {"The matrix": "doors/matrix.md"}]}]


def _table(kept: list[Mapping[str, Any]], dtype: str) -> str:
    names = [name for name in named if any(name in one["cells"] for one in kept)]
    shown = chosen(RULES, named)
    links = {name: f"[{name}](../rules/{name}.md)" if name in shown else name for name in names}
    body = [[links[name], *(_cell(one["cells"], name, dtype) for one in kept)] for name in names]
    return markdown(["rule", *(one["door"].replace("-", " on ") for one in kept)], body, names=1)


def _cell(cells: Mapping[str, Mapping[str, float]], name: str, dtype: str) -> str:
    return f"{cells[name][dtype]:.1e}" if name in cells else ""
