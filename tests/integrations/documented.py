"""What docs/integrations.md shows of a package, run with that package."""

import contextlib
import re
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "docs" / "integrations.md"


def run(package: str, folder: Path, **given: Any) -> dict[str, Any]:
    """Run the document's block for a package in a folder, with what it takes as given; all names after it."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.S)
    (code,) = (block for block in blocks if f"stepwell.integrations.{package} " in block)
    with contextlib.chdir(folder):
        exec(compile(code, DOCUMENT.name, "exec"), given)
    return given
