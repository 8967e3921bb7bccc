"""Sparse gradients of NumPy arrays: lazy touches the rows that are named, exact equals the dense optimizer."""

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import stepwell.numpy as door
from stepwell import rules, schedules
from stepwell.kernels import Stages, cpu, eager
from stepwell.numpy import Rows

ROWS, WIDTH, STEPS = 40, 3, 60
KINDS = [door.Adam, door.Momentum, door.Rmsprop, door.Adagrad, door.Adamax, door.Nadam, door.AdagradRowwise]
RATE = schedules.warmup(5).then(schedules.cosine(STEPS, rate=0.1))


@pytest.fixture(params=["kernel", "eager"])
def engine(request, monkeypatch) -> str:
    if request.param == "eager":
        monkeypatch.setattr(cpu, "usable", lambda: False)
    return request.param


def batches(dtype: str = "float64", steps: int = STEPS) -> list[Rows]:
    """Repeats, rows that wait long, empty batches, sizes over four decades."""
    rng = np.random.default_rng(0)
    found = []
    for k in range(steps):
        n = 0 if k % 11 == 5 else int(rng.integers(1, 6))
        indices = (ROWS * rng.random(n) ** 3).astype(np.int32 if k % 2 else np.int64)
        found.append(Rows(indices, (rng.standard_normal((n, WIDTH)) * 10.0 ** (k % 4 - 2)).astype(dtype)))
    return found


def dense(rows: Rows, shape: tuple[int, ...] = (ROWS, WIDTH)) -> np.ndarray:
    g = np.zeros(shape, rows.values.dtype)
    np.add.at(g, rows.indices, rows.values)
    return g


def table(dtype: str = "float64", order: Any = "C") -> np.ndarray:
    return np.asarray(np.random.default_rng(1).standard_normal((ROWS, WIDTH)).astype(dtype), order=order)


def assert_equal(one: door.Optimizer, other: door.Optimizer, tolerance: float) -> None:
    pairs = [(one.params[0], other.params[0]), *((x, other.state[0][s]) for s, x in one.state[0].items())]
    for found, expected in pairs:
        assert np.abs(np.float64(found) - expected).max() <= tolerance * np.abs(np.float64(expected)).max()


@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.01}, {"ema": 0.9, "clip_norm": 0.5, "maximize": True}], ids=str
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_exact_is_dense(kind, options, engine):
    mine, theirs = (kind([table()], lr=RATE, **options, **mode) for mode in ({"sparse": "exact"}, {}))
    for rows in batches():
        mine.step([rows])
        theirs.step([dense(rows)])
    if engine == "kernel" and kind not in (door.Adagrad, door.AdagradRowwise):
        with pytest.raises(AssertionError):  # rows are behind, until they are not
            assert_equal(mine, theirs, 1e-9)
    mine.flush()
    assert_equal(mine, theirs, 1e-12)


def test_exact_is_dense_in_single_precision():
    mine, theirs = door.Adam([table("float32")], sparse="exact"), door.Adam([table("float32")])
    for rows in batches("float32"):
        mine.step([rows])
        theirs.step([dense(rows)])
    mine.flush()
    assert_equal(mine, theirs, 1e-6)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", rules.named)
def test_lazy_is_the_rule_on_the_rows_that_are_named(name, order, engine):
    rule = rules.named[name]
    p, expected = table(order=order), table()
    optimizer = door.from_rule(rule)([p], lr=0.1)
    hyper = rule.complete({"lr": 0.1})
    program = cpu.program(rule, Stages())
    state = {s: np.full(program.shape_of(s, p.shape), rule.start_of(s, hyper)) for s in rule.state}
    for t, rows in enumerate(batches(steps=8), 1):
        optimizer.step([rows])
        named = np.unique(rows.indices)
        part = {s: x if s in program.scalar_state else x[named] for s, x in state.items()}
        part = {s: float(x) if s in program.scalar_state else x for s, x in part.items()}
        new = eager.step(rule, {"p": expected[named], "g": dense(rows)[named], **part}, {**hyper, "t": t})
        expected[named] = new["p"]
        for s in rule.state:
            state[s][... if s in program.scalar_state else named] = new[s]
    assert np.abs(p - expected).max() <= 1e-12
    assert all(np.abs(optimizer.state[0][s] - state[s]).max() <= 1e-9 * np.abs(state[s]).max() for s in rule.state)


@pytest.mark.parametrize("form", ["coo_array", "csr_array", "csc_matrix", "coo_matrix"])
@pytest.mark.parametrize("kind", [door.Adagrad, door.AdagradRowwise], ids=lambda kind: kind.__name__)
def test_sparse_matrices_of_scipy_name_single_numbers(form, kind):
    g = np.zeros((ROWS, WIDTH))
    g[[3, 3, 9], [0, 2, 1]] = [1.0, -2.0, 0.5]
    mine, theirs = kind([table()]), kind([table()])
    for scale in (1.0, 0.1):
        mine.step([getattr(scipy.sparse, form)(scale * g)])
        theirs.step([scale * g])
    assert_equal(mine, theirs, 1e-15)


def test_a_stored_zero_is_named_and_a_missing_number_is_not():
    g = scipy.sparse.coo_array(([0.0], ([3], [1])), shape=(ROWS, WIDTH))
    mine = door.Adam([table()])
    mine.step([scipy.sparse.coo_array(dense(Rows(np.array([3]), np.ones((1, WIDTH)))))])
    before = mine.params[0].copy()
    mine.step([g])
    assert list(zip(*np.nonzero(mine.params[0] != before), strict=True)) == [(3, 1)]


