"""A function that compiles in no time."""

import os
from pathlib import Path
from typing import Any

from stepwell.kernels import cache

SOURCE, NAME, SIGNATURE = "def twice(x):\n    return 2 * x\n", "twice", "float64(float64)"


def twice(source: str = SOURCE, **options: Any) -> Any:
    """The compiled function, seen to work."""
    function = cache.compiled(source, NAME, SIGNATURE, **options)
    assert function(21.0) == 42.0
    return function


def files(folder: Path) -> list[str]:
    """What lies in a folder, hidden files too."""
    return sorted(os.listdir(folder)) if folder.exists() else []
