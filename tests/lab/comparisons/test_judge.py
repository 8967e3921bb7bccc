"""What is called a difference: rarely what is none, and always what is plain."""

import math
from typing import Any

import numpy as np
import pytest

from stepwell.lab.candidates import choose
from stepwell.lab.comparisons import judge as module
from stepwell.lab.comparisons.judge import Judgement, fewest, judge
from stepwell.lab.statistics import noise_floor
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial
from tests.lab.contests import noisy, valley

TRIALS = 200
POOL = 400  # runs that the A/A trials are drawn from
STEPS = 10


@pytest.fixture(scope="module")
def twins() -> np.ndarray:
    """Losses of real trainings of two equal optimizers, at the same seeds: the same weights and order, other noise."""
    candidates = choose({"one": noisy(0), "other": noisy(1)})
    task = valley(STEPS, batch=4, measurements=1)
    runs = [
        [train(task, Trial(name, 0.1, seed, STEPS), candidates) for seed in range(POOL // 2)] for name in candidates
    ]
    return np.array([[run.cost for run in each] for each in runs])


@pytest.fixture(scope="module")
def known() -> dict[str, np.ndarray]:
    """Losses of gradient descent and momentum, each at a good rate, on a task that momentum is better at."""
    trials = {"gradient_descent": 0.215, "momentum": 0.0464}
    task = valley(measurements=1)
    return {
        name: np.array([train(task, Trial(name, lr, s, 40)).cost for s in range(60)]) for name, lr in trials.items()
    }


def claims(losses: dict[str, np.ndarray], seeds: int, again: np.ndarray | None = None) -> list[Judgement]:
    """Comparisons on seeds drawn without replacement; the A/A run is the leader's, or from `again`."""
    draws = np.random.default_rng(0)
    found = []
    for _ in range(TRIALS):
        drawn = draws.permutation(len(next(iter(losses.values()))))
        fresh = {name: values[drawn[:seeds]].tolist() for name, values in losses.items()}
        rest = drawn[seeds : 2 * seeds]
        first = judge(fresh).standings[0].optimizer
        found.append(judge(fresh, (losses[first] if again is None else again)[rest].tolist()))
    return found


def claimed(judgement: Judgement) -> bool:
    return any(each.verdict not in ("best", "tie") for each in judgement.standings)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_two_equal_optimizers_are_told_apart_in_5_percent_of_trials_at_most(twins: np.ndarray, seeds: int) -> None:
    assert len({*twins.ravel()}) == POOL  # no two runs are the same
    assert np.corrcoef(twins)[0, 1] > 0.2  # what a seed decides, they share
    found = claims({"one": twins[0], "other": twins[1]}, seeds)
    assert sum(map(claimed, found)) <= 0.05 * TRIALS


@pytest.mark.parametrize("seeds", [5, 10])
def test_so_are_any_two_of_four(twins: np.ndarray, seeds: int) -> None:
    half = twins.shape[1] // 2
    four = dict(zip("abcd", [*twins[:, :half], *twins[:, half:]], strict=True))
    assert sum(map(claimed, claims(four, seeds))) <= 0.05 * TRIALS


@pytest.mark.parametrize("seeds", [5, 10])
def test_a_known_difference_is_found(known: dict[str, np.ndarray], seeds: int) -> None:
    found = claims(known, seeds)
    assert all(
        [each.optimizer for each in judgement.standings] == ["momentum", "gradient_descent"] for judgement in found
    )
    assert sum(map(claimed, found)) == TRIALS


def test_pairs_show_what_is_small_beside_the_seeds(twins: np.ndarray) -> None:
    spread = twins[0].std()
    small = claims({"one": twins[0], "other": twins[1] + 0.5 * spread}, 10)
    assert sum(each.standings[1].verdict == "slightly worse" for each in small) > 0.6 * TRIALS
    large = claims({"one": twins[0], "other": twins[1] + 2 * spread}, 10)
    assert all(each.standings[1].verdict == "worse" for each in large)
    assert all(each.worse("other", "one") and not each.worse("one", "other") for each in large)


def test_without_an_interval_equals_are_told_apart(twins: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def naive(first: Any, second: Any, *_: Any) -> str:
        return "worse" if np.mean(first) > np.mean(second) else "better"

    monkeypatch.setattr(module, "verdict", naive)
    assert sum(map(claimed, claims({"one": twins[0], "other": twins[1]}, 10))) > 0.5 * TRIALS


ADAM = [0.20, 0.24, 0.21, 0.23, 0.22, 0.25, 0.26, 0.19]
LION = [0.25, 0.293, 0.258, 0.285, 0.272, 0.304, 0.311, 0.246]


def test_a_difference_less_than_other_seeds_make_is_slight() -> None:
    plain = judge({"adam": ADAM, "lion": LION})
    assert plain.noise is None
    assert [each.verdict for each in plain.standings] == ["best", "worse"]
    wild = [0.05, 0.45, 0.15, 0.35, 0.30, 0.10, 0.40, 0.01]
    found = judge({"adam": ADAM, "lion": LION}, wild)
    assert found.noise == noise_floor(ADAM, wild) > 0.1
    assert [each.verdict for each in found.standings] == ["best", "slightly worse"]
    assert found.standings[1].against == plain.standings[1].against
    assert found.worse("lion", "adam")
    gaps = [0.051, 0.033, 0.062, 0.022, 0.041, 0.052, 0.031, -0.012]
    less = [x + gap for x, gap in zip(ADAM, gaps, strict=True)]
    assert judge({"adam": ADAM, "lion": less}).standings[1].verdict == "worse"
    unsure = judge({"adam": ADAM, "lion": less}, wild).standings[1]
    assert unsure.verdict == "tie"
    assert unsure.against is not None
    assert unsure.against.sign == 1


def test_every_difference_is_from_the_first_at_a_level_for_all_pairs() -> None:
    found = judge({"lion": LION, "adam": ADAM, "yogi": [x + 0.2 for x in ADAM]}, level=0.9)
    assert [each.optimizer for each in found.standings] == ["adam", "lion", "yogi"]
    assert found.each == pytest.approx(1 - 0.1 / 3)
    yogi = found.standings[2].against
    assert yogi is not None
    assert yogi.estimate == pytest.approx(0.2)
    assert yogi.level == found.each
    assert found.standings[1].mean == pytest.approx(np.mean(LION))


def test_one_that_diverges_is_worse_and_no_two_that_do_are_told_apart() -> None:
    lost = [math.inf] * 8
    found = judge({"adam": ADAM, "lion": lost, "yogi": [math.nan] * 8})
    assert [(each.optimizer, each.verdict) for each in found.standings] == [
        ("adam", "best"),
        ("lion", "worse"),
        ("yogi", "worse"),
    ]
    assert [each.verdict for each in judge({"lion": lost, "yogi": lost}).standings] == ["best", "tie"]


def test_two_seeds_show_nothing() -> None:
    assert judge({"adam": [0.1, 0.1001], "lion": [9.0, 9.5]}).standings[1].verdict == "tie"


def test_what_is_no_comparison_is_refused() -> None:
    with pytest.raises(ValueError, match="two optimizers or more; got adam"):
        judge({"adam": ADAM})
    with pytest.raises(ValueError, match="a loss for each seed"):
        judge({"adam": ADAM, "lion": LION[:3]})
    with pytest.raises(ValueError, match="level must be a number in"):
        judge({"adam": ADAM, "lion": LION}, level=95)


@pytest.mark.parametrize("optimizers", [2, 3, 4, 8])
def test_that_many_seeds_show_any_difference_that_they_can(optimizers: int) -> None:
    """Half of one's runs diverged, so that the signs alone tell; the others are equal."""
    _, n = fewest(0.95, optimizers)
    for seeds in (n - 1, n):
        gaps = [1.0 if k % 2 else math.inf for k in range(seeds)]
        losses = {f"as {k}": [1.0] * seeds for k in range(optimizers - 1)} | {"worse": [1 + gap for gap in gaps]}
        assert bool(claimed(judge(losses))) == (seeds == n)


def test_how_many_seeds_a_claim_needs() -> None:
    assert fewest(0.95) == (3, 6)
    assert fewest(0.5) == (3, 3)
    assert fewest(0.99)[1] == 8
    assert [fewest(0.95, optimizers)[1] for optimizers in (2, 3, 4, 8)] == [6, 7, 8, 11]
    for level in (0.9, 0.95, 0.99):
        n, _ = fewest(level)
        assert claimed(judge({"a": [1.0 + 1e-6 * k for k in range(n)], "b": [2.0] * n}, level=level))
