"""Rows that are behind are brought up to date when they are read: some or all, at any time, on any threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell import rules, schedules
from stepwell.kernels import advance, ledger
from stepwell.rule import Rule
from tests.kernels.harness import PLAIN, Arrays
from tests.kernels.sparse import (
    ALL_THREE,
    TOLERANCE,
    Driver,
    Sparse,
    alone,
    assert_close,
    assert_exact,
    bits,
    dense,
    dense_step,
    in_pieces,
    sparse,
)


def by_name(given: list[Rule]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("rule", given, ids=lambda r: r.name)


@by_name([rules.adam, rules.nadam])
def test_a_table_that_goes_on_elsewhere(rule):
    """Flushed, and taken up by another table in the middle."""
    work = Sparse(rule, dtype="float64")
    first, gradients = Driver(work), list(work.gradients())
    for _, gradient in gradients[:100]:
        first.step(*gradient)
    first.flush()
    second = Driver(work, first.arrays)
    second.t = first.t
    for _, gradient in gradients[100:]:
        second.step(*gradient)
    second.flush()
    assert_close(second.arrays, dense(work), 1e-12)


def test_another_step_begins_a_new_book():
    """A table whose clock is set back or on: what was behind is settled first, by the old one."""
    work = Sparse(rules.adam, dtype="float64", rows=6)
    driver, arrays = Driver(work), work.start()
    for begin in (0, 500, 20):
        driver.t = begin
        for t in range(begin + 1, begin + 30):
            gradient = work.gradient(t)
            driver.step(*gradient)
            arrays = dense_step(work, arrays, gradient, t)
    driver.flush()
    assert_close(driver.arrays, arrays, 1e-12)


@pytest.mark.parametrize("dtype", TOLERANCE)
@by_name([rules.adam, rules.momentum, rules.adamax, rules.nadamw])
def test_a_full_book_is_settled_and_a_new_one_begun(rule, dtype, monkeypatch):
    monkeypatch.setattr(ledger, "LONGEST", 30)
    monkeypatch.setattr(ledger, "PORTION", 7)
    driver = assert_exact(Sparse(rule, dtype=dtype, rate=schedules.warmup(10)))
    book = driver.table.ledger
    assert book is not None
    assert book.origin == 200
    assert book.entries.shape[1] == advance.BLOCK


@by_name([rules.adam, rules.adagrad_rowwise])
def test_settling_on_one_two_and_three_threads(rule, monkeypatch):
    alone(monkeypatch, 40)
    pieces = in_pieces(monkeypatch)
    work = Sparse(rule, ALL_THREE if rule is rules.adagrad_rowwise else PLAIN, rows=300, touches=20.0)
    first = bits(sparse(work).arrays)
    assert not pieces
    for threads in (2, 3):
        assert bits(sparse(work, threads).arrays) == first
        assert max(pieces) >= threads * 8


def test_only_rows_that_are_behind_are_settled():
    work = Sparse(rules.adam, rows=10, width=2)
    driver = Driver(work)
    assert driver.flush() == 0
    assert not driver.table.is_behind
    driver.step(np.array([3, 4, 3]), np.ones((3, 2), np.float32))
    assert driver.table.is_behind
    assert driver.catch_up(np.array([3, 4])) == 0
    assert driver.catch_up(np.array([5, 5, 3, 6])) == 2
    assert driver.catch_up(np.array([5, 6], np.int32)) == 0
    assert driver.flush() == 6
    assert driver.flush() == 0
    assert not driver.table.is_behind
    assert driver.catch_up(np.arange(10)) == 0


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(("indices", "position"), [([0, -1], 1), ([10], 0), ([2, 3, 99, -5], 2)])
def test_an_index_outside_the_table_changes_nothing(indices, position, behind):
    driver = Driver(Sparse(rules.adam, rows=10, width=2))
    driver.step(np.array([1, 2]), np.ones((2, 2), np.float32))
    driver.step(np.array([3]), np.ones((1, 2), np.float32))
    if not behind:
        driver.flush()
    before = bits(driver.arrays)
    said = rf"indices\[{position}\] must be a row of the table, from 0 to 9; got {indices[position]}$"
    with pytest.raises(IndexError, match=said):
        driver.catch_up(np.array(indices))
    assert bits(driver.arrays) == before
    assert driver.flush() == (8 if behind else 0) + (behind and 1)


def test_arrays_that_took_anothers_place_are_refused():
    driver = Driver(Sparse(rules.adam, rows=10, width=2))
    driver.step(np.array([1]), np.ones((1, 2), np.float32))
    own, driver.arrays = driver.arrays, {name: x.copy() for name, x in driver.arrays.items()}
    for call in (driver.flush, lambda: driver.catch_up(np.array([0]))):
        with pytest.raises(RuntimeError, match="call the optimizer's flush"):
            call()
    driver.arrays = own
    driver.flush()
    driver.arrays = {name: x.copy() for name, x in own.items()}
    driver.step(np.array([1]), np.ones((1, 2), np.float32))


STEP = st.tuples(st.just("step"), st.integers(0, 1000))
EVENTS = st.lists(
    st.one_of(
        STEP,
        STEP,
        st.tuples(st.just("quiet"), st.integers(1, 60)),
        st.tuples(st.just("catch up"), st.lists(st.integers(0, 5), max_size=8)),
        st.tuples(st.just("flush"), st.none()),
    ),
    max_size=25,
)
NOTHING = np.zeros(0, np.int64), np.zeros((0, 3))


@pytest.mark.parametrize(
    ("rule", "stages"),
    [(rules.adam, PLAIN), (rules.adamw, PLAIN), (rules.nadam, PLAIN), (rules.momentum, PLAIN), (rules.adam, ALL_THREE)],
    ids=str,
)
@settings(max_examples=25)
@given(events=EVENTS, beta2=st.sampled_from([0.9, 0.999]), eps=st.sampled_from([1e-8, 0.1]))
def test_any_order_of_steps_and_reading(rule, stages, events, beta2, eps):
    """A row that was caught up is the dense one at once; in the end all are."""
    hyper = {name: x for name, x in {"beta2": beta2, "eps": eps}.items() if name in rule.hyperparameters}
    work = Sparse(rule, stages, "float64", rows=6, width=3, hyper=hyper)
    driver, arrays = Driver(work), work.start()

    def step(gradient: tuple[np.ndarray, np.ndarray]) -> None:
        nonlocal arrays
        driver.step(*gradient)
        arrays = dense_step(work, arrays, gradient, driver.t)

    for event, what in events:
        if event == "step":
            step(work.gradient(what))
        elif event == "quiet":
            for _ in range(what):
                step(NOTHING)
        elif event == "flush":
            driver.flush()
            assert_close(driver.arrays, arrays, 1e-12)
        else:
            rows = np.array(what, np.int64)
            driver.catch_up(rows)
            assert_close(of_rows(driver, driver.arrays, rows), of_rows(driver, arrays, rows), 1e-11)
    driver.flush()
    assert_close(driver.arrays, arrays, 1e-12)


def of_rows(driver: Driver, arrays: Arrays, rows: np.ndarray) -> Arrays:
    return {name: arrays[name][rows] for name in arrays if name not in driver.program.scalar_state}
