# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Parameters are written in place, and never while MXNet still reads or writes them."""

import mxnet
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import stepwell.mxnet
from stepwell.mxnet import arrays, optimizer

N, LONG = 500, 12
ROUNDS = 6


def slowly(x):
    """The same numbers, when a dozen products of matrices are done."""
    for _ in range(LONG):
        x = nd.dot(nd.eye(N), x)
    return x


def numbers(seed: int):
    return np.random.default_rng(seed).integers(-64, 64, (N, N)).astype(np.float32)


def stepped(pending: str) -> bool:
    """Steps of gradient descent, each while something is still to be done with its arrays; whether all was right."""
    w, g, expected = nd.array(numbers(0)), nd.array(numbers(1)), numbers(0)
    update = mxnet.optimizer.get_updater(stepwell.mxnet.SGD(learning_rate=0.5))
    right = True
    for k in range(ROUNDS):
        nd.waitall()
        was, gradient = expected, numbers(1)
        if pending == "a write of the parameter":
            was = numbers(10 + k)
            w[:] = slowly(nd.array(was))
        read = w * slowly(nd.ones((N, N))) if pending == "a read of the parameter" else w + 0
        if pending == "a write of the gradient":
            gradient = numbers(20 + k)
            g[:] = slowly(nd.array(gradient))
        update(0, g, w)
        after = w + 0
        expected = was - 0.5 * gradient
        found = [(read, was), (after, expected), (w, expected), (g, gradient)]
        right = right and all(np.array_equal(x.asnumpy(), y) for x, y in found)
    return right


PENDING = ("a write of the parameter", "a read of the parameter", "a write of the gradient")


@pytest.mark.parametrize("pending", PENDING)
def test_a_step_waits_for(pending):
    assert stepped(pending)


@pytest.mark.parametrize("pending", PENDING)
def test_without_waiting_it_would_be_wrong(pending, monkeypatch):
    """Reads are waited for by who has claimed the array alone."""
    if pending == "a read of the parameter":
        monkeypatch.setattr(optimizer, "claim", lambda _: None)
    else:
        monkeypatch.setattr(nd.NDArray, "wait_to_read", lambda _: None)
    assert not stepped(pending)
    nd.waitall()


def test_memory_is_the_arrays_own_and_stays_where_it_is():
    w, g = nd.ones((3, 4)), nd.ones((3, 4))
    part, shared = w[1:2], w.reshape((12,))
    w.wait_to_read()
    at = arrays._address(w)
    mxnet.optimizer.get_updater(stepwell.mxnet.SGD(learning_rate=0.25))(0, g, w)
    assert arrays._address(w) == at
    for x in (w, part, shared):
        assert (x.asnumpy() == 0.75).all()


def test_a_part_of_an_array_is_updated_alone():
    w = nd.ones((4, 3))
    mxnet.optimizer.get_updater(stepwell.mxnet.SGD(learning_rate=0.25))(0, nd.ones((2, 3)), w[1:3])
    assert (w.asnumpy() == np.array([[1.0], [0.75], [0.75], [1.0]])).all()


@pytest.mark.parametrize("hybrid", [False, True])
def test_weights_that_a_kernel_keeps_in_a_layout_of_its_own(hybrid):
    """Convolutions reorder their weights when they predict, and read the new ones after a step."""
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(16, 3, in_channels=16), gluon.nn.Dense(4, in_units=16 * 36))
    net.initialize(mxnet.init.Xavier())
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "stepwell_sgd", {"learning_rate": 0.125, "momentum": 0.5})
    x = nd.array(np.random.default_rng(0).standard_normal((2, 16, 8, 8)))
    other = gluon.nn.HybridSequential()
    other.add(gluon.nn.Conv2D(16, 3, in_channels=16), gluon.nn.Dense(4, in_units=16 * 36))
    other.initialize()
    for mine, theirs in zip(net.collect_params().values(), other.collect_params().values(), strict=True):
        theirs.set_data(mine.data())
    reference = gluon.Trainer(other.collect_params(), "sgd", {"learning_rate": 0.125, "momentum": 0.5})
    for _ in range(4):
        for model, by in ((net, trainer), (other, reference)):
            model(x).wait_to_read()  # a prediction: weights may be laid out anew
            with autograd.record():
                loss = (model(x) ** 2).mean()
            loss.backward()
            by.step(1)
    np.testing.assert_allclose(net(x).asnumpy(), other(x).asnumpy(), rtol=1e-4, atol=1e-6)


def test_several_parameters_are_one_call(monkeypatch):
    from stepwell.kernels import cpu

    calls = []
    run = cpu.Kernel.run
    monkeypatch.setattr(
        cpu.Kernel, "run", lambda self, table, *rest: (calls.append(len(table)), run(self, table, *rest))
    )
    net = gluon.nn.Sequential()
    for _ in range(5):
        net.add(gluon.nn.Dense(3, in_units=3))
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "stepwell_adam")
    with autograd.record():
        loss = net(nd.ones((1, 3))).sum()
    loss.backward()
    trainer.step(1)
    assert calls == [10]


def test_an_error_of_an_operation_before_is_raised_by_the_step_and_changes_nothing():
    w = nd.ones(3)
    update = mxnet.optimizer.get_updater(stepwell.mxnet.SGD())
    with pytest.raises(mxnet.base.MXNetError):
        update(0, nd.random.normal(0, -1, shape=(3,)), w)
    assert (w.asnumpy() == 1).all()
    assert update.optimizer.num_update == 0
