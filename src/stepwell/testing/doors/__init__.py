"""How each door trains under a rule, all that a test of a rule has to know of a framework: `Here` in a module each."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from stepwell import door
from stepwell.rule import Rule
from stepwell.testing.training import NAME, Training, run
from stepwell.testing.trial import Arrays, Trial

DOORS: dict[str, type[Training]] = {name: importlib.import_module(f"{__name__}.{name}").Here for name in door.names()}


def begin(name: str, rule: Rule, hyper: Mapping[str, Any], p: np.ndarray) -> Training:
    """A training of one parameter at a door."""
    return DOORS[name](rule, hyper, {NAME: p})


def at(name: str) -> Callable[[Trial], Iterator[Arrays]]:
    """A door as an engine."""
    return lambda trial: run(begin(name, trial.rule, trial.hyper, trial.start), trial.gradients)
