"""Sparse gradients where it is easy to go wrong: rules that read rows, signs that fade, odd arrays, arrays replaced."""

import re

import numpy as np
import pytest

import stepwell.numpy as door
from stepwell.numpy import Rows
from stepwell.rule import Decay, Rate, maximum, row_mean, rule, sqrt
from tests.numpy.test_sparse import ROWS, WIDTH, assert_equal, batches, dense, rows_of, table


@rule
def fading_rows(g, s, *, lr: Rate = 0.1, beta: Decay = 0.5):
    """RMSProp with one mean a row."""
    s = beta * s + (1 - beta) * row_mean(g**2)
    return lr * g / (sqrt(s) + 1e-8), s


@rule
def old_rows(g, s, *, lr: Rate = 0.1):
    """An element's step reads what its row had before."""
    return lr * g * (1 + s), s + row_mean(abs(g))


@rule
def negative_moment(g, v, *, lr: Rate = 0.1):
    """A root of a negated state."""
    v = 0.9 * v - g**2
    return lr * sqrt(-v), v


@rule(start={"v": 1.0})
def late_largest(g, v, u, *, lr: Rate = 0.1):
    """A largest value that starts below the state that it watches."""
    v = 0.9 * v + 0.1 * g**2
    u = maximum(u, v)
    return lr * u, v, u


@rule(start={"u": -10.0})
def signed_largest(g, m, u, *, lr: Rate = 0.1):
    """A largest value of a state with a sign."""
    m = 0.5 * m + g
    u = maximum(u, m)
    return lr * u, m, u


@pytest.mark.parametrize("given", [fading_rows, old_rows, negative_moment, late_largest, signed_largest], ids=str)
def test_exact_is_dense_for_odd_rules(given):
    mine, theirs = (door.from_rule(given)([table()], sparse=mode) for mode in ("exact", "lazy"))
    for rows in batches():
        mine.step([rows])
        theirs.step([dense(rows)])
    mine.flush()
    assert_equal(mine, theirs, 1e-12)


@pytest.mark.parametrize(("dtype", "gap"), [("float32", 1000), ("float64", 3000)])
def test_a_sign_that_fades_to_nothing(dtype, gap):
    """Lion steps on for as long as its momentum has a sign."""
    mine, theirs = (door.Lion([table(dtype)], lr=0.01, beta2=0.5, sparse=mode) for mode in ("exact", "lazy"))
    first = Rows(np.array([1]), np.ones((1, WIDTH), dtype))
    for rows in (first, *[Rows(np.array([2]), np.ones((1, WIDTH), dtype))] * gap):
        mine.step([rows])
        theirs.step([dense(rows)])
    mine.flush()
    assert_equal(mine, theirs, {"float32": 1e-5, "float64": 1e-12}[dtype])


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 2, 3)], ids=str)
def test_rows_of_a_rule_by_rows_are_the_last_axis(shape):
    mine, theirs = door.AdagradRowwise([np.ones(shape)]), door.AdagradRowwise([np.ones(shape)])
    rng = np.random.default_rng(0)
    for _ in range(3):
        rows = Rows(rng.integers(0, ROWS, 4), rng.standard_normal((4, *shape[1:])))
        mine.step([rows])
        theirs.step([dense(rows, shape)])
    assert_equal(mine, theirs, 1e-13)


@pytest.mark.parametrize("spoil", [np.asfortranarray, lambda a: a.astype(a.dtype.newbyteorder(">")), lambda a: a[::1]])
def test_odd_arrays_are_read_as_they_are(spoil):
    indices, values = np.array([3, 3, 9]), np.arange(3.0 * WIDTH).reshape(3, WIDTH)
    odd = Rows(spoil(indices), spoil(values))
    for array in (odd.indices, odd.values):
        array.flags.writeable = False
    mine, theirs = door.Adagrad([table()], sparse="exact"), door.Adagrad([table()])
    mine.step([odd])
    mine.catch_up(0, odd.indices)
    theirs.step([Rows(indices, values)])
    assert_equal(mine, theirs, 0.0)


@pytest.mark.parametrize("meet", ["flush", "catch_up", "state_dict", "sparse step", "dense step"])
@pytest.mark.parametrize("how", ["replaced", "resized"])
def test_an_array_that_changes_while_its_rows_are_behind_is_refused(meet, how):
    params = [table()]
    optimizer = door.Adam(params, sparse="exact")
    for k in (1, 2):
        optimizer.step([rows_of(k)])
    if how == "replaced":
        params[0] = params[0].copy()
    else:
        params[0].resize((2 * ROWS, WIDTH), refcheck=False)
    before = params[0].copy()
    actions = {
        "flush": optimizer.flush, "state_dict": optimizer.state_dict, "catch_up": lambda: optimizer.catch_up(0, [1]),
        "sparse step": lambda: optimizer.step([rows_of(3)]), "dense step": lambda: optimizer.step([0 * params[0]]),
    }  # fmt: skip
    with pytest.raises((RuntimeError, ValueError), match=re.escape("flush()") if how == "replaced" else "now|replaced"):
        actions[meet]()
    np.testing.assert_array_equal(params[0], before)


def test_a_refused_first_gradient_leaves_no_state():
    optimizer = door.Adam([table()])
    with pytest.raises(IndexError):
        optimizer.step([rows_of(ROWS)])
    assert not optimizer.state


def test_an_array_that_is_taken_out_while_its_rows_are_behind_is_refused():
    params = {"a": table(), "b": np.ones(2)}
    optimizer = door.Adam(params, sparse="exact")
    for k in (1, 2):
        optimizer.step({"a": rows_of(k), "b": None})
    del params["a"]
    with pytest.raises(RuntimeError, match=re.escape("flush()")):
        optimizer.flush()
