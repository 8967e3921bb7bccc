"""The interval holds what it says: by enumeration, by SciPy, and measured on equal and on unequal optimizers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stepwell.lab.statistics import interval
from stepwell.lab.statistics.intervals import bounds

LAWS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "uniform": lambda rng, shape: rng.uniform(size=shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape),
    "lognormal": lambda rng, shape: rng.lognormal(size=shape),
    "t with 2 degrees": lambda rng, shape: rng.standard_t(2, size=shape),
    "Cauchy": lambda rng, shape: rng.standard_cauchy(size=shape),
    "two basins": lambda rng, shape: rng.integers(0, 2, shape) + rng.normal(0, 0.05, shape),
    "a fifth diverged": lambda rng, shape: np.where(rng.random(shape) < 0.2, math.inf, rng.normal(size=shape)),
}
numbers = st.floats(-100, 100).map(lambda x: round(x, 3))
samples = st.lists(numbers, min_size=3, max_size=20)


def differences(law: str, trials: int, seeds: int) -> np.ndarray:
    """Losses of an optimizer minus losses of the same optimizer."""
    rng = np.random.default_rng(list(law.encode()))
    a, b = (LAWS[law](rng, (trials, seeds)) for _ in range(2))
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, a - b)


def claims(rows: np.ndarray, value: float = 0.0, statistic: str = "mean", level: float = 0.95) -> float:
    """The share of rows whose interval does not hold a value."""
    ends = [bounds(part, level, statistic) for part in np.array_split(rows, 1 + len(rows) // 500)]
    return float(np.mean(np.concatenate([(low > value) | (high < value) for low, high in ends])))


def percentile_claims(rows: np.ndarray) -> float:
    """The same for the plain percentile bootstrap."""
    picked = np.random.default_rng(0).integers(0, rows.shape[1], (999, rows.shape[1]))
    low, high = np.quantile(rows[:, picked].mean(axis=-1), [0.025, 0.975], axis=1)
    return float(np.mean((low > 0) | (high < 0)))


@pytest.mark.parametrize("seeds", [3, 5, 8, 10])
def test_of_equal_optimizers_a_difference_is_claimed_in_5_percent_at_most(seeds):
    shares = [claims(differences(law, 1400, seeds)) for law in LAWS]
    chance = 2 * math.sqrt(0.05 * 0.95 / 1400)  # of samples, at one law
    assert max(shares) <= 0.05 + chance
    assert np.mean(shares) <= 0.05


def test_the_percentile_bootstrap_would_claim_too_often():
    assert percentile_claims(differences("normal", 500, 5)) > 0.12
    assert percentile_claims(differences("normal", 500, 10)) > 0.07


def test_the_studentized_bootstrap_alone_would_claim_too_often():
    from stepwell.lab.statistics.intervals import _bootstrap

    low, high = _bootstrap(np.sort(differences("lognormal", 1000, 8)), 0.05)
    assert np.mean((low > 0) | (high < 0)) > 0.065


@pytest.mark.parametrize(("seeds", "least"), [(5, 0.6), (8, 0.84), (10, 0.94), (20, 0.99)])
def test_a_difference_of_one_and_a_half_standard_deviations_is_found(seeds, least):
    trials = 1000 if seeds < 20 else 200
    assert claims(np.random.default_rng(1).normal(1.5, 1, (trials, seeds))) >= least


@pytest.mark.parametrize("seeds", [8, 10])
def test_skewed_differences_are_covered_better_than_by_student(seeds):
    rows = np.random.default_rng(2).exponential(size=(1500, seeds))
    half = stats.t.isf(0.025, seeds - 1) * stats.sem(rows, axis=1)
    assert claims(rows, 1.0) < 0.07 < 0.08 < np.mean(abs(rows.mean(axis=1) - 1) > half)


@given(st.lists(numbers, min_size=6, max_size=9, unique=True), numbers)
def test_what_the_exact_test_does_not_refuse_is_inside(values, centre):
    n, away = len(values), np.array(values) - centre
    signs = np.array(list(itertools.product([-1, 1], repeat=n)))
    sums, seen = signs @ away, away.sum()
    p = min(2 * np.mean(sums >= seen - 1e-9), 2 * np.mean(sums <= seen + 1e-9))
    found = interval(values)
    if p > 0.05:
        assert found.low - 1e-9 <= centre <= found.high + 1e-9


def test_subset_means_are_the_sign_flip_test_where_the_bootstrap_adds_nothing():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, math.inf])  # the bootstrap is left out where one is infinite
    assert interval(values).low == 1.0  # k = 1: the least of 63 means
    more = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, math.inf])
    subsets = (more[list(s)].mean() for size in range(1, 9) for s in itertools.combinations(range(8), size))
    assert interval(more).low == sorted(subsets)[5]  # k = ⌊256·0.025⌋ = 6
    assert interval(more).high == math.inf


@given(samples, st.floats(0.5, 0.9))
def test_it_holds_the_mean_and_the_median_and_grows_with_the_level(values, level):
    for statistic, centre in (("mean", np.mean(values)), ("median", np.median(values))):
        found, wider = interval(values, level, statistic), interval(values, (1 + level) / 2, statistic)
        slack = 1e-9 * (1 + max(map(abs, values)))
        assert found.estimate == centre
        assert wider.low - slack <= found.low <= centre + slack
        assert centre - slack <= found.high <= wider.high + slack


@given(samples, st.randoms(use_true_random=False), st.integers(-8, 8), st.integers(-50, 50))
def test_it_moves_with_the_differences(values, random, power, shift):
    shuffled = random.sample(values, len(values))
    found = interval(values)
    assert interval(shuffled).low == found.low
    assert interval(shuffled).high == found.high
    for other, low, high in (
        ([-x for x in values], -found.high, -found.low),
        ([x * 2.0**power for x in values], found.low * 2.0**power, found.high * 2.0**power),
        ([x + shift for x in values], found.low + shift, found.high + shift),
    ):
        if len(set(values)) > 1:  # of equal differences only 0 is known to be no difference
            again = interval(other)
            assert (again.low, again.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


def test_below_six_seeds_it_is_student_and_all_differences():
    values = [1.0, 2.0, 4.0, 7.0, 9.0]
    student = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert interval(values[:3]).low == pytest.approx(stats.t.interval(0.95, 2, 7 / 3, stats.sem(values[:3]))[0])
    assert interval(values).high == pytest.approx(max(student[1], 9.0))
    assert interval([1.0, 1.1, 1.0, 1.1, 9.0]).low < 1.0


@pytest.mark.parametrize("seeds", [5, 6, 8, 10, 13, 20])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_median_is_that_of_scipy(seeds, level):
    values = np.random.default_rng(seeds).normal(size=seeds)
    found = interval(values, level, "median")
    below = stats.quantile_test(values, p=0.5, alternative="greater").confidence_interval((1 + level) / 2)
    above = stats.quantile_test(values, p=0.5, alternative="less").confidence_interval((1 + level) / 2)
    assert found.low == (below.low if math.isfinite(below.low) else -math.inf)
    assert found.high == (above.high if math.isfinite(above.high) else math.inf)


@pytest.mark.parametrize("law", ["normal", "Cauchy", "two basins"])
def test_the_median_keeps_its_level(law):
    assert all(claims(differences(law, 2000, seeds), statistic="median") <= 0.05 for seeds in (5, 8, 10))


def test_one_or_two_seeds_say_nothing():
    for values in ([3.0], [3.0, 3.1], [math.inf, math.inf]):
        found = interval(values)
        assert (found.low, found.high, found.sign) == (-math.inf, math.inf, 0)


def test_equal_differences():
    assert interval([0.0] * 4).sign == interval([0.0] * 10).sign == 0
    assert interval([0.1] * 4).sign == 0
    found = interval([0.1] * 10)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([math.inf] * 3, math.inf, math.inf),
        ([-math.inf] * 3, -math.inf, -math.inf),
        ([math.inf, math.inf, 1.0], -math.inf, math.inf),
        ([math.inf, 1, 1, 1, 1, 1], 1, math.inf),
        ([-math.inf, 1, 1, 1, 1, 1], -math.inf, 1),
        ([-math.inf, math.inf, 1, 1, 1, 1], -math.inf, math.inf),
        ([math.inf] * 8, math.inf, math.inf),
        ([-math.inf, 1, 1] + [math.inf] * 5, -math.inf, math.inf),
    ],
)
def test_infinite_differences(values, low, high):
    found = interval(values)
    assert (found.low, found.high) == (low, high)
    assert found.estimate == pytest.approx(sum(values) / len(values), nan_ok=True)


def test_a_diverged_run_in_many_leaves_the_sign_of_the_rest():
    assert interval([-1.0] * 9 + [math.inf]).sign == 0  # on the mean: better at 9 seeds, diverged at 1
    assert interval([-1.0] * 9 + [math.inf], statistic="median").sign == -1
    assert interval([1.0] * 9 + [math.inf]).sign == 1


def test_huge_and_tiny_differences_are_numbers_like_others():
    values = np.array([1.0, 1.1, 1.2, 0.9, 1.05, 0.95, 1.15])
    base = interval(values)
    for scale in (1e300, 1e-300):
        found = interval(values * scale)
        assert (found.low / scale, found.high / scale) == pytest.approx((base.low, base.high))


def test_many_seeds_are_drawn_from():
    values = np.random.default_rng(3).normal(1, 1, 40)
    found, student = interval(values), stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(student, abs=0.06)
    assert interval(values, 0.9999).low < found.low


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([],), "differences must have 1 dimension"),
        (([[1.0]],), "differences must have 1 dimension"),
        (([1.0, math.nan],), "differences must not have NaN"),
        (([1.0, 2.0], 1.0), r"level must be a number in \(0, 1\); got 1.0"),
        (([1.0, 2.0], 0.95, "mode"), 'statistic must be "mean" or "median"; got \'mode\''),
    ],
)
def test_bad_input(arguments, words):
    with pytest.raises(ValueError, match=words):
        interval(*arguments)
    with pytest.raises(TypeError, match="differences must be an array of numbers"):
        interval(["a"])
