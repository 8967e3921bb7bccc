# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Gradients of rows, as nn.Embedding(sparse=True) gives them."""

import numpy as np
import paddle
import pytest
from paddle.nn import ClipGradByGlobalNorm, ClipGradByNorm, ClipGradByValue
from paddle.regularizer import L1Decay

import stepwell.paddle as door
from stepwell import rules
from stepwell.paddle import from_rule

ROWS, WIDTH, STEPS = 40, 3, 30


def train(make, sparse=True, dtype="float32", ordered=False):
    """A table after 30 steps; `ordered` names rows in order and the last one always, behind which Paddle's Adam that is
    not lazy reads on and takes what it finds there for rows."""
    with paddle.utils.unique_name.guard():
        paddle.set_default_dtype(dtype)
        words = paddle.nn.Embedding(ROWS, WIDTH, sparse=sparse)
        words.weight.set_value(np.random.default_rng(3).standard_normal((ROWS, WIDTH)).astype(dtype))
        optimizer = make(words.parameters())
        rng = np.random.default_rng(4)
        for _ in range(STEPS):
            ids = rng.integers(0, ROWS, 9)
            weights = rng.standard_normal((9, WIDTH)).astype(dtype)
            if ordered:
                ids = np.sort([*ids[1:], ROWS - 1])
            out = words(paddle.to_tensor(ids))
            (out * paddle.to_tensor(weights)).sum().backward()
            assert words.weight._grad_ivar().is_selected_rows() is sparse
            optimizer.step()
            optimizer.clear_grad()
        return words.weight.numpy()


CASES = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"grad_clip": ClipGradByGlobalNorm(0.5)}),
    ("SGD", {"grad_clip": ClipGradByNorm(0.5)}),
    ("Momentum", {}),
    ("Momentum", {"use_nesterov": True}),
    ("Momentum", {"weight_decay": 0.1}),
    ("Momentum", {"weight_decay": L1Decay(0.1)}),
    ("Adagrad", {}),
    ("RMSProp", {}),
    ("RMSProp", {"centered": True, "momentum": 0.9}),
    ("Adam", {"lazy_mode": True}),
    ("Adam", {"lazy_mode": True, "amsgrad": True, "epsilon": 0.1}),
    ("Adam", {"lazy_mode": True, "grad_clip": ClipGradByGlobalNorm(0.5)}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_numbers_are_paddles_where_its_rows_are_in_order(name, options):
    found = train(lambda ps: getattr(door, name)(0.1, parameters=ps, **options), ordered=True)
    expected = train(lambda ps: getattr(paddle.optimizer, name)(0.1, parameters=ps, **options), ordered=True)
    assert abs(found - expected).max() <= 1e-5  # of numbers up to 30


def test_adam_that_is_not_lazy_is_paddles_but_for_epsilon():
    """Paddle leaves ε unscaled in rows that are not named; √v̂ is 0.01 and more here, ε 1e-8."""
    found = train(lambda ps: door.Adam(0.1, parameters=ps), ordered=True)
    expected = train(lambda ps: paddle.optimizer.Adam(0.1, parameters=ps), ordered=True)
    assert abs(found - expected).max() <= 1e-4


def test_rows_in_any_order_are_all_taken():
    """Paddle's Momentum and RMSProp lose rows that stand before a smaller one, if none is named twice."""
    for name in ("Momentum", "RMSProp"):
        mine, theirs = getattr(door, name), getattr(paddle.optimizer, name)
        dense = train(lambda ps, cls=theirs: cls(0.1, parameters=ps), sparse=False)
        assert abs(train(lambda ps, cls=mine: cls(0.1, parameters=ps)) - dense).max() <= 5e-6
        assert abs(train(lambda ps, cls=theirs: cls(0.1, parameters=ps)) - dense).max() > 0.1


@pytest.mark.parametrize("name", ["Adadelta", "AdamW", "Adamax", "NAdam", "RAdam"])
def test_where_paddle_has_no_kernel_the_step_is_that_of_zeros_elsewhere(name):
    found = train(lambda ps: getattr(door, name)(0.1, parameters=ps))
    dense = train(lambda ps: getattr(paddle.optimizer, name)(0.1, parameters=ps), sparse=False)
    assert abs(found - dense).max() <= 1e-5


def test_clipping_by_value_is_of_the_sums():
    """Paddle's own reads memory that is not the gradient's."""
    make = lambda cls: lambda ps: cls(0.1, parameters=ps, grad_clip=ClipGradByValue(0.5))  # noqa: E731
    assert abs(train(make(door.SGD)) - train(make(paddle.optimizer.SGD), sparse=False)).max() <= 1e-6


@pytest.mark.parametrize("name", rules.named)
def test_exact_is_dense_for_every_rule(name):
    for dtype, limit in (("float32", 1e-5), ("float64", 1e-12)):
        make = lambda ps, **o: from_rule(rules.named[name])(0.05, parameters=ps, **o)  # noqa: E731
        exact = train(lambda ps, make=make: make(ps, sparse="exact"), dtype=dtype)
        dense = train(make, sparse=False, dtype=dtype)
        assert abs(exact - dense).max() <= limit


@pytest.mark.parametrize("name", ["adam", "momentum", "lion", "nadam"])
def test_lazy_leaves_other_rows(name):
    words = paddle.nn.Embedding(ROWS, WIDTH, sparse=True)
    optimizer = from_rule(rules.named[name])(0.1, parameters=words.parameters())
    for ids in ([1, 3], [7, 3, 7]):
        before = words.weight.numpy()
        words(paddle.to_tensor(ids)).square().sum().backward()
        optimizer.step()
        optimizer.clear_grad()
        assert np.flatnonzero((words.weight.numpy() != before).any(1)).tolist() == sorted(set(ids))


def test_dense_and_sparse_gradients_in_turn():
    """Of one optimizer: the state is one and the same."""
    words = paddle.nn.Embedding(ROWS, WIDTH, sparse=True)
    other = paddle.create_parameter([ROWS, WIDTH], "float32")
    other.set_value(words.weight)
    mine, twin = (door.Momentum(0.1, parameters=[p]) for p in (words.weight, other))
    for k in range(6):
        ids = paddle.to_tensor([k, 2, k])
        if k % 2:
            (words.weight * k).sum().backward()
        else:
            words(ids).sum().backward()
        g = words.weight._grad_ivar()
        dense = paddle.zeros([ROWS, WIDTH]) if k % 2 == 0 else g
        if k % 2 == 0:
            for row in ids.tolist():
                dense[row] += 1.0
        other.grad = dense.clone()
        mine.step()
        twin.step()
        mine.clear_grad()
        assert abs(words.weight.numpy() - other.numpy()).max() <= 1e-6
