# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Odd layouts, half precision, and what Paddle's autograd sees of a step."""

import numpy as np
import paddle
import pytest

import stepwell.paddle as door
from stepwell import rules
from stepwell.paddle import from_rule
from tests.doors.paddle.harness import distance, give, gradients, parameters, train

DTYPES = ("float16", "bfloat16")


def test_gradients_that_are_not_in_one_piece():
    w, twin = paddle.create_parameter([3, 4], "float32"), paddle.create_parameter([3, 4], "float32")
    twin.set_value(w)
    mine, other = door.Adam(0.1, parameters=[w]), door.Adam(0.1, parameters=[twin])
    for k in range(5):
        g = paddle.to_tensor(np.random.default_rng(k).standard_normal((4, 3)), "float32")
        w.clear_gradient(False)
        (w.t() * g).sum().backward()
        assert not w._grad_ivar().is_contiguous()
        twin.grad = g.t().contiguous()
        mine.step()
        other.step()
    assert (w.numpy() == twin.numpy()).all()


@pytest.mark.parametrize("name", ["Adam", "RMSProp", "NAdam", "Momentum"])
def test_parameters_that_are_not_in_one_piece(name):
    whole, _ = train(lambda ps: getattr(door, name)(0.1, parameters=ps), "float32", shapes=([3, 4],))
    start = parameters("float32", ([3, 4],))[0]
    strided = paddle.base.framework.EagerParamBase.from_tensor(start.t().contiguous().t())
    assert not strided.is_contiguous()
    optimizer = getattr(door, name)(0.1, parameters=[strided])
    for row in gradients("float32", ([3, 4],)):
        if row[0] is not None:
            strided.grad = paddle.to_tensor(row[0])
            optimizer.step()
    assert distance([strided.numpy()], whole) <= 2e-6


def low(dtype, seed=0):
    rng = np.random.default_rng(seed)
    p = paddle.create_parameter([37], "float32").astype(dtype)
    p = paddle.base.framework.EagerParamBase.from_tensor(p)
    p.set_value(paddle.to_tensor(rng.standard_normal(37), "float32").astype(dtype))
    return p


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["SGD", "Momentum", "Adam", "AdamW"])
def test_master_weights(name, dtype):
    """In half precision with a master weight: a training in single precision, whose parameter is rounded."""
    p = low(dtype)
    twin = paddle.create_parameter([37], "float32")
    twin.set_value(p.astype("float32"))
    mine = getattr(door, name)(0.01, parameters=[p], multi_precision=True)
    theirs = getattr(paddle.optimizer, name)(0.01, parameters=[twin])
    for row in gradients("float32", ([37],), 20):
        g = paddle.to_tensor(row[0]).astype(dtype)
        p.grad, twin.grad = g, g.astype("float32")
        mine.step()
        theirs.step()
    master = mine.state_dict()["master_weights"][p.name]
    assert master.dtype == paddle.float32
    assert master.name == f"{p.name}_fp32_master_0"
    assert abs(master.numpy() - twin.numpy()).max() <= 2e-6 * max(1.0, abs(twin.numpy()).max())
    assert (p.astype("float32").numpy() == master.astype(dtype).astype("float32").numpy()).all()
    assert all("_fp32_master_0_" in k for k in mine.state_dict() if k != "master_weights")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["gradient_descent", "adam", "nadam", "adagrad_rowwise"])
def test_rules_in_half_precision(name, dtype):
    """Computed in single precision, state kept in it, the parameter rounded at each step."""
    p = low(dtype)
    optimizer = from_rule(rules.named[name])(0.05, parameters=[p])
    start = p.astype("float32").numpy()
    single = paddle.create_parameter([37], "float32")
    single.set_value(start)
    twin = from_rule(rules.named[name])(0.05, parameters=[single])
    for row in gradients("float32", ([37],), 10):
        g = paddle.to_tensor(row[0]).astype(dtype)
        p.grad, single.grad = g, g.astype("float32")
        optimizer.step()
        twin.step()
    found = p.astype("float32").numpy()
    step = 2.0 ** (-10 if dtype == "float16" else -7)
    assert (found != start).any()
    assert abs(found - single.numpy()).max() <= 10 * step * abs(single.numpy()).max()


