"""Which optimizer is better: verdicts, the noise floor and the ranking, right on equal ones and on unequal ones."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stepwell.lab.statistics import differences, interval, noise_floor, ranking, verdict

loss = st.floats(-10, 10).map(lambda x: round(x, 3)) | st.sampled_from([math.inf, math.nan])
pairs = st.lists(st.tuples(loss, loss), min_size=1, max_size=12)
OPPOSITE = {"better": "worse", "worse": "better", "tie": "tie"}


@given(pairs, st.floats(0, 5), st.sampled_from(["mean", "median"]))
def test_the_opposite_comparison_has_the_opposite_verdict(both, noise, statistic):
    first, second = zip(*both, strict=True)
    found = verdict(first, second, noise, statistic=statistic)
    assert verdict(second, first, noise, statistic=statistic) == OPPOSITE[found]
    assert verdict(first, first, noise, statistic=statistic) == "tie"


@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_the_seeds_does_not_count_but_their_pairing_does(both, random):
    shuffled = random.sample(both, len(both))
    (first, second), (one, other) = zip(*both, strict=True), zip(*shuffled, strict=True)
    assert verdict(first, second) == verdict(one, other)


def test_pairing_finds_what_lies_under_the_spread_of_the_seeds():
    seeds = np.random.default_rng(0).normal(0, 1, 8)
    better = seeds - 0.1 + np.random.default_rng(1).normal(0, 0.02, 8)
    assert verdict(better, seeds) == "better"
    assert verdict(better, seeds[::-1]) == "tie"


def test_a_difference_inside_the_noise_floor_is_a_tie():
    first, second = np.arange(8.0), np.arange(8.0) + 1
    assert interval(first - second).sign == -1
    assert [verdict(first, second, noise) for noise in (0, 0.99, 1.0, math.inf)] == ["better", "better", "tie", "tie"]


def test_diverged_runs():
    good, bad = [1.0] * 8, [1.1] * 5 + [math.inf, math.nan, math.inf]
    assert verdict(good, bad) == "better"
    assert verdict(bad, bad) == "tie"
    assert verdict([1.0] * 3, [math.inf] * 3) == "better"
    assert verdict([1.0] * 3, [2.0, 2.1, math.inf]) == "tie"  # three seeds: too few to say
    assert verdict([1.0] * 9 + [math.inf], [2.0] * 9 + [2.0]) == "tie"
    assert verdict([1.0] * 9 + [math.inf], [2.0] * 9 + [2.0], statistic="median") == "better"


@pytest.mark.parametrize("seeds", [5, 8, 10])
def test_200_trials_of_equal_optimizers_with_a_noise_floor_and_200_of_unequal(seeds):
    rng = np.random.default_rng(seeds)
    wrong = found = 0
    for _ in range(200):
        first, second, a, b = rng.lognormal(0, 0.5, (4, seeds))
        wrong += verdict(first, second, noise_floor(a, b)) != "tie"
        first, second, a, b = rng.normal(0, 1, (4, seeds))
        found += verdict(first, second + 1.5 * math.sqrt(2), noise_floor(a, b)) == "better"
    assert wrong <= 10
    assert found >= {5: 110, 8: 165, 10: 188}[seeds]


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=5), st.lists(st.floats(-5, 5), min_size=2, max_size=5))
def test_the_floor_is_the_critical_value_of_the_permutation_test(a, b):
    pooled, found = a + b, noise_floor(a, b, 0.8)
    sizes = []
    for chosen in itertools.combinations(range(len(pooled)), len(a)):
        rest = [pooled[i] for i in range(len(pooled)) if i not in chosen]
        sizes.append(abs(np.mean([pooled[i] for i in chosen]) - np.mean(rest)))
    assert np.mean(np.array(sizes) <= found + 1e-9) >= 0.8
    assert np.mean(np.array(sizes) < found - 1e-9) < 0.8


def test_the_floor_is_that_of_scipy():
    a, b = np.random.default_rng(2).normal(size=(2, 6))
    null = stats.permutation_test(
        (a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis), vectorized=True, n_resamples=1000
    ).null_distribution
    assert noise_floor(a, b) == pytest.approx(np.quantile(abs(null), 0.95, method="inverted_cdf"))


@pytest.mark.parametrize("seeds", [6, 10, 20])
def test_the_floor_is_near_two_standard_errors(seeds):
    a, b = np.random.default_rng(0).normal(size=(2, 40, seeds))
    floors = [noise_floor(x, y) for x, y in zip(a, b, strict=True)]
    assert np.mean(floors) == pytest.approx(1.96 * math.sqrt(2 / seeds), rel=0.1)


def test_the_floor_does_not_ask_which_group_a_run_is_of():
    runs = list(np.random.default_rng(4).normal(size=24))
    assert noise_floor(runs[:12], runs[12:]) == noise_floor(runs[::2], runs[1::2])


def test_the_floor_with_diverged_runs():
    assert noise_floor([1, 2, 3], [1, 2, math.inf]) == math.inf
    assert noise_floor([1, 2, 3, 4, 5], [1, 2, 3, 4, math.nan], statistic="median") < 4
    assert noise_floor([math.inf] * 3, [math.inf] * 3) == 0


def test_the_ranking_shares_places():
    rng = np.random.default_rng(5)
    centres = {"sgd": 3.0, "adam": 1.0, "lion": 2.0, "yogi": 1.0, "nadam": 1.01, "adagrad": 3.0}
    runs = {name: centre + rng.normal(0, 0.05, 10) for name, centre in centres.items()}
    found = ranking(runs)
    assert {each.name: each.place for each in found} == {
        "adam": 1, "yogi": 1, "nadam": 1, "lion": 4, "sgd": 5, "adagrad": 5,
    }  # fmt: skip
    assert [each.loss for each in found] == sorted(each.loss for each in found)
    assert found[0].against is None
    assert found[3].against is not None
    assert found[3].against.estimate == pytest.approx(np.mean(runs["lion"] - runs[found[0].name]))
    assert found[5].against is not None
    assert found[5].against.sign == 0


@given(
    st.lists(st.lists(loss, min_size=6, max_size=6), min_size=1, max_size=5), st.permutations(range(5)), st.floats(0, 9)
)
def test_the_ranking_does_not_depend_on_the_order_given(rows, order, noise):
    runs = {str(i): row for i, row in enumerate(rows)}
    other = {str(i): runs[str(i)] for i in order if str(i) in runs}
    found, again = ranking(runs, noise), ranking(other, noise)
    assert [(p.place, p.loss) for p in found] == [(p.place, p.loss) for p in again]
    assert [p.place for p in found] == sorted(p.place for p in found)
    assert all(p.place in (i + 1, found[i - 1].place) for i, p in enumerate(found))


def test_eight_equal_optimizers_share_the_first_place_unless_each_pair_is_looked_at_alone():
    rng = np.random.default_rng(6)
    apart = alone = 0
    for _ in range(100):
        runs = dict(zip("abcdefgh", rng.normal(size=(8, 8)), strict=True))
        apart += ranking(runs)[-1].place > 1
        alone += ranking(runs, together=False)[-1].place > 1
    assert apart <= 5
    assert alone > 20


def test_the_ranking_with_diverged_optimizers():
    good = [1.0, 1.1, 1.2, 1.0, 1.1, 1.2, 1.0, 1.1]
    runs = {"never": [math.inf] * 8, "often": [*good[:4], *[math.nan] * 4], "good": good, "once": [*good[:7], math.inf]}
    found = ranking(runs)
    assert [each.name for each in found] == ["good", "once", "often", "never"]
    assert [each.place for each in found] == [1, 1, 1, 4]


def test_one_optimizer_or_one_seed():
    assert [each.place for each in ranking({"adam": [1.0]})] == [1]
    assert [each.place for each in ranking({"adam": [1.0], "lion": [9.0]})] == [1, 1]


def test_bad_input():
    for wrong, words in (
        (lambda: differences([1.0], [1.0, 2.0]), "first and second must have a loss for each seed; got 1 and 2"),
        (lambda: differences([-math.inf], [1.0]), "first must be finite"),
        (lambda: verdict([1.0], [1.0], noise=-1), "noise must be a number ≥ 0; got -1"),
        (lambda: verdict([1.0], [1.0], noise=math.nan), "noise must be a number ≥ 0; got nan"),
        (lambda: noise_floor([], [1.0]), "runs_a must have 1 dimension"),
        (lambda: noise_floor([1.0], [1.0], level=0), "level must be"),
        (lambda: ranking({}), "losses_by_name must have optimizers"),
        (lambda: ranking({"a": [1.0], "b": [1.0, 2.0]}), "losses_by_name must have .* got {'a': 1, 'b': 2}"),
        (lambda: ranking({"a": [-math.inf]}), r"losses_by_name\['a'\] must be finite"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()
