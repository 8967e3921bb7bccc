"""Row-wise Adagrad over NumPy arrays: one number a row, in whatever dtype and order the table lies in memory."""

import pickle
import re
from typing import Any

import numpy as np
import pytest

import stepwell.numpy as door
from stepwell import rules
from stepwell.kernels import cpu
from stepwell.rule import Rate, row_mean, rule
from tests.numpy import snapshot
from tests.numpy.reference import TOLERANCE, assert_close, trained
from tests.numpy.test_steps import layouts
from tests.rules.test_adagrad import GRADIENTS, TABLE, adagrad_of_rows

HYPER = {"lr": 0.3, "eps": 0.1, "initial_accumulator": 0.5}


def fit(p: np.ndarray, gradients: Any = GRADIENTS, **options: Any) -> door.Optimizer:
    optimizer = door.AdagradRowwise([p], **HYPER, **options)
    for g in gradients:
        optimizer.step([g.astype(p.dtype)])
    return optimizer


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_table_is_the_longhand(dtype):
    p = TABLE.astype(dtype)
    gradients = GRADIENTS[:5].astype(dtype)  # beyond, the sum is too large for float16
    *_, (table, sums) = adagrad_of_rows(p, gradients, **HYPER)
    optimizer = fit(p, gradients)
    s = optimizer.state[0]["s"]
    assert (s.shape, s.dtype) == ((3, 1), dtype)
    assert_close([p, s], [table, sums])


@pytest.mark.parametrize("shape", [(), (0,), (5,), (1, 1), (3, 0), (0, 3), (2, 3, 5)], ids=str)
def test_a_row_is_what_lies_along_the_last_axis(shape):
    gradients = np.random.default_rng(4).standard_normal((4, *shape))
    p = np.full(shape, 0.5)
    s = fit(p, gradients).state[0]["s"]
    assert s.shape == ((*shape[:-1], 1) if shape else ())
    width = shape[-1] if shape else 1
    if p.size:
        *_, (table, sums) = adagrad_of_rows(
            np.full((p.size // width, width), 0.5), gradients.reshape(4, -1, width), **HYPER
        )
        assert_close([p, s], [table.reshape(shape), sums.reshape(s.shape)])
    else:
        assert (s == HYPER["initial_accumulator"]).all()


@pytest.mark.parametrize("order", layouts(np.zeros((6, 4)), "float32"))
def test_every_order_in_memory(order):
    start = 0.1 * np.random.default_rng(5).standard_normal((6, 4))
    gradients = np.random.default_rng(6).standard_normal((3, 6, 4))
    p = layouts(start, "float64")[order]
    *_, (table, sums) = adagrad_of_rows(start, gradients, **HYPER)
    optimizer = fit(p, gradients)
    assert_close([p, optimizer.state[0]["s"]], [table, sums])


def test_what_surrounds_the_rule():
    options: dict[str, Any] = {"weight_decay": 0.01, "maximize": True, "clip_norm": 0.1, "ema": 0.9}
    p = TABLE.copy()
    expected = trained(rules.adagrad_rowwise, [p], [[g] for g in GRADIENTS], **HYPER, **options)
    optimizer = fit(p, **options, check_finite=True)
    assert_close([p, optimizer.state[0]["ema"]], expected)
    assert optimizer.state[0]["ema"].shape == TABLE.shape


def test_a_rule_of_rows_needs_no_compiler(monkeypatch):
    def no_kernel(*_: Any) -> None:
        raise AssertionError("the dense kernel cannot reduce rows")

    monkeypatch.setattr(cpu, "kernel", no_kernel)
    fit(TABLE.copy())


def test_a_users_rule_of_rows():
    @rule
    def standardized(g, *, lr: Rate = 0.1):
        """Each row less its mean, and of mean square 1."""
        g = g - row_mean(g)
        return lr * g / row_mean(g**2) ** 0.5

    p = np.zeros((2, 3))
    door.from_rule(standardized)([p], lr=1.0).step([np.array([[1.0, 2.0, 3.0], [-8.0, 0.0, 8.0]])])
    np.testing.assert_allclose(p, [[np.sqrt(1.5), 0, -np.sqrt(1.5)]] * 2, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_resumed_run_is_the_run(dtype):
    p = TABLE.astype(dtype)
    optimizer = fit(p, GRADIENTS[:4], ema=0.5)
    saved = pickle.loads(pickle.dumps(optimizer.state_dict()))
    again = door.AdagradRowwise([p.copy()])
    again.load_state_dict(saved)
    for each in (optimizer, again):
        each.step([GRADIENTS[4].astype(dtype)])
    assert snapshot.of(again) == snapshot.of(optimizer)


@pytest.mark.parametrize("value", [np.zeros((3, 4)), np.zeros(3), np.zeros((1, 1)), 0.0], ids=np.shape)
def test_state_of_another_shape_is_refused(value):
    optimizer = fit(TABLE.copy(), GRADIENTS[:2])
    saved = optimizer.state_dict()
    saved["state"][0]["s"] = value
    before = snapshot.of(optimizer)
    with pytest.raises(ValueError, match=re.escape(f"s must have the shape (3, 1); got {np.shape(value)}")):
        optimizer.load_state_dict(saved)
    assert snapshot.of(optimizer) == before


def test_a_table_of_more_rows_needs_new_state():
    params = [TABLE.copy()]
    optimizer = door.AdagradRowwise(params)
    optimizer.step([GRADIENTS[0]])
    params[0] = np.zeros((5, 4))
    with pytest.raises(ValueError, match=re.escape("of shape (5, 4); its state s is float64 of shape (3, 1)")):
        optimizer.step([np.ones((5, 4))])


def test_tolerances_tell_a_sum_from_a_mean():
    """What the comparisons here rest on: another width is another step, far outside of all tolerances."""
    *_, (wide, _) = adagrad_of_rows(TABLE, GRADIENTS, **HYPER)
    *_, (narrow, _) = adagrad_of_rows(TABLE[:, :2], GRADIENTS[:, :, :2], **HYPER)
    assert abs(wide[:, :2] - narrow).max() > 10 * max(TOLERANCE.values()) * abs(wide).max()
