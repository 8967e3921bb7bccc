"""Every experiment of the sections on the algorithms: all it expects comes out, it expects enough, axes have names."""

import pytest

from stepwell import book
from tests.book import harness

LEAST: dict[str, dict[str, int]] = {
    "intro": {"risk": 2, "local_minima": 2, "saddle_points": 4, "vanishing_gradients": 1},
    "convexity": {
        "chords": 3,
        "jensen": 2,
        "minima_are_global": 2,
        "convex_sets": 2,
        "projections": 5,
        "constraints": 2,
    },
    "gd": {
        "one_dimension": 4,
        "local_minimum": 2,
        "two_dimensions": 1,
        "newton": 6,
        "newton_is_quadratic": 2,
        "preconditioning": 2,
        "line_search": 2,
        "slow_functions": 1,
    },
    "sgd": {"rates": 6, "decay_exponent": 2, "bound": 2, "unbiased": 1, "finite_samples": 3},
    "minibatch": {"product": 1, "problem": 7, "training": 12, "gradient_noise": 3, "batch_and_rate": 1, "sampling": 2},
    "momentum": {"ravine": 5, "weights": 8, "scalar": 4, "convergence": 4, "training": 9, "grid": 3},
    "adagrad": {"ravine": 2, "decay": 1, "training": 4, "rotation": 2, "preconditioning": 5, "gentler": 2},
    "rmsprop": {"ravine": 1, "weights": 6, "training": 4, "no_forgetting": 2, "adapting": 2},
    "adadelta": {"first_steps": 1, "training": 3, "forgetting": 1, "without_rescaled": 2},
    "adam": {"bias": 6, "training": 3, "rewritten": 3, "rates": 2},
    "yogi": {"second_moment": 2, "training": 3, "divergence": 6},
}  # fmt: skip
"""How many numbers and claims each experiment has at the least."""
TIMED = {"whole and by block > by column > by element (this machine)"}
"""What a machine's load may change; a test does not depend on it."""


@pytest.mark.parametrize("section", LEAST)
def test_the_experiments_are_these(section: str) -> None:
    assert [experiment.__name__ for experiment in book.named[section].experiments] == list(LEAST[section])


@pytest.mark.parametrize(("section", "name"), [(section, name) for section in LEAST for name in LEAST[section]])
def test_every_number_is_the_expected(section: str, name: str) -> None:
    page = harness.page(section, name)
    lines = [line for line in page.lines if line.what not in TIMED]
    assert [line for line in lines if line.holds is False] == []
    assert sum(line.holds is True for line in lines) >= LEAST[section][name]
    assert all(axes.get_ylabel() for figure in page.figures.values() for axes in figure.axes)
