"""What a curve of loss against learning rate says, and where it says nothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.lab.statistics import basin, best_rate, divergence_edge, seed_noise

INF = math.inf
GRID = [0.001, 0.01, 0.1, 1.0, 10.0]
curves = st.lists(st.integers(0, 40).map(float) | st.just(INF), min_size=1, max_size=9)


def grid(values):
    return [10.0 ** (i - 4) for i in range(len(values))]


@given(st.floats(-1.49, 1.49), st.floats(0.1, 10), st.floats(-5, 5))
def test_a_parabola_gives_its_vertex_and_its_basin(vertex, steepness, lowest):
    x = np.arange(-3.0, 4.0)
    losses = lowest + steepness * (x - vertex) ** 2
    found = best_rate(10**x, losses)
    assert found.rate == pytest.approx(10**vertex)
    assert found.lowest == pytest.approx(10 ** round(vertex))
    assert found.reason is None


def test_a_grid_of_uneven_steps_gives_the_vertex_too():
    rates = np.array([0.01, 0.05, 0.3, 0.7, 2.0])
    assert best_rate(rates, (np.log(rates) - np.log(0.2)) ** 2).rate == pytest.approx(0.2)


@given(curves, st.sampled_from([0.0, 1.0, 3.0]), st.randoms(use_true_random=False), st.sampled_from([-4.0, 64.0]))
def test_order_shift_and_scale_do_not_change_the_rate(values, noise, random, shift):
    found = best_rate(grid(values), values, noise, initial=50.0)
    pairs = random.sample(list(zip(grid(values), values, strict=True)), len(values))
    rates, losses = zip(*pairs, strict=True)
    assert best_rate(rates, losses, noise, initial=50.0) == found
    moved = best_rate(grid(values), [2 * v + shift for v in values], 2 * noise, initial=100.0 + shift)
    assert (moved.rate, moved.lowest) == (found.rate, found.lowest)
    assert (found.rate is None) != (found.reason is None)


@given(curves)
def test_the_rate_is_within_half_a_step_of_the_lowest_loss(values):
    found = best_rate(grid(values), values)
    if found.rate is not None:
        assert found.lowest is not None
        assert abs(math.log10(found.rate / found.lowest)) <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("losses", "noise", "initial", "words"),
    [
        ([INF, INF, math.nan, INF, INF], 0, None, "diverged at every rate"),
        ([2.3, 2.2, 2.25, 2.3, INF], 0.2, 2.3, "no rate brings the loss more than 0.2 below the 2.3 before"),
        ([2.3, 2.2, 2.25, 2.3, INF], 0.2, None, "differ by 0.1, within the noise of 0.2"),
        ([1.0, 1.0, 1.0, 1.0, 1.0], 0, None, "differ by 0, within"),
        ([1.0, 0.10, 0.5, 0.12, 1.0], 0.05, None, "as low at 1 as at 0.01, and higher between"),
        ([1.0, 0.12, INF, 0.10, 1.0], 0.05, None, "as low at 0.01 as at 1, and higher between"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 0, None, "at the lowest rate of the grid, 0.001"),
        ([0.5, 0.4, 0.3, 0.2, 0.1], 0, 2.3, "at the highest rate of the grid, 10"),
    ],
)
def test_no_clear_answer(losses, noise, initial, words):
    found = best_rate(GRID, losses, noise, initial)
    assert found.rate is None
    assert found.reason is not None
    assert words in found.reason


@pytest.mark.parametrize(
    ("losses", "noise"),
    [
        ([1.0, 0.10, 0.14, 0.12, 1.0], 0.05),  # the bump is within noise
        ([1.0, 0.10, 0.5, 0.2, 1.0], 0.05),  # the other minimum is less deep, beyond noise
        ([0.5, 0.3, 0.1, INF, INF], 0.05),
    ],
)
def test_a_clear_answer(losses, noise):
    found = best_rate(GRID, losses, noise)
    assert found.reason is None
    assert found.rate is not None


def test_next_to_a_diverged_rate_the_answer_is_measured_or_moves_away_with_the_initial_loss():
    losses = [0.5, 0.3, 0.1, INF, INF]
    assert best_rate(GRID, losses).rate == pytest.approx(0.1)
    known = best_rate(GRID, losses, initial=1.0).rate
    assert known == best_rate(GRID, [0.5, 0.3, 0.1, 1e9, 1e9], initial=1.0).rate
    assert known is not None
    assert 10**-1.5 < known < 0.1


def test_the_basin_is_interpolated_in_log_rate():
    found = basin(GRID, [2.0, 1.0, 0.0, 4.0, 4.0], within=0.2, initial=2.0)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((10**-1.4, 10**-0.9))
    assert found.threshold == pytest.approx(0.4)
    assert (found.low_open, found.high_open) == (False, False)


def test_without_the_initial_loss_the_basin_is_a_share_of_the_lowest():
    found = basin(GRID, [3.0, 2.0, 1.0, 1.05, 1.05])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((10**-1.1, 10.0))
    assert (found.low_open, found.high_open) == (False, True)
    below = basin(GRID, [0.0, -1.0, -2.0, -1.0, 0.0])
    assert below is not None
    assert below.threshold == pytest.approx(-1.8)


def test_only_the_stretch_with_the_lowest_loss_counts_and_a_diverged_rate_ends_it():
    found = basin(GRID, [0.1, 1.0, 0.0, INF, 0.1], within=0.5, initial=1.0)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((10**-1.5, 0.1))


@given(curves, st.floats(0, 1), st.sampled_from([0.25, 2.0]), st.sampled_from([-4.0, 64.0]))
def test_the_basin_does_not_change_with_shift_and_scale(values, within, scale, shift):
    found = basin(grid(values), values, within, initial=50.0)
    again = basin(grid(values), [scale * v + shift for v in values], within, initial=scale * 50 + shift)
    assert (found is None) == (again is None) == all(map(math.isinf, values))
    if found is not None and again is not None:
        assert (found.low, found.high) == pytest.approx((again.low, again.high), rel=1e-6)
        best = grid(values)[int(np.argmin(values))]
        assert found.low <= best * (1 + 1e-9)
        assert best * (1 - 1e-9) <= found.high


def test_no_basin_where_nothing_was_learnt():
    assert basin(GRID, [2.3] * 5, initial=2.3) is None
    assert basin([0.1], [INF]) is None


@pytest.mark.parametrize(
    ("losses", "edge"),
    [
        ([1.0, 1.0, 0.5, math.nan, INF], 10**-0.5),
        ([1.0, INF, 0.5, 0.4, INF], 10**0.5),
        ([1.0, INF, 0.5, 0.4, 9.0], None),
        ([INF] * 5, None),
        ([1.0, INF, INF, INF, INF], 10**-2.5),
    ],
)
def test_the_divergence_edge(losses, edge):
    assert divergence_edge(GRID, losses) == (None if edge is None else pytest.approx(edge))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_seed_noise_is_the_spread_of_a_difference_without_what_a_seed_adds_everywhere(seeds):
    rng = np.random.default_rng(seeds)
    tables = rng.normal(0, 1, (800, seeds, 11)) + rng.normal(0, 20, (800, seeds, 1)) + np.arange(11)
    noises = [seed_noise(table) for table in tables]
    assert np.mean(noises) == pytest.approx(2 * math.sqrt(2 / seeds), rel=0.15)
    means = tables.mean(axis=1) - np.arange(11)
    assert np.mean(np.abs(means[:, 3] - means[:, 7]) <= noises) == pytest.approx(0.945, abs=0.02)


def test_seed_noise_leaves_out_rates_that_diverged():
    table = [[1.0, 2.0, INF], [1.5, 2.0, 3.0], [1.0, 2.5, math.nan]]
    assert seed_noise(table) == seed_noise(np.array(table)[:, :2])
    assert seed_noise([[INF], [1.0]]) == INF


def test_bad_input():
    for wrong, words in (
        (lambda: best_rate([0.1], [1.0, 2.0]), "rates and values must be as many; got 1 and 2"),
        (lambda: best_rate([0.0, 0.1], [1.0, 2.0]), "rates must be finite, > 0 and distinct"),
        (lambda: best_rate([0.1, 0.1], [1.0, 2.0]), "rates must be finite, > 0 and distinct"),
        (lambda: best_rate([0.1], [-INF]), "values must be finite"),
        (lambda: best_rate([0.1], [1.0], noise=-1), "noise must be a number ≥ 0"),
        (lambda: best_rate([0.1], [1.0], initial=INF), "initial must be a finite number; got inf"),
        (lambda: basin([0.1], [1.0], within=-0.1), "within must be a finite number ≥ 0; got -0.1"),
        (lambda: basin([], []), "rates must have 1 dimension"),
        (lambda: divergence_edge([INF], [1.0]), "rates must be finite"),
        (lambda: seed_noise([[1.0, 2.0]]), "values must have two seeds or more, each a row; got 1"),
        (lambda: seed_noise([1.0, 2.0]), "values must have 2 dimension"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()
