"""Stepwell: every gradient-descent optimizer, written once as mathematics and run at the speed of memory.

`stepwell.rules` holds the formulas, `stepwell.rule` the language they are written in, `stepwell.schedules` the learning
rate as a function of the step. The doors, `stepwell.torch`, `jax`, `keras`, `paddle`, `mxnet` and `numpy`, are the ways
into the frameworks; each imports its own framework, and none is imported before it is used.
"""

import importlib.util
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
