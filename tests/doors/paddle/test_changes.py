# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Parameters and state that become others between steps: as Paddle has it, or refused before anything is written."""

import copy

import numpy as np
import paddle
import pytest

import stepwell.paddle as door
from stepwell import rules
from stepwell.paddle import from_rule

STATEFUL = [door.Adam, door.Momentum, from_rule(rules.lion), from_rule(rules.adam)]


def parameter(*shape, dtype="float32"):
    return paddle.base.framework.EagerParamBase.from_tensor(paddle.zeros(shape, dtype))


def stepped(make, *shape, steps=5, **options):
    p = parameter(*shape)
    optimizer = make(0.1, parameters=[p], **options)
    for _ in range(steps):
        ask(p, 1.0)
        optimizer.step()
    return p, optimizer


def ask(p, value):
    p.clear_gradient(False)
    p.grad = paddle.full(p.shape, value, p.dtype)


def bytes_of(tensors):
    return [np.array(t.astype("float64").numpy()) for t in tensors]


def refuses(p, optimizer, message):
    """The step is refused twice, and leaves all as it was."""
    tensors = [p, *(x for x in optimizer.state_dict().values() if isinstance(x, paddle.Tensor))]
    before = bytes_of(tensors)
    for _ in range(2):
        ask(p, 2.0)
        with pytest.raises(ValueError, match=message):
            optimizer.step()
    assert all(np.array_equal(a, b) for a, b in zip(bytes_of(tensors), before, strict=True))


def bigger(p):
    p.data = paddle.zeros([3000])


def in_place(p):
    p.get_tensor().set(np.zeros(3000, "float32"), paddle.CPUPlace())


def reshaped(p):
    with paddle.no_grad():
        p.reshape_([2, 2])


@pytest.mark.parametrize("change", [bigger, in_place, reshaped])
@pytest.mark.parametrize("make", STATEFUL)
def test_another_shape_is_refused(make, change):
    p, optimizer = stepped(make, 4)
    change(p)
    refuses(p, optimizer, "one of them has changed since the state was made")


@pytest.mark.parametrize("make", STATEFUL)
def test_double_precision_after_single_is_refused_until_it_is_single_again(make):
    p, optimizer = stepped(make, 64)
    net = paddle.nn.Layer()
    net.add_parameter("w", p)
    net.to(dtype="float64")
    refuses(p, optimizer, f"{p.name} is float64 of shape .64., and .* is float32")
    net.to(dtype="float32")
    ask(p, 1.0)
    optimizer.step()
    whole, _ = stepped(make, 64, steps=6)
    np.testing.assert_array_equal(p.numpy(), whole.numpy())


@pytest.mark.parametrize("change", [bigger, in_place, reshaped])
def test_without_state_any_shape_goes_on(change):
    p, optimizer = stepped(door.SGD, 4)
    change(p)
    before = p.numpy()
    ask(p, 2.0)
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), before - 0.2, rtol=1e-6)
    assert optimizer._entries[p.name].step == 6


@pytest.mark.filterwarnings("ignore:Accumulating with FP16:UserWarning")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_without_state_any_dtype_goes_on(dtype):
    net = paddle.nn.Linear(300, 300)
    optimizer = door.SGD(0.5, parameters=net.parameters())
    for change in (None, dtype):
        net.to(dtype=change)
        for p in net.parameters():
            p.set_value(paddle.ones(p.shape, p.dtype))
            ask(p, 1.0)
        optimizer.step()
        assert all((p.astype("float32") == 0.5).all() for p in net.parameters())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_after_single_keeps_moments_and_step(dtype):
    p, optimizer = stepped(door.Adam, 4)
    net = paddle.nn.Layer()
    net.add_parameter("w", p)
    net.to(dtype=dtype)
    before = p.astype("float32").numpy()
    ask(p, 2.0)
    optimizer.step()
    same, other = stepped(door.Adam, 4)
    start = same.numpy()
    ask(same, 2.0)
    other.step()
    np.testing.assert_allclose(p.astype("float32").numpy() - before, same.numpy() - start, atol=5e-3)


@pytest.mark.parametrize("make", STATEFUL)
def test_master_weights_after_the_first_step_are_refused(make):
    """What amp.decorate does on a GPU."""
    p, optimizer = stepped(make, 64)
    net = paddle.nn.Layer()
    net.add_parameter("w", p)
    net.to(dtype="bfloat16")
    optimizer._multi_precision = True
    refuses(p, optimizer, "bfloat16 of shape .64. now, wants a master weight")


@pytest.mark.parametrize("value", [paddle.zeros([4], "float64"), paddle.zeros([3000])])
def test_state_that_becomes_another_is_refused(value):
    p, optimizer = stepped(door.Adam, 4)
    state = next(x for name, x in optimizer.state_dict().items() if "moment1" in name)
    state.get_tensor().set(value.numpy(), paddle.CPUPlace())
    refuses(p, optimizer, f"{state.name} is float")


def test_cleared_memory_is_refused():
    p, optimizer = stepped(door.SGD, 4)
    ask(p, 1.0)
    p._clear_data()
    with pytest.raises(ValueError, match=f"{p.name} has no memory"):
        optimizer.step()


def twins(*sizes):
    found = []
    for size in sizes:
        with paddle.utils.unique_name.guard():
            found.append(paddle.nn.Linear(size, 1, bias_attr=False).weight)
    return found


@pytest.mark.parametrize("make", [*STATEFUL, door.SGD])
@pytest.mark.parametrize("sizes", [(4, 4), (4, 2000)])
def test_two_parameters_of_one_name_are_refused(make, sizes):
    one, other = twins(*sizes)
    message = f"parameters holds {one.name} and another tensor of that name"
    for given in ([one, other], [{"params": [one]}, {"params": [other]}]):
        with pytest.raises(ValueError, match=message):
            make(0.1, parameters=given)
    optimizer = make(0.1, parameters=[{"params": [one]}])
    with pytest.raises(ValueError, match=message):
        optimizer._add_param_group({"params": [other]})
    assert len(optimizer._param_groups) == 1


@pytest.mark.parametrize("make", STATEFUL)
def test_a_gradient_given_to_another_tensor_of_that_name_does_not_take_its_state(make):
    one, other = twins(4, 2000)
    optimizer = make(0.1, parameters=[one])
    optimizer.apply_gradients([(one, paddle.ones_like(one))])
    before = other.numpy()
    with pytest.raises(ValueError, match="has changed since the state was made"):
        optimizer.apply_gradients([(other, paddle.ones_like(other))])
    assert (other.numpy() == before).all()


def test_a_copy_is_refused():
    """Its state would be kept by names that copied parameters do not have."""
    net = paddle.nn.Linear(2, 1)
    with pytest.raises(TypeError, match="cannot copy Adam"):
        copy.deepcopy((net, door.Adam(0.1, parameters=net.parameters())))
