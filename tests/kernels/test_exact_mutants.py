"""The comparison with the dense optimizer must reject every wrong book, settlement and sum that is kept here."""

import functools
from dataclasses import replace
from typing import Any

import pytest

from stepwell import rules
from stepwell.kernels import advance, ledger, merge, settle
from stepwell.kernels.advance import FLAG, IRREGULAR, KEEP, MASS
from tests.kernels.own_rules import largest_later, momentum_then_adam, two_scales
from tests.kernels.sparse import ALL_THREE, Driver, Sparse, assert_exact, unkept  # noqa: F401

EASY = Sparse(rules.adam, dtype="float64")
SPREAD = Sparse(rules.adam, dtype="float64", hyper={"lr": 1.0, "beta2": 0.99, "eps": 0.1}, age=1000)
PULLED = Sparse(rules.adamw, dtype="float64", hyper={"weight_decay": 10.0})
COARSE = Sparse(rules.adam, dtype="float64", hyper={"beta2": 0.9, "eps": 0.1}, rate=lambda k: 1.0 + k % 3)
REPLAYED = Sparse(rules.adamax, dtype="float64", rate=lambda k: 1.0 + k % 3)
AVERAGED = Sparse(rules.momentum, ALL_THREE, "float64")
LONG_AGO = Sparse(rules.adamw, dtype="float64", rows=100, steps=1000, touches=0.5, rarity=2.0, age=1000)
TURNING = Sparse(momentum_then_adam, dtype="float64", hyper={"beta": 0.4})
GROWING_LATER = Sparse(largest_later, dtype="float64", hyper={"beta": 0.4}, touches=0.5)
OPPOSITE = Sparse(rules.adamw, dtype="float64", hyper={"lr": 0.15, "weight_decay": 10.0, "eps": 0.1})
GROWING = Sparse(rules.adam, dtype="float64", hyper={"beta2": 0.01, "eps": 0.1}, steps=1000)

# What is wrong with `advance` or `settle`: the text, what stands in its place, and where that shows.
WRONG: dict[str, tuple[str, str, str, Sparse]] = {
    "the last missed step is forgotten": ("settle", "while slot < count and", "while slot < count - 1 and", REPLAYED),
    "the last step of an average is forgotten": (
        "settle", "while slot < count and", "while slot < count - 1 and", AVERAGED,
    ),
    "a step has the numbers of the one before": ("settle", "history[slot, ", "history[max(slot - 1, 0), ", REPLAYED),
    "a coarse row is replayed with other numbers": ("settle", "history[slot, ", "history[max(slot - 1, 0), ", COARSE),
    "every step has the same spread": ("settle", " - r_spread0 * (y * y) / level", "", SPREAD),
    "the second level is left out": ("settle", " - r_spread1 * (y * y) / level", "", SPREAD),
    "epsilon is left out": ("settle", "level = x + r_centre0 * y", "level = x", SPREAD),
    "m is not scaled": ("settle", "r_scale_m * r_m", "r_m", EASY),
    "v is not scaled": ("settle", "r_scale_v * r_v", "r_v", EASY),
    "p is not pulled": ("settle", "r_keep * r_p", "r_p", PULLED),
    "a frozen block's pull is left out": ("settle", f" * since[{KEEP}, block]", "", LONG_AGO),
    "a frozen block's scale of v is left out": ("settle", " * since[3, block]", "", LONG_AGO),
    "drift is not scaled by keep": ("advance", f"entries[{MASS}, k] * keep", f"entries[{MASS}, k]", PULLED),
    "keep is not kept": ("advance", f"entries[{KEEP}, k] *= keep", "pass", PULLED),
    "nothing follows a frozen block": ("advance", f"since[{KEEP}, block] *= keep", "pass", LONG_AGO),
    "a weight is that of the row's last step": ("advance", "weight = ", "scale = 1.0; weight = ", EASY),
    "a centre is the last": ("advance", "centre - (moved - shift)", "node", SPREAD),
    "an irregular step is taken for a regular one": ("advance", f"entries[{FLAG}, k] = {IRREGULAR}", "pass", TURNING),
    "a frozen block knows of no irregular step": (
        "advance", f"since[{FLAG}, block] = {IRREGULAR}", "pass", GROWING_LATER,
    ),
    "weights of two signs are one measure": ("advance", " and keep > 0.0", "", OPPOSITE),
    "an error that is not a number is none": ("advance", "if error <= ", "if not error > ", GROWING),
}  # fmt: skip


