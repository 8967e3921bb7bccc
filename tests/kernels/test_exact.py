"""A table in exact mode, once flushed, is what the dense optimizer makes of the same gradients with zeros elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell import rules, schedules
from stepwell.kernels import Stages, advance
from stepwell.rule import Rule
from tests.kernels.harness import PLAIN
from tests.kernels.own_rules import OWN, largest_so_far
from tests.kernels.sparse import (
    ALL_THREE,
    EVERY_RULE,
    TOLERANCE,
    Driver,
    Sparse,
    assert_close,
    assert_exact,
    dense,
    dense_step,
    sparse,
    stepped,
)

RATE = schedules.warmup(10).then(schedules.cosine(190))
DECAY, EMA = Stages(decay=True), Stages(ema=True)

each_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def by_name(given: list[Rule]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("rule", given, ids=lambda r: r.name)


def test_the_rate_is_zero_at_both_ends():
    assert RATE(0) == RATE(200) == 0
    assert RATE(10) == 1


@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("stages", [PLAIN, ALL_THREE], ids=["plain", "all"])
@each_dtype
@by_name(EVERY_RULE)
def test_exact_is_dense(rule, stages, dtype, width):
    work = Sparse(rule, stages, dtype, width=width, rate=RATE)
    driver = sparse(work)
    assert_close(driver.arrays, dense(work), TOLERANCE[dtype], work)
    assert_close(driver.arrays, dense(work, "float64"), {"float32": 1e-5, "float64": 1e-12}[dtype], work)


@pytest.mark.parametrize(
    "stages",
    [Stages(scale=True), DECAY, EMA, Stages(clip=True), Stages(decay=True, clip_decayed=True)],
    ids=["scale", "decay", "ema", "clip", "clip decayed"],
)
@each_dtype
@by_name([rules.gradient_descent, rules.momentum, rules.adagrad, rules.adamw, rules.yogi, rules.nadam])
def test_with_one_stage(rule, stages, dtype):
    assert_exact(Sparse(rule, stages, dtype, rate=RATE))


@each_dtype
@by_name(OWN)
def test_a_users_rule(rule, dtype):
    touched = Sparse(rule, dtype=dtype, rows=8, touches=20.0, rarity=1.0)  # or 0/0 in `two_scales`
    for work in (Sparse(rule, dtype=dtype, rate=RATE), replace(touched, rate=RATE), touched):
        driver, arrays = Driver(work), work.start()
        for t, gradient in [(1, (np.arange(work.rows), -work.start()["p"])), *list(work.gradients())[1:]]:
            driver.step(*gradient)
            arrays = dense_step(work, arrays, gradient, t)
        driver.flush()
        assert_close(driver.arrays, arrays, TOLERANCE[dtype], work)


@each_dtype
@pytest.mark.parametrize("growth", [0.9, 1.0, 1.01])
def test_a_maximum_of_what_shrinks_or_grows(growth, dtype):
    assert_exact(Sparse(largest_so_far, dtype=dtype, hyper={"growth": growth}))


LONG = [
    rules.adam, rules.adamw, rules.yogi, rules.nadam, rules.radam, rules.amsgrad, rules.lion, rules.momentum,
    rules.nesterov,
]  # fmt: skip
LONG_RATE = schedules.warmup(10).then(schedules.cosine(1490))


def long_ago(work: Sparse) -> Sparse:
    """Few touches of many rows: drift dies away and entries are frozen."""
    return replace(work, rows=100, steps=1500, touches=0.5, rarity=2.0)


@each_dtype
@by_name(LONG)
def test_over_many_steps(rule, dtype):
    work = long_ago(Sparse(rule, dtype=dtype, rate=LONG_RATE))
    book = stepped(work).table.ledger
    assert book is not None
    if rule is not rules.lion:  # whose sign never dies away
        assert book.low >= 2 * advance.BLOCK
        assert ((book.last > 0) & (book.last < book.low)).sum() > 10
    assert_exact(work)


ODD = [
    (rules.adam, {"beta1": 0.0, "beta2": 0.9}), (rules.adam, {"beta1": 0.0, "beta2": 0.9, "eps": 0.1}),
    (rules.adam, {"beta2": 0.9, "eps": 0.1}), (rules.adam, {"beta1": 0.99, "beta2": 0.9, "eps": 0.1}),
    (rules.adam, {"beta2": 0.0, "eps": 0.1}), (rules.adam, {"beta1": 0.9, "beta2": 0.81, "eps": 0.01}),
    (rules.adam, {"beta1": 0.9, "beta2": 0.01, "eps": 0.1}), (rules.adam, {"beta1": 0.999, "beta2": 0.5, "eps": 1e-3}),
    (rules.adam, {"beta2": 0.99, "eps": 0.1}), (rules.adam, {"eps": 1e-30}), (rules.adam, {"eps": 1e3}),
    (rules.adam, {"lr": 0.0}), (rules.yogi, {"beta1": 0.99, "beta2": 0.9, "eps": 0.1}),
    (rules.yogi, {"initial_accumulator": 0.1}), (rules.amsgrad, {"beta1": 0.99, "beta2": 0.9, "eps": 0.1}),
    (rules.nadam, {"momentum_decay": 0.0, "beta2": 0.9, "eps": 0.1}), (rules.nadam, {"momentum_decay": 1.0}),
    (rules.radam, {"beta2": 0.5}), (rules.radam, {"beta2": 0.9, "eps": 0.1}), (rules.radam, {"beta2": 0.99}),
    (rules.momentum, {"beta": 0.0}), (rules.momentum, {"beta": 0.999}), (rules.momentum_dampened, {"dampening": 2.0}),
    (rules.nesterov, {"beta": 0.999}), (rules.lion, {"weight_decay": 0.5}), (rules.lion, {"beta1": 0.0}),
    (rules.lion, {"beta2": 0.0}), (rules.adamw, {"weight_decay": 10.0}),
    (rules.adamw, {"lr": 0.1, "weight_decay": 10.0}),
    (rules.adamw, {"lr": 0.1, "weight_decay": 10.0, "eps": 0.1}), (rules.adamw, {"weight_decay": 0.0}),
    (rules.adamw, {"lr": 0.15, "weight_decay": 10.0, "eps": 0.1}), (rules.rmsprop, {"gamma": 0.0}),
    (rules.rmsprop, {"gamma": 1.0}), (rules.rmsprop_momentum, {"beta": 0.999}), (rules.adadelta, {"rho": 0.0}),
]  # fmt: skip


@each_dtype
@pytest.mark.parametrize(("rule", "hyper"), ODD, ids=lambda x: x.name if isinstance(x, Rule) else str(x))
def test_odd_hyperparameters(rule, hyper, dtype):
    assert_exact(Sparse(rule, dtype=dtype, hyper=hyper))
    assert_exact(Sparse(rule, dtype=dtype, hyper=hyper, rate=lambda k: float(k % 5 != 2)))


@pytest.mark.parametrize("hyper", [{"beta1": 0.99, "beta2": 0.1, "eps": 0.1}, {"beta1": 0.999, "beta2": 0.5}])
def test_weights_that_grow_beyond_all_numbers(hyper):
    """Where β₁² > β₂ a row's later drifts are larger than its first; what overflows is replayed."""
    assert_exact(long_ago(Sparse(rules.adam, dtype="float64", hyper=hyper)))


@each_dtype
def test_without_epsilon(dtype):
    """Every row has been touched before: else 0/0, in the dense optimizer as here."""
    work = replace(Sparse(rules.adam, dtype=dtype, hyper={"eps": 0.0}), age=1000)
    assert_exact(work)


@each_dtype
@by_name([rules.adam, rules.yogi])
def test_a_rate_that_rises_by_decades(rule, dtype):
    """What a row drifts at the new rate is not lost beside what it did at the old."""
    for power in (3, 6, 9):
        assert_exact(long_ago(Sparse(rule, dtype=dtype, rate=lambda k, e=power: 10.0**-e if k % 500 < 400 else 1.0)))


@each_dtype
@by_name(EVERY_RULE)
def test_a_table_that_was_loaded(rule, dtype):
    """At step 1000, with the state it then had."""
    work = Sparse(rule, dtype=dtype, age=1000, steps=60)
    start = work.start()
    assert all(start[name].any() for name in rule.state)
    assert_exact(work)
