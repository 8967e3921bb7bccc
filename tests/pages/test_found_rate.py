"""The picture of a found rate has every round, the answer, and nothing where there is none."""

import math
from dataclasses import replace
from typing import Any

import pytest

from stepwell.lab.rates.found_rate import Cost, FoundRate, Round
from stepwell.lab.statistics import Basin
from stepwell.pages.found_rate import figure

FIRST = Round(10, (1e-3, 1e-2, 1e-1), ((2.0, 2.2), (1.0, 1.2), (math.inf, 3.0)), 2.3)
SECOND = Round(50, (5e-3, 1e-2, 2e-2), ((0.5, 0.7), (0.4, 0.5), (0.6, 0.8)), 2.3)
FOUND = FoundRate(
    "adam", "digits", "sweep", 0.0123, None, (0.01, 0.02), None, Basin(0.005, 0.03, False, False, 0.6), 0.08, 0.015,
    0.1, (0, 1), (FIRST, SECOND), Cost(300, 300, 1.0, 1.0, False), "one run after the other",
)  # fmt: skip


def drawn(found: FoundRate) -> dict[str, Any]:
    """What is on the axes, by its label."""
    (axes,) = figure(found).axes
    handles, labels = axes.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def test_rounds_and_answer_are_where_they_were_found() -> None:
    there = drawn(FOUND)
    assert list(there["runs of 50 steps"].get_ydata()) == pytest.approx([0.6, 0.45, 0.7])
    assert list(there["runs of 10 steps"].get_xdata()) == [1e-3, 1e-2]
    assert list(there["diverged or off scale"].get_xdata()) == [1e-1]
    assert list(there["best, lr=1.2e-2"].get_xdata()) == [0.0123] * 2
    assert list(there["too large from 8e-2"].get_xdata()) == [0.08] * 2
    for label, span in (("learns 90 % as much", (0.005, 0.03)), ("95 % over seeds", (0.01, 0.02))):
        assert there[label].get_extents().width > 0
        assert (there[label].get_x(), there[label].get_x() + there[label].get_width()) == pytest.approx(span)


def test_without_an_answer_none_is_drawn() -> None:
    none = replace(FOUND, rate=None, reason="it is flat", interval=None, basin=None, edge=None)
    assert set(drawn(none)) == {"runs of 10 steps", "runs of 50 steps", "diverged or off scale", "before training"}
    assert "no clear answer" in figure(none).get_suptitle()


@pytest.mark.parametrize("losses", [((math.inf,),) * 3, ((-1.0,), (0.0,), (2.0,))], ids=["diverged", "below 0"])
def test_odd_losses_are_drawn(losses: Any) -> None:
    found = replace(FOUND, rate=None, basin=None, interval=None, edge=None, rounds=(replace(SECOND, losses=losses),))
    (axes,) = figure(found).axes
    assert axes.get_ylim()[1] == pytest.approx(1.05 * 1.5 * 2.3)
    assert ("diverged or off scale" in drawn(found)) == math.isinf(losses[0][0])


def test_losses_below_zero_are_on_the_scale() -> None:
    below = Round(50, (1e-3, 1e-2), ((-2.0,), (-3.0,)), -1.0)
    there = drawn(replace(FOUND, rounds=(below,)))
    assert list(there["runs of 50 steps"].get_ydata()) == [-2.0, -3.0]