def spoil(monkeypatch: pytest.MonkeyPatch, kernel: str, old: str, new: str) -> None:
    module = {"advance": advance, "settle": settle}[kernel]
    right = module.source

    def source(*args: Any) -> str:
        text = right(*args)
        assert old in text
        return text.replace(old, new)

    monkeypatch.setattr(module, "source", source)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_is_rejected(name, unkept):  # noqa: F811
    kernel, old, new, work = WRONG[name]
    if work is GROWING_LATER:  # at step 100, when blocks of this size are frozen already
        unkept.setattr(advance, "BLOCK", 8)
    assert_exact(work)
    spoil(unkept, kernel, old, new)
    with pytest.raises(AssertionError, match="error"):
        assert_exact(work)


SLOT = "slots[count] = last[row] - origin"


@pytest.mark.parametrize("work", [EASY, REPLAYED, AVERAGED], ids=lambda w: w.rule.name)
@pytest.mark.parametrize("slot", ["last[row] - origin + 1", "max(last[row] - origin - 1, 0)"], ids=["less", "more"])
def test_a_step_too_few_or_too_many_is_rejected(work, slot, monkeypatch):
    """In what a row is caught up with before it is stepped."""
    assert SLOT in ledger._STALE
    assert_exact(work)
    monkeypatch.setattr(ledger, "_stale", functools.cache(ledger._stale.__wrapped__))
    monkeypatch.setattr(ledger, "_STALE", ledger._STALE.replace(SLOT, f"slots[count] = {slot}"))
    with pytest.raises(AssertionError, match="error"):
        assert_exact(work)


@pytest.mark.parametrize("work", [EASY, REPLAYED, AVERAGED], ids=lambda w: w.rule.name)
def test_rows_that_are_not_caught_up_are_rejected(work, monkeypatch):
    monkeypatch.setattr(ledger.Ledger, "catch_up", lambda *_: 0)
    with pytest.raises(AssertionError, match="error"):
        assert_exact(work)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_drift_that_is_left_out_too_early_is_rejected(dtype, unkept):  # noqa: F811
    work = replace(LONG_AGO, dtype=dtype)
    assert_exact(work)
    unkept.setitem(advance.FADED, dtype, 0.05)
    with pytest.raises(AssertionError, match="error"):
        assert_exact(work)


def test_one_level_where_more_are_needed_is_rejected(unkept):  # noqa: F811
    """And with its error, every entry is replayed: right again."""
    unkept.setattr(advance, "LEVELS", 1)
    assert_exact(SPREAD)
    unkept.setitem(advance.BOUND, "float64", 1.0)
    with pytest.raises(AssertionError, match="error"):
        assert_exact(SPREAD)


SECOND = "sum_of(sums, total + j) + {real}(load(values, value + j))"


@pytest.mark.parametrize("kept", ["sum_of(sums, total + j)", "{real}(load(values, value + j))"], ids=["first", "last"])
def test_a_sum_that_drops_repeats_is_rejected(kept, monkeypatch):
    assert SECOND in merge._ADD
    assert_exact(EASY)
    monkeypatch.setattr(merge, "_add", functools.cache(merge._add.__wrapped__))
    monkeypatch.setattr(merge, "_ADD", merge._ADD.replace(SECOND, kept))
    with pytest.raises(AssertionError, match="error"):
        assert_exact(EASY)


def test_a_quotient_by_a_state_that_is_zero_is_rejected(unkept):  # noqa: F811
    """A sum of two states is not divided by one of them."""

    def settled() -> Driver:
        return assert_exact(Sparse(two_scales, dtype="float64", rows=8, touches=20.0, rarity=1.0, age=1000))

    settled()
    spoil(unkept, "settle", "level = x", "x, y = x / y, 1.0; level = x")
    with pytest.raises(AssertionError, match="error"):
        settled()
