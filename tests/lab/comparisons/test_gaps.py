"""The figure of differences where they are of many sizes."""

from typing import Any

import pytest

from stepwell.pages import contests
from tests.lab.contests import contest

TUNING = {0.001: 2.0, 0.01: 1.0, 0.1: 2.0}
GOOD = [0.010, 0.012, 0.011, 0.013, 0.0115, 0.0125]


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-5])
def test_the_leader_and_a_small_noise_floor_are_seen_whole(spread: float) -> None:
    """To a thousandth of what they were, the leader's losses differ little; one of the others is far away."""
    good = [0.01 + spread * (x - 0.01) for x in GOOD]
    fresh = {"adam": good, "lion": [x + 0.02 for x in good], "sgdm": [x + 4 + 0.1 * k for k, x in enumerate(good)]}
    found = contest(dict.fromkeys(fresh, TUNING), fresh, good[::-1])
    assert found.judgement is not None
    noise = found.judgement.noise
    assert noise
    figure: Any = contests.gaps(found)
    figure.canvas.draw()
    (axes,) = figure.axes
    place = lambda x: axes.transData.transform((x, 0))[0] - axes.bbox.x0  # noqa: E731
    assert axes.get_xscale() == "symlog"
    assert place(0) > 8  # half of the diamond
    assert place(noise) - place(0) > 4
    assert 3 <= sum(place(tick) >= 0 for tick in axes.get_xticks()) <= 7
    assert axes.get_legend().get_texts()[0].get_text() == f"noise floor (A/A): {noise:.2g}"
