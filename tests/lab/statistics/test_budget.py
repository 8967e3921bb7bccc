"""What a budget buys, beside enumeration, SciPy and the known answers of simple laws."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stepwell.lab.statistics import expected_best, performance_profile, time_to_target

losses = st.lists(st.integers(-20, 20).map(float) | st.just(math.inf), min_size=1, max_size=7)
costs = st.integers(1, 4).flatmap(
    lambda tasks: st.lists(
        st.lists(st.integers(0, 50).map(float) | st.just(math.inf), min_size=tasks, max_size=tasks),
        min_size=1,
        max_size=4,
    )
)


@given(losses, st.sampled_from([0.25, 0.5, 0.9]))
def test_the_best_of_k_is_the_mean_over_all_subsets(values, quantile):
    best = expected_best(values, quantile)
    assert best.trials.tolist() == list(range(1, len(values) + 1))
    for k in best.trials:
        lowest = [min(subset) for subset in itertools.combinations(values, k)]
        assert best.mean[k - 1] == pytest.approx(np.mean(lowest))
        assert best.quantile[k - 1] == np.quantile(lowest, quantile, method="inverted_cdf")


@given(losses)
def test_more_trials_are_never_worse_and_all_of_them_give_the_best_seen(values):
    best = expected_best(values)
    for curve in (best.mean, best.quantile, best.low, best.high):
        assert all(a >= b or a == pytest.approx(b) for a, b in itertools.pairwise(curve))
    assert best.mean[-1] == best.quantile[-1] == min(values)
    assert (best.low <= best.quantile).all()
    assert (best.quantile <= best.high).all()


def test_drawing_without_replacement_is_unbiased_and_with_it_is_not():
    samples = np.random.default_rng(0).uniform(size=(1500, 6))
    unbiased = np.mean([expected_best(row).mean for row in samples], axis=0)
    assert unbiased == pytest.approx([1 / (k + 1) for k in range(1, 7)], abs=0.01)  # of k uniform numbers
    above = ((6 - np.arange(0, 7)) / 6) ** 6
    replaced = np.sort(samples, axis=1) @ (above[:-1] - above[1:])
    assert replaced.mean() > 1 / 7 + 0.03


def test_the_expectation_is_infinite_while_k_trials_may_all_diverge():
    best = expected_best([math.inf, math.nan, 3.0, 1.0, 2.0])
    assert np.isinf(best.mean).tolist() == [True, True, False, False, False]
    assert np.isfinite(best.quantile).all()
    assert np.isinf(expected_best([math.inf] * 3).mean).all()


def test_the_interval_holds_the_quantile_as_often_as_it_says():
    ends = [expected_best(row) for row in np.random.default_rng(1).exponential(size=(400, 20))]
    for k in (1, 2, 5, 10):
        true = stats.expon(scale=1 / k).median()
        assert np.mean([e.low[k - 1] <= true <= e.high[k - 1] for e in ends]) >= 0.94
    assert ends[0].low[-1] == -math.inf


def test_many_trials_do_not_overflow():
    best = expected_best(np.random.default_rng(2).normal(size=2000))
    assert np.isfinite(best.mean).all()
    assert best.mean[0] == pytest.approx(np.random.default_rng(2).normal(size=2000).mean())


def test_the_first_measurement_at_or_below_the_target_counts():
    found = time_to_target([([0, 5, 10, 15], [4, 2, 3, 1]), ([0, 5], [4, 3]), ([1, 2], [math.nan, 1])], target=2)
    assert found.steps == (5.0, None, 2.0)
    assert (found.reached, found.runs, found.median) == (2, 3, 5.0)


def test_fewer_than_half_have_no_median():
    steps = [0, 10]
    runs = [(steps, [3.0, 1.0]), (steps, [3.0, 2.0]), (steps, [3.0, math.inf])]
    assert time_to_target(runs, 1.0).median is None
    assert time_to_target([*runs, runs[0]], 1.0).median == 10
    assert time_to_target(runs, 0.5) == time_to_target(runs, 0.1)


def test_a_run_that_was_stopped_counts_as_long_as_it_was_watched_and_a_diverged_one_always():
    reached = [([0, at], [2.0, 1.0]) for at in (10, 20, 30)]
    stopped, diverged = ([0, 5], [2.0, 2.0]), ([0, 5], [2.0, math.nan])
    assert time_to_target([*reached, *[stopped] * 3], 1.0).median == 20
    assert time_to_target([*reached, *[diverged] * 3], 1.0).median == 30
    assert time_to_target([*reached, *[diverged] * 4], 1.0).median is None


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=12))
def test_the_median_is_that_of_scipy(runs):
    curves = [([0, at], [2.0, 1.0 if hit else 2.0]) for at, hit in runs]
    times, hits = np.array(runs).T
    curve = stats.ecdf(stats.CensoredData(times[hits == 1], right=times[hits == 0])).sf
    half = curve.quantiles[curve.probabilities <= 0.5 + 1e-9]
    assert time_to_target(curves, 1.0).median == (half[0] if len(half) else None)


@given(costs)
def test_the_profile_counts_the_tasks_within_a_factor(rows):
    profile, table = performance_profile(rows), np.array(rows)
    assert profile.factors[0] == 1
    assert (np.diff(profile.factors) > 0).all()
    assert profile.unsolved == np.isinf(table.min(axis=0)).sum()
    for factor in [0.5, *profile.factors, *(profile.factors + 0.001), 1e9]:
        within = np.isfinite(table) & (table <= factor * table.min(axis=0) * (1 + 1e-12)) & (factor >= 1)
        assert profile.at(factor) == pytest.approx(within.mean(axis=1))


@given(costs, st.sampled_from([0.25, 8.0]))
def test_the_profile_does_not_depend_on_the_unit(rows, unit):
    one, other = performance_profile(rows), performance_profile(np.array(rows) * unit)
    assert one.factors == pytest.approx(other.factors)
    assert (one.shares == other.shares).all()


def test_ties_unsolved_tasks_and_a_cost_of_nothing():
    profile = performance_profile([[2, math.inf, 0, 5], [2, math.inf, 3, math.inf]])
    assert profile.factors.tolist() == [1]
    assert profile.shares.tolist() == [[0.75], [0.25]]
    assert profile.unsolved == 1


def test_bad_input():
    for wrong, words in (
        (lambda: expected_best([]), "values must have 1 dimension"),
        (lambda: expected_best([1.0], quantile=1.0), "quantile must be a number in"),
        (lambda: time_to_target([], 1.0), "curves must have a run"),
        (lambda: time_to_target([([1, 1], [2.0, 1.0])], 1.0), r"curves\[0\] must be ascending steps"),
        (lambda: time_to_target([([1, 2], [2.0])], 1.0), r"curves\[0\] must be .* got 2 steps, 1 losses"),
        (lambda: time_to_target([([1], [1.0])], math.nan), "target must be a finite number; got nan"),
        (lambda: performance_profile([1.0, 2.0]), "costs must have 2 dimension"),
        (lambda: performance_profile([[-1.0]]), "costs must be ≥ 0.* got -1.0"),
        (lambda: performance_profile([[math.nan]]), "costs must be ≥ 0.* got nan"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()
