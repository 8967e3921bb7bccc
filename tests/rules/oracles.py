"""How a rule is compared with its formula, written out longhand for one coordinate as the paper or the book has it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from stepwell.rule import Rule

Numbers = Sequence[float]
Trajectory = Iterator[tuple[float, ...]]  # after each step: the parameter, then the state
Oracle = Callable[..., Trajectory]  # (p, gradients, **hyperparameters)

STEPS = 8
SEEDS = range(5)


def follow(rule: Rule, p: Any, gradients: Sequence[Any], **hyper: float) -> Iterator[tuple[Any, ...]]:
    """What the rule itself makes of these gradients: the parameter and the state, after each step."""
    complete = rule.complete(hyper)
    state = {name: rule.start_of(name, complete) + 0.0 * p for name in rule.state}
    for t, g in enumerate(gradients, 1):
        step, *new = rule.bind({"p": p, "g": g, "t": t, **state}, complete)
        p = p - step
        state = dict(zip(rule.state, new, strict=True))
        yield (p, *new)


def gradients(seed: int, rising: bool) -> list[float]:
    """Eight normal numbers spread over eight decades, in rising or falling order."""
    sizes = [10.0 ** (i - 4) for i in range(STEPS)]
    normal = np.random.default_rng(seed).standard_normal(STEPS)
    return [float(x * size) for x, size in zip(normal, sizes if rising else sizes[::-1], strict=True)]


def assert_follows(rule: Rule, oracle: Oracle, settings: Sequence[dict[str, float]]) -> None:
    """Rule and oracle agree after every step, on rising and falling gradients, to 1e-12 of the trajectory's size."""
    for hyper in settings:
        for seed in SEEDS:
            for rising in (True, False):
                given = gradients(seed, rising)
                found = np.array(list(follow(rule, np.float64(0.5), [np.float64(g) for g in given], **hyper)))
                expected = np.array(list(oracle(0.5, given, **rule.complete(hyper))))
                assert expected.shape == (STEPS, 1 + len(rule.state))
                error = abs(found - expected).max(0) / abs(expected).max(0)
                assert (error <= 1e-12).all(), f"{rule.name}{hyper} parts from its formula: {error}"


def last(rule: Rule, gradient: Callable[[Any], Any], start: Any, steps: int, **hyper: float) -> np.ndarray:
    """Where the rule ends on a function with this gradient."""
    p = np.array(start, np.float64)
    complete = rule.complete(hyper)
    state = {name: np.full_like(p, rule.start_of(name, complete)) for name in rule.state}
    for t in range(1, steps + 1):
        step, *new = rule.bind({"p": p, "g": gradient(p), "t": t, **state}, complete)
        p, state = p - step, dict(zip(rule.state, new, strict=True))
    return p


def assert_ends(rule: Rule, slopes: tuple[float, float], end: tuple[str, str], **hyper: float) -> None:
    """The book's experiment: 20 steps from (-5, -2) on ax₁² + bx₂² end at this pair, to the digits that it prints."""
    found = last(rule, lambda p: 2 * np.array(slopes) * p, (-5.0, -2.0), 20, **hyper)
    assert tuple(f"{x:.{len(text.partition('.')[2])}f}" for x, text in zip(found, end, strict=True)) == end
