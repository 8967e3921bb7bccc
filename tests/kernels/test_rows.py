"""The rule on the rows of a gradient: those, as the eager engine has them in float64, and no others."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from stepwell.kernels import Stages, cpu, eager
from stepwell.kernels.stages import whole_step
from tests.kernels.harness import PLAIN, TOLERANCE, Arrays
from tests.kernels.sparse import (
    ALL_THREE,
    EVERY_RULE,
    Driver,
    Gradient,
    Sparse,
    alone,
    assert_close,
    bits,
    in_pieces,
    sparse,
    stored,
    widened,
)

WIDTHS = (1, 3, 16, 17, 100)
STEPS = 8
SURROUNDED = Stages(scale=True, decay=True)


def touching(work: Sparse, t: int, n: int = 12) -> Gradient:
    """Few of the rows, some twice; over eight steps, eight decades."""
    rng = np.random.default_rng(t)
    indices = rng.integers(0, work.rows // 2, n) * 2  # odd rows are never touched
    values = rng.standard_normal((n, work.width)) * 10.0 ** (t - work.age - 5)
    return indices, values.astype(work.real)


def by_rows(work: Sparse, arrays: Arrays, gradient: Gradient, t: int) -> Arrays:
    """One step of the eager engine on the rows that were touched, gathered, then put back."""
    indices, values = gradient
    touched = np.unique(indices)
    g = np.zeros((work.rows, work.width))
    np.add.at(g, indices, values.astype(np.float64))
    numbers = cpu.program(work.rule, work.stages).scalar_state
    gathered: Arrays = {name: float(x) if name in numbers else x[touched] for name, x in arrays.items()}
    with np.errstate(all="ignore"):
        new = eager.step(work.rule, gathered | {"g": g[touched]}, {**work.scalars(t), "t": t}, work.stages)
    result = {name: x.copy() for name, x in arrays.items()}
    for name, x in result.items():
        x[() if name in numbers else touched] = new[name]
    return result


def assert_lazy(work: Sparse) -> None:
    """Equal after every step, to what the dense kernels' tests allow; rows without a gradient are as they were."""
    driver = Driver(work)
    expected = {name: x.astype(np.float64) for name, x in driver.arrays.items()}
    numbers = driver.program.scalar_state
    tolerance = TOLERANCE[work.dtype] * (2 if work.rule.name.startswith("rmsprop") else 1)
    for t in range(work.age + 1, work.age + 1 + STEPS):
        indices, values = touching(work, t)
        before = {name: x.copy() for name, x in driver.arrays.items() if name not in numbers}
        driver.step(indices, values)
        expected = by_rows(work, expected, (indices, values), t)
        assert_close(driver.arrays, expected, tolerance, f"{work}, width {work.width}, step {t}")
        others = np.setdiff1d(np.arange(work.rows), indices)
        assert bits({name: x[others] for name, x in before.items()}) == bits(
            {name: driver.arrays[name][others] for name in before}
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stages", [PLAIN, SURROUNDED], ids=["plain", "surrounded"])
@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda r: r.name)
def test_rows_are_stepped_as_the_rule_says(rule, stages, dtype):
    for width, age in zip(WIDTHS, (0, 1000, 0, 1000, 0), strict=True):
        assert_lazy(Sparse(rule, stages, dtype, "lazy", rows=40, width=width, age=age))


def test_the_step_that_surrounds_a_row_is_the_whole_one():
    """Scale, then decay, then the rule: as `stages` has it."""
    work = Sparse(rules.momentum, SURROUNDED, "float64", "lazy", rows=4)
    driver = Driver(work)
    p, v = driver.arrays["p"].copy(), driver.arrays["v"].copy()
    values = np.ones((1, work.width))
    driver.step(np.array([2]), values)
    new = whole_step(work.rule, work.stages)({"p": p[2], "g": values[0], "v": v[2]}, work.scalars(1))
    np.testing.assert_allclose(driver.arrays["p"][2], new["p"], rtol=1e-15)
    np.testing.assert_allclose(driver.arrays["v"][2], new["v"], rtol=1e-15)