def test_rows_of_a_vector_and_of_a_box():
    for shape in ((ROWS,), (ROWS, 2, 3)):
        rows = Rows(np.array([5, 5, 1]), np.ones((3, *shape[1:])))
        mine, theirs = door.Adagrad([np.ones(shape)]), door.Adagrad([np.ones(shape)])
        mine.step([rows])
        theirs.step([dense(rows, shape)])
        assert_equal(mine, theirs, 1e-15)


def test_half_precision_gradients_of_a_single_precision_table():
    rows = Rows(np.array([5, 5, 1]), np.full((3, WIDTH), 0.25, np.float16))
    mine, theirs = door.Adagrad([table("float32")]), door.Adagrad([table("float32")])
    mine.step([rows])
    theirs.step([np.float32(dense(rows))])
    assert_equal(mine, theirs, 1e-6)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["sparse", "dense", "none", "catch up", "flush", "save", "pickle"]), max_size=25),
    st.data(),
)
def test_whatever_happens_between_steps_exact_is_dense(events, data):
    mine, theirs = door.Adam([table()], lr=0.1, sparse="exact"), door.Adam([table()], lr=0.1)
    rng = np.random.default_rng(len(events))
    for event in events:
        rows = Rows(rng.integers(0, ROWS, 3), rng.standard_normal((3, WIDTH)))
        if event in ("sparse", "dense", "none"):
            mine.step([{"sparse": rows, "dense": dense(rows), "none": None}[event]])
            theirs.step([None if event == "none" else dense(rows)])
        elif event == "catch up":
            indices = data.draw(st.lists(st.integers(0, ROWS - 1), max_size=5))
            mine.catch_up(0, np.array(indices, np.int64))
            assert np.abs(mine.params[0][indices] - theirs.params[0][indices]).max(initial=0.0) <= 1e-13
        elif event == "flush":
            mine.flush()
        elif event == "save":
            mine.load_state_dict(mine.state_dict())
        else:
            mine = pickle.loads(pickle.dumps(mine))
    mine.flush()
    if mine.state:
        assert_equal(mine, theirs, 1e-12)


def rows_of(*indices: int, width: int = WIDTH, dtype: str = "float64") -> Rows:
    return Rows(np.array(indices), np.ones((len(indices), width), dtype))


BAD = [
    (rows_of(0, ROWS), IndexError, f"indices[1] must be a row of the table, from 0 to {ROWS - 1}; got {ROWS}"),
    (rows_of(-1), IndexError, f"indices[0] must be a row of the table, from 0 to {ROWS - 1}; got -1"),
    (rows_of(1, width=WIDTH + 1), ValueError, "grads[1].values must have the shape (1, 3); got (1, 4)"),
    (rows_of(1, dtype="float32"), TypeError, "grads[1].values must be float64; got float32"),
    (Rows(np.array([1.0]), np.ones((1, WIDTH))), TypeError, "grads[1].indices must be int32 or int64"),
    (Rows(np.array([[1]]), np.ones((1, 1, WIDTH))), TypeError, "of one axis; got int64 (1, 1)"),
    (scipy.sparse.coo_array((ROWS, WIDTH + 1)), ValueError, "grads[1] must have the parameter's shape (40, 3)"),
    (Rows(np.array([2]), np.full((1, WIDTH), np.nan)), FloatingPointError, "the gradient of 1 has a NaN"),
]  # fmt: skip


@pytest.mark.parametrize("sparse", ["lazy", "exact"])
@pytest.mark.parametrize(("bad", "error", "message"), BAD, ids=range(len(BAD)))
def test_bad_gradients_change_nothing(bad, error, message, sparse, engine):
    optimizer = door.Adam([np.ones(3), table(), table()], check_finite=True, sparse=sparse)
    optimizer.step([np.ones(3), rows_of(1, 2), rows_of(4)])
    optimizer.flush()
    before = copy.deepcopy((optimizer.params, optimizer.state, optimizer.updates))
    with pytest.raises(error, match=re.escape(message)):
        optimizer.step([np.ones(3), bad, rows_of(4)])
    for old, new in zip(before[0], optimizer.params, strict=True):
        np.testing.assert_array_equal(old, new)
    for key, state in before[1].items():
        for name, old in state.items():
            np.testing.assert_array_equal(old, optimizer.state[key][name])
    assert optimizer.updates == before[2]


@pytest.mark.parametrize("what", ["table", "state"])
def test_a_table_that_is_replaced_while_rows_are_behind_is_refused(what):
    params = [table()]
    optimizer = door.Adam(params, sparse="exact")
    optimizer.step([rows_of(1)])
    optimizer.step([rows_of(2)])
    if what == "table":
        params[0] = params[0].copy()
    else:
        optimizer.state[0] = {**optimizer.state[0], "m": optimizer.state[0]["m"].copy()}
    before = params[0].copy()
    with pytest.raises(RuntimeError, match=re.escape("call the optimizer's flush() before replacing it")):
        optimizer.step([rows_of(3)])
    np.testing.assert_array_equal(before, params[0])


def test_catching_up_refuses_what_is_not_there():
    optimizer = door.Adam([table()], sparse="exact")
    optimizer.step([rows_of(1)])
    for key, indices, error in (
        (1, [0], KeyError),
        (0, [ROWS], IndexError),
        (0, [-1], IndexError),
        (0, [0.5], TypeError),
    ):
        with pytest.raises(error):
            optimizer.catch_up(key, indices)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=re.escape("sparse must be 'lazy' or 'exact'; got 'dense'")):
        door.Adam([table()], sparse="dense")
