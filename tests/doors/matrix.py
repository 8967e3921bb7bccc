"""Every rule through a door beside the float64 reference: the cells of the matrix that the documentation shows.

A door's test says how its framework trains one parameter under a rule; `difference` says how far the outcome lies from
the reference. Cells are kept in `docs/doors/<door>.json` when STEPWELL_MATRIX names that folder, and else compared with
nothing but the limits.
"""

from collections.abc import Callable, Sequence

import numpy as np

from stepwell import rules
from stepwell.rule import Rule

STEPS = 50
LIMITS = {"float32": 2e-6, "float64": 1e-12}  # of the largest element that the parameter, or its reference, ever had
SHAPE = (7, 5)
RULES = tuple(rules.named)
Train = Callable[[Rule, dict[str, float], np.ndarray, Sequence[np.ndarray]], np.ndarray]
"""(rule, hyperparameters, the parameter at the start, a gradient a step) to the parameter at the end."""


def gradients(dtype: str, seed: int = 0) -> list[np.ndarray]:
    """Normal numbers whose size runs through eight decades, again and again."""
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(SHAPE) * 10.0 ** (i % 8 - 4)).astype(dtype) for i in range(STEPS)]


def start(dtype: str) -> np.ndarray:
    """The parameter before the first step."""
    return np.random.default_rng(99).standard_normal(SHAPE).astype(dtype)


def reference(rule: Rule, hyper: dict[str, float], p: np.ndarray, given: Sequence[np.ndarray]) -> np.ndarray:
    """The parameter after each step, in float64 and straight from the rule."""
    p = p.astype(np.float64)
    state = {name: np.full_like(p, rule.start_of(name, hyper)) for name in rule.state}
    path = []
    for t, g in enumerate(given, 1):
        change, *new = rule.bind({"p": p, "g": g.astype(np.float64), "t": t, **state}, hyper)
        p, state = p - change, dict(zip(rule.state, new, strict=True))
        path.append(p)
    return np.array(path)


def difference(rule: Rule, dtype: str, train: Train, seed: int = 0) -> float:
    """The largest difference after 50 steps, relative to the largest element on the way."""
    hyper = rule.complete({h.name: 0.1 for h in rule.hyperparameters.values() if h.default is None})
    p, given = start(dtype), gradients(dtype, seed)
    path = reference(rule, hyper, p, given)
    found = np.asarray(train(rule, hyper, p.copy(), given))
    assert found.shape == SHAPE
    assert found.dtype == dtype
    assert np.isfinite(path).all()
    assert not np.array_equal(found, p), "nothing was trained"
    return float(abs(found.astype(np.float64) - path[-1]).max() / abs(path).max())