@pytest.mark.parametrize("mode", ["lazy", "exact"])
def test_numbers_go_on_where_no_row_is_touched(mode):
    """NAdam's product of momenta is of the steps, not of the gradients."""
    work = Sparse(rules.nadam, dtype="float64", mode=mode, rows=4)
    driver = Driver(work)
    before = {name: x.tobytes() for name, x in driver.arrays.items() if name != "mu_product"}
    mu = 1.0
    hyper = work.scalars(1)
    for t in range(1, 10):
        driver.step(np.zeros(0, np.int64), np.zeros((0, work.width)))
        mu *= hyper["beta1"] * (1 - 0.5 * 0.96 ** (t * hyper["momentum_decay"]))
        assert driver.arrays["mu_product"] == pytest.approx(mu, rel=1e-14)
    driver.flush()
    assert {name: driver.arrays[name].tobytes() for name in before} == before


def test_a_row_is_counted_by_the_tables_steps():
    """A row that is touched for the first time at step 10 is corrected for ten steps, as a dense row would be."""
    work = Sparse(rules.adam, dtype="float64", mode="lazy", rows=4, width=3)
    driver = Driver(work)
    for _ in range(9):
        driver.step(np.array([0]), np.ones((1, 3)))
    p = driver.arrays["p"][1].copy()
    driver.step(np.array([1]), np.full((1, 3), 2.0))
    step, *_ = rules.adam(2.0, 0.0, 0.0, 10, **rules.adam.complete({}))
    np.testing.assert_allclose(driver.arrays["p"][1], p - step, rtol=1e-15)


STORAGES = {
    rules.adam: [
        ("float16",) * 3, ("bfloat16",) * 3, ("bfloat16", "float32", "float32"), ("float16", "float32", "bfloat16"),
    ],
    rules.momentum: [("float16",) * 2, ("bfloat16",) * 2],
    rules.adagrad_rowwise: [("float16", "float32"), ("bfloat16",) * 2],
    rules.lion: [("bfloat16", "float16")],
}  # fmt: skip
DIGITS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 1e-6}


@pytest.mark.parametrize(
    ("rule", "storage"),
    [pytest.param(rule, s, id="-".join((rule.name, *s))) for rule, storages in STORAGES.items() for s in storages],
)
def test_half_precision_is_widened_stepped_and_rounded_once(rule, storage):
    """Equal but for a few elements where two results in single precision lie on the two sides of a tie."""
    work = Sparse(rule, mode="lazy", rows=60, width=100, hyper={"lr": 0.1})
    program = cpu.program(rule, PLAIN)
    dtypes = dict(zip([name for name in program.arrays if name != "g"], storage, strict=True))
    rng = np.random.default_rng(0)
    start = {
        name: stored(abs(rng.standard_normal(program.shape_of(name, (work.rows, work.width)))), dtype)
        for name, dtype in dtypes.items()
    }
    driver = Driver(work, {name: x.copy() for name, x in start.items()}, storage=storage)
    indices, values = touching(work, 5)
    driver.step(indices, values)
    wide = {name: widened(x, dtypes[name]).astype(np.float64) for name, x in start.items()}
    expected = by_rows(work, wide, (indices, values), 1)
    touched = np.unique(indices)
    others = np.setdiff1d(np.arange(work.rows), indices)
    for name, dtype in dtypes.items():
        found = driver.arrays[name]
        np.testing.assert_array_equal(found[others], start[name][others])
        x, y = widened(found[touched], dtype), widened(stored(expected[name][touched], dtype), dtype)
        np.testing.assert_allclose(x, y, rtol=DIGITS[dtype], atol=1e-6)
        assert dtype == "float32" or (x != y).mean() < 5e-3
        assert (found[touched] != start[name][touched]).any()


def three_steps(work: Sparse, threads: int) -> Driver:
    return sparse(replace(work, steps=3, touches=3000.0, rows=5000, width=17), threads)