def test_master_weights_go_through_a_file(tmp_path):
    def run(steps, saved=None, start=None):
        with paddle.utils.unique_name.guard():
            p = low("bfloat16")
            if start is not None:
                p.set_value(start)
            optimizer = door.Adam(0.01, parameters=[p], multi_precision=True)
            if saved:
                optimizer.set_state_dict(paddle.load(saved))
            for row in steps:
                p.grad = paddle.to_tensor(row[0]).astype("bfloat16")
                optimizer.step()
            return p, optimizer

    given = gradients("float32", ([37],), 20)
    whole, optimizer = run(given)
    expected = optimizer.state_dict()["master_weights"][whole.name].numpy()
    half, optimizer = run(given[:10])
    paddle.save(optimizer.state_dict(), str(tmp_path / "state"))
    found, optimizer = run(given[10:], str(tmp_path / "state"), half)
    assert (optimizer.state_dict()["master_weights"][found.name].numpy() == expected).all()


def test_a_backward_pass_that_needs_the_old_values_is_refused():
    """Paddle's own optimizers change the values beneath it: the gradient is that of neither."""
    w = paddle.create_parameter([3], "float32")
    loss = (w * w * w).sum()
    loss.backward(retain_graph=True)
    door.SGD(0.1, parameters=[w]).step()
    with pytest.raises(RuntimeError, match="inplace operator"):
        loss.backward()


def test_a_forward_pass_after_the_step_sees_it():
    w = paddle.create_parameter([3], "float32")
    optimizer = door.SGD(0.25, parameters=[w])
    for _ in range(3):
        before = w.numpy()
        (w * w).sum().backward()
        optimizer.step()
        optimizer.clear_grad()
        np.testing.assert_allclose((w * 1).numpy(), before - 0.25 * 2 * before, rtol=1e-6)


def test_values_set_from_outside_are_taken():
    params = parameters("float32")
    optimizer = door.Adam(0.1, parameters=params)
    for k, row in enumerate(gradients("float32", steps=6)):
        give(params, row)
        optimizer.step()
        for p in params:
            p.set_value(np.full(p.shape, k, "float32"))
        assert all((p.numpy() == k).all() for p in params)
    give(params, [np.ones(p.shape, "float32") for p in params])
    optimizer.step()
    assert all((p.numpy() != 5).all() for p in params if p.size)


def test_gradients_that_come_and_go():
    """The table is kept while the same parameters have gradients, and made anew where others do."""
    given = gradients("float32")
    for k, row in enumerate(given):
        row[k % 5] = None
    mine, _ = train(lambda ps: door.Adam(0.1, parameters=ps), "float32", given)
    theirs, _ = train(lambda ps: paddle.optimizer.Adam(0.1, parameters=ps), "float32", given)
    assert distance(mine, theirs) <= 2e-6


def test_a_gradient_may_change_its_layout_from_step_to_step():
    """The table of addresses that is kept is of dense gradients."""
    w, twin = paddle.create_parameter([4, 4], "float32"), paddle.create_parameter([4, 4], "float32")
    twin.set_value(w)
    mine, other = door.Momentum(0.1, parameters=[w]), door.Momentum(0.1, parameters=[twin])
    for k in range(6):
        g = paddle.to_tensor(np.random.default_rng(k).standard_normal((4, 4)), "float32")
        mine.apply_gradients([(w, g.t() if k % 2 else g)])
        other.apply_gradients([(twin, g.t().contiguous() if k % 2 else g)])
    assert (w.numpy() == twin.numpy()).all()
