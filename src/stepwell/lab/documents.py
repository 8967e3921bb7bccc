"""What results are as JSON, and what they were made with."""

import json
import math
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any


def plain(value: Any, digits: int | None = None) -> Any:
    """A tree of what JSON has words for: numbers, whole or to so many digits; None for one that is not finite.

    >>> plain({"loss": (0.123456789, float("inf")), "steps": 3}, digits=4)
    {'loss': [0.1235, None], 'steps': 3}
    """
    if isinstance(value, Mapping):
        return {key: plain(each, digits) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, digits) for each in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if digits is None else float(f"{value:.{digits}g}")


def dump(value: Any, indent: int | None = None) -> str:
    """The text of a plain tree; ValueError for a number that is not finite."""
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def environment() -> dict[str, Any]:
    """The versions and the machine that numbers hang on."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in ("numpy", "torch")}
    return versions | {"machine": f"{platform.system()} {platform.machine()}", "processors": os.cpu_count()}