@pytest.mark.parametrize("mode", ["lazy", "exact"])
@pytest.mark.parametrize("stages", [PLAIN, ALL_THREE], ids=["plain", "all"])
@pytest.mark.parametrize("rule", [rules.adam, rules.nadam, rules.adagrad_rowwise], ids=lambda r: r.name)
def test_on_one_two_and_three_threads(rule, stages, mode, monkeypatch):
    alone(monkeypatch, 4000)
    pieces = in_pieces(monkeypatch)
    work = Sparse(rule, stages, mode=mode)
    first = bits(three_steps(work, 1).arrays)
    assert not pieces
    for threads in (2, 3):
        assert bits(three_steps(work, threads).arrays) == first
        assert max(pieces) >= threads * 8


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rule", [rules.adam, rules.yogi, rules.adagrad_rowwise, rules.rmsprop], ids=lambda r: r.name)
def test_what_is_not_finite_stays_in_its_row(rule, bad):
    def after(first: float) -> Arrays:
        driver = Driver(Sparse(rule, mode="lazy", rows=8, width=17))
        values = np.random.default_rng(0).standard_normal((3, 17)).astype(np.float32)
        values[0, 5] = first
        driver.step(np.array([2, 5, 2]), values)
        driver.step(np.array([5, 6]), values[1:])
        return driver.arrays

    spoiled, fine = after(bad), after(1.0)
    assert not np.isfinite(spoiled["p"][2]).all()
    for name, x in spoiled.items():
        others = np.arange(8) != 2
        assert np.isfinite(x[others]).all()
        assert x[others].tobytes() == fine[name][others].tobytes()
    if rule is not rules.adagrad_rowwise:  # which has one number for the row
        assert np.flatnonzero(~np.isfinite(spoiled["p"][2])).tolist() == [5]


def test_a_row_of_no_numbers():
    driver = Driver(Sparse(rules.adagrad_rowwise, rows=4, width=0, mode="lazy", hyper={"initial_accumulator": 2.0}))
    driver.step(np.array([1, 3]), np.zeros((2, 0), np.float32))
    np.testing.assert_array_equal(driver.arrays["s"], np.full((4, 1), 2.0))


AVERAGED = [rules.adam, rules.momentum, rules.nadam, rules.adagrad_rowwise]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", AVERAGED, ids=lambda r: r.name)
def test_an_average_of_the_weights_moves_at_every_step(rule, dtype):
    """In lazy mode too, for all rows; parameter and state only of the rows that are touched."""
    work = Sparse(rule, ALL_THREE, dtype, "lazy", rows=30, width=3, steps=60)
    driver = Driver(work)
    start = {name: x.copy() for name, x in driver.arrays.items()}
    start["ema"] += 1  # apart from p, so that it moves
    driver.arrays["ema"][...] = start["ema"]
    expected = {name: x.astype(np.float64) for name, x in start.items()}
    seen: set[int] = set()
    for t, gradient in work.gradients():
        driver.step(*gradient)
        seen.update(gradient[0].tolist())
        untouched = np.setdiff1d(np.arange(work.rows), gradient[0])
        decay = work.scalars(t)["ema_decay"]
        average = decay * expected["ema"] + (1 - decay) * expected["p"]
        expected = by_rows(work, expected, gradient, t)
        expected["ema"][untouched] = average[untouched]
        if t == work.steps // 2:
            driver.flush()
    driver.flush()
    assert_close(driver.arrays, expected, 2e-6 if dtype == "float32" else 1e-13, work)
    never = np.setdiff1d(np.arange(work.rows), list(seen))
    assert len(never)
    for name in set(start) - {"ema", *driver.program.scalar_state}:
        assert driver.arrays[name][never].tobytes() == start[name][never].tobytes()
    assert (abs(driver.arrays["ema"] - driver.arrays["p"])[never] < 0.1).all()


def test_without_an_average_lazy_mode_keeps_no_book():
    for given in EVERY_RULE:
        table: Any = Driver(Sparse(given, mode="lazy", rows=2)).table
        assert table.books is None
        assert not table.is_behind
