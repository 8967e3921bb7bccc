"""Every door has its way to be trained, and its tests."""

from pathlib import Path

import numpy as np
import pytest

from stepwell import door, rules
from stepwell.testing.doors import at, begin
from stepwell.testing.training import run
from stepwell.testing.trial import Trial, assert_follows, settings

TESTS = Path(__file__).parents[1] / "doors"
ROOT = TESTS.parents[1]


def test_every_door_is_in_the_matrix():
    assert {path.parent.name for path in TESTS.glob("*/test_matrix.py")} == set(door.names())


def test_every_framework_that_make_test_lacks_has_a_session():
    """Those beside NumPy, which is always there, and torch, on which the lab stands."""
    pinned = {path.stem for path in (ROOT / "constraints").glob("*.txt")}
    assert pinned == set(door.names()) - {"numpy", "torch"}


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_a_training_leaves_what_it_was_given(name):
    p, g = np.ones(3), np.ones(3)
    training = begin(name, rules.adam, rules.adam.complete({}), p)
    (found,) = run(training, [g])
    assert (p == 1).all()
    assert (g == 1).all()
    assert (found["p"] < 1).all()
    found["p"][...] = 7.0
    assert (training.arrays()["w"] < 1).all()


def test_what_a_trial_compares_is_told_by_name_and_place():
    trial = Trial(rules.momentum, settings(rules.momentum)[0], steps=3)
    right = list(at("numpy")(trial))
    assert_follows(trial, right, 1e-12)
    with pytest.raises(AssertionError, match=r"momentum.*float64.*p after step 2 is .* off; it may be 1e-12"):
        assert_follows(trial, [right[0], {"p": right[1]["p"] + 1e-9}, right[2]], 1e-12)
    with pytest.raises(AssertionError, match="it must have"):
        assert_follows(trial, [{"p": np.ones(3)}, *right[1:]], 1e-12)
    with pytest.raises(AssertionError, match="nan off"):
        assert_follows(trial, [{"p": np.full((7, 5), np.nan)}, *right[1:]], 1e-12)
    with pytest.raises(ValueError, match="zip"):
        assert_follows(trial, right[:2], 1e-12)
