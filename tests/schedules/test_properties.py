"""What holds for every schedule, however it was made."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell import domain, schedules
from stepwell.schedules import domains as d

RATES = st.just(0.0) | st.floats(1e-9, 10)  # below lie the numbers that have lost their relative precision
SOME: dict[Any, st.SearchStrategy[Any]] = {
    domain.Rate: RATES,
    domain.NonNegative: st.floats(0, 1),
    domain.Positive: st.floats(0.1, 10),
    d.Fraction: st.floats(0.1, 1),
    d.OpenShare: st.floats(0.2, 0.4),
    d.Steps: st.integers(0, 200),
    d.Period: st.integers(10, 200),
    d.Flag: st.booleans(),
    d.Milestones: st.sets(st.integers(0, 300), min_size=2, max_size=2).map(sorted),
    d.Rates: st.lists(RATES, min_size=3, max_size=3),
}
STRATEGIES = {annotated.__metadata__[0]: strategy for annotated, strategy in SOME.items()}
STRATEGIES |= {d.domains_of(schedules.one_cycle)["anneal"]: st.sampled_from(["cos", "linear"])}
STEPS = st.integers(0, 1000)


def plain() -> st.SearchStrategy[schedules.Schedule]:
    """Any schedule by its name, with arguments drawn from their domains."""
    return st.one_of(
        *(
            st.builds(maker, **{name: STRATEGIES[domain] for name, domain in d.domains_of(maker).items()})
            for maker in schedules.named().values()
        )
    )


def composed(parts: st.SearchStrategy[schedules.Schedule]) -> st.SearchStrategy[schedules.Schedule]:
    return st.one_of(
        st.builds(lambda factor, schedule: factor * schedule, RATES, parts),
        st.builds(lambda first, next, at: first.then(next, at=at), parts, parts, st.integers(0, 200)),
        st.builds(lambda schedule, steps: schedule.per_epoch(steps), parts, st.integers(1, 50)),
    )


any_schedule = st.recursive(plain(), composed, max_leaves=3)


@given(any_schedule, st.lists(STEPS, max_size=20))
def test_an_array_of_steps_gives_the_array_of_rates(schedule, steps):
    array = schedule(np.array(steps, dtype=int))
    scale = max(map(schedule, range(0, 1001, 50)))
    assert array.dtype == np.float64
    np.testing.assert_allclose(array, [schedule(k) for k in steps], rtol=1e-15, atol=1e-15 * scale)


@given(any_schedule, STEPS)
def test_a_step_of_any_integer_type_is_the_same_step(schedule, step):
    rate = schedule(step)
    assert type(rate) is float
    assert schedule(np.int32(step)) == rate
    assert schedule(np.uint16(step)) == rate
    assert type(schedule(np.int32(step))) is float


@given(any_schedule, STEPS)
def test_pickle_copies_a_schedule(schedule, step):
    copy = pickle.loads(pickle.dumps(schedule))
    assert copy == schedule
    assert hash(copy) == hash(schedule)
    assert copy(step) == schedule(step)


@given(any_schedule, STEPS)
def test_repr_evaluates_back(schedule, step):
    copy = eval(repr(schedule), schedules.named())
    assert copy == schedule
    assert copy(step) == schedule(step)


@given(plain(), plain())
def test_equal_schedules_have_equal_arguments(first, second):
    assert (first == second) == (repr(first) == repr(second))


@given(any_schedule, any_schedule, st.integers(0, 200), STEPS)
def test_then_goes_on_at_step_zero_of_the_next(first, next, at, step):
    chained = first.then(next, at=at)
    assert chained(step) == (first(step) if step < at else next(step - at))
    assert chained.length == (None if next.length is None else at + next.length)


@given(any_schedule.filter(lambda schedule: schedule.length is not None), any_schedule)
def test_then_needs_no_time_where_there_is_a_length(first, next):
    chained = first.then(next)
    assert chained == first.then(next, at=first.length)
    assert chained(first.length) == next(0)


@given(any_schedule, st.integers(1, 50), STEPS)
def test_per_epoch_counts_epochs(schedule, steps, step):
    assert schedule.per_epoch(steps)(step) == schedule(step // steps)
    assert schedule.per_epoch(1)(step) == schedule(step)
    assert schedule.per_epoch(steps).length == (None if schedule.length is None else steps * schedule.length)


@given(any_schedule, RATES, STEPS)
def test_a_number_times_a_schedule(schedule, factor, step):
    assert (factor * schedule)(step) == factor * schedule(step)
    assert schedule * factor == factor * schedule == np.float64(factor) * schedule
    assert (factor * schedule).length == schedule.length


@given(STEPS, st.integers(0, 500), RATES, RATES, st.floats(0.1, 5))
def test_anneals_go_from_rate_to_end_and_stay_between(step, steps, rate, end, power):
    low, high = min(rate, end), max(rate, end)
    for schedule in (
        schedules.linear(steps, rate, end),
        schedules.cosine(steps, rate, end),
        schedules.polynomial_decay(steps, rate, end, power),
    ):
        assert low * (1 - 1e-15) <= schedule(step) <= high * (1 + 1e-15)
        assert schedule(0) == (rate if steps else end)
        assert schedule(steps + step) == end


@given(STEPS, RATES, RATES, st.floats(0.1, 1), st.floats(0.1, 5), st.floats(0, 1))
def test_decays_never_climb(step, rate, floor, factor, alpha, slope):
    for schedule in (
        schedules.exponential(slope, rate),
        schedules.factor(factor, rate, floor),
        schedules.polynomial(alpha, slope, rate),
        schedules.inverse_sqrt(rate),
        schedules.multi_factor([3, 40], factor, rate),
    ):
        assert 0 <= schedule(step + 1) <= schedule(step) <= max(rate, floor)


@given(st.integers(10, 300), st.floats(0.2, 0.4), STEPS)
def test_one_cycle_climbs_then_falls(steps, pct_start, step):
    schedule = schedules.one_cycle(steps, pct_start=pct_start)
    climbing = step + 1 <= pct_start * steps - 1
    falling = step >= pct_start * steps - 1
    assert not climbing or schedule(step) <= schedule(step + 1)
    assert not falling or schedule(step) >= schedule(step + 1)
    assert 0 < schedule(step) <= 1


def test_only_arguments_can_be_passed():
    with pytest.raises(AttributeError):
        schedules.cosine(10).steps = 5  # pyright: ignore[reportAttributeAccessIssue]
