"""The book's table of frameworks, asked of a package: a door's test file says how to step it."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stepwell.book.frameworks import VERSIONS, Version
from stepwell.rules import named

RATE = 0.1
START = np.array([1.0, -2.0, 0.5])
GRADIENTS = [np.random.default_rng(k).standard_normal(3) * 10.0 ** (k - 3) for k in range(8)]

CLOSE = 1e-5  # some keep their hyperparameters in single precision whatever the parameter has

Steps = Callable[[Callable[..., Any], list[np.ndarray]], list[np.ndarray]]
"""(what makes the framework's own optimizer, gradients) to the parameter, from `START`, after each step."""


def of(framework: str) -> list[Version]:
    """The rows of one framework."""
    found = [version for versions in VERSIONS.values() for version in versions if version.framework == framework]
    assert found
    return found


def assert_defaults(version: Version, original: Callable[..., Any], unsaid: Mapping[str, Any] | None = None) -> None:
    """The arguments that the table names have the defaults that it names; `unsaid` has what None stands for."""
    known = {}
    for kind in (original, *getattr(original, "__mro__", ())):  # what a constructor hands on has its base's defaults
        for key, parameter in inspect.signature(kind.__init__ if inspect.isclass(kind) else kind).parameters.items():
            known.setdefault(key, parameter.default)
    expected = {key: inspect.Parameter.empty if value is None else value for key, value in version.defaults.items()}
    found = {key: known[key] for key in expected}
    assert expected == {key: (unsaid or {}).get(key) if value is None else value for key, value in found.items()}


def assert_steps(version: Version, original: Callable[..., Any], steps: Steps) -> None:
    """It takes its rule's steps where the table says so, and others where it says that."""
    momentum = version.rule.startswith("momentum")
    given = {"momentum": 0.9} if momentum else {}
    given |= {} if "lr" in version.fixed else {"learning_rate": RATE}
    path = np.array(steps(functools.partial(original, **given), GRADIENTS))
    own = ours(version.rule, GRADIENTS, **version.settings | ({"beta": 0.9} if momentum else {}) | _rate(version))
    same = np.allclose(path, own, rtol=CLOSE, atol=CLOSE)
    assert same is version.exact, abs(path - own).max()


def _rate(version: Version) -> dict[str, float]:
    return {} if "lr" in version.fixed else {"lr": RATE}


def ours(name: str, gradients: Sequence[np.ndarray], **hyper: float) -> np.ndarray:
    """The parameter after each step of a rule of ours."""
    rule = named[name]
    values = rule.complete(hyper)
    state = {s: np.full_like(START, rule.start_of(s, values)) for s in rule.state}
    p, path = START, []
    for t, g in enumerate(gradients, 1):
        step, *new = rule.bind({"p": p, "g": g, "t": t, **state}, values)
        p, state = p - step, dict(zip(rule.state, new, strict=True))
        path.append(p)
    return np.array(path)
