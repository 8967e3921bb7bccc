"""What happens to narrow state, and to steps inside backward(), when parameters, groups or optimizers change."""

import pickle
from typing import Any

import pytest
import torch

import stepwell.torch as door

OTHER_SHAPE = "A parameter that changes its shape needs new state"


def leaf(*shape: int, dtype: torch.dtype = torch.float32) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype))


def step(optimizer: Any, *grads: torch.Tensor) -> None:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for p, g in zip(params, grads, strict=True):
        p.grad = g.to(p.dtype)
    optimizer.step()


@pytest.mark.parametrize(
    ("options", "dtype"),
    [({"state_dtype": "8bit"}, torch.float32), ({"rounding": "compensated"}, torch.bfloat16)],
    ids=["8bit", "compensated"],
)
def test_another_shape_is_refused(options, dtype):
    p = leaf(8, dtype=dtype)
    optimizer = door.SGD([p], momentum=0.9, **options)
    step(optimizer, torch.ones(8))
    p.grad, p.data = None, torch.ones(4000, dtype=dtype)
    with pytest.raises(ValueError, match=OTHER_SHAPE):
        step(optimizer, torch.ones(4000))


def test_low_bits_of_another_shape_or_rounded_are_refused():
    p = leaf(8, dtype=torch.bfloat16)
    optimizer = door.SGD([p], rounding="compensated")
    step(optimizer, torch.ones(8))
    packed = optimizer.state_dict()
    packed["state"][0]["low_bits"] = torch.zeros(3, dtype=torch.int32)
    with pytest.raises(ValueError, match=r"low_bits has shape \(3,\); the parameter has \(8,\)"):
        optimizer.load_state_dict(packed)
    optimizer.state[p]["low_bits"] = torch.zeros(8)
    with pytest.raises(ValueError, match="low_bits must be of integers"):
        step(optimizer, torch.ones(8))


@pytest.mark.parametrize(
    "options", [{"state_dtype": "8bit"}, {"state_dtype": "8bit", "rounding": "compensated"}], ids=str
)
def test_state_follows_its_parameter_into_another_order_of_memory(options):
    dtype = torch.bfloat16 if "rounding" in options else torch.float32
    p = leaf(8, 4, 3, 3, dtype=dtype)
    optimizer = door.SGD([p], lr=1e-2, momentum=0.9, **options)
    g = leaf(8, 4, 3, 3).detach() * torch.arange(32).reshape(8, 4, 1, 1)
    step(optimizer, g)
    before, momentum = p.detach().clone(), optimizer.state_dict()["state"][0]["momentum_buffer"].float()
    p.data = p.data.to(memory_format=torch.channels_last)
    step(optimizer, torch.zeros_like(p))
    torch.testing.assert_close(
        (before - p).float(), 0.009 * momentum, rtol=0.02, atol=0.03 if "rounding" in options else 2e-4
    )


def test_a_parameter_of_another_dtype_is_refused():
    p = leaf(8, dtype=torch.bfloat16)
    optimizer = door.SGD([p], rounding="stochastic")
    step(optimizer, torch.ones(8))
    p.grad, p.data = None, p.data.float()
    with pytest.raises(ValueError, match=r"needs parameters of bfloat16; got torch\.float32"):
        step(optimizer, torch.ones(8))
    q = leaf(8)
    narrow = door.Adam([q], state_dtype="8bit")
    q.data = q.data.double()
    with pytest.raises(ValueError, match="needs parameters of float32, float16 or bfloat16"):
        step(narrow, torch.ones(8))


def test_codes_are_numbers_for_every_rule_that_follows():
    p = leaf(8)
    optimizer = door.RMSprop([p], state_dtype="8bit")
    for _ in range(5):
        step(optimizer, torch.ones(8))
    before = optimizer.state_dict()["state"][0]["square_avg"].float()
    optimizer.param_groups[0]["centered"] = True
    step(optimizer, torch.ones(8))
    after = optimizer.state[p]["square_avg"]
    assert after.dtype is torch.float32
    torch.testing.assert_close(after, 0.99 * before + 0.01)
    momentum = door.SGD([leaf(8)], momentum=0.9, state_dtype="8bit")
    step(momentum, torch.ones(8))
    momentum.param_groups[0]["momentum"] = 0.0
    step(momentum, torch.ones(8))
    (entry,) = momentum.state_dict()["state"].values()
    assert entry["momentum_buffer"].tolist() == [1.0] * 8


def test_numbers_of_a_parameter_without_axes_come_back_unrounded():
    p = torch.nn.Parameter(torch.tensor(1.7, dtype=torch.bfloat16))
    optimizer = door.Adam([p], lr=1e-3, rounding="compensated", state_dtype="float32")
    for k in range(5):
        step(optimizer, torch.tensor(0.3 + k))
    again = door.Adam(
        [leaf().to(torch.bfloat16).detach().requires_grad_()], rounding="compensated", state_dtype="float32"
    )
    again.load_state_dict(optimizer.state_dict())
    ((one,), (two,)) = optimizer.state_dict()["state"].values(), again.state_dict()["state"].values()
    for name in one:
        assert one[name].dtype == two[name].dtype
        assert torch.equal(one[name], two[name]), name


def test_an_optimizer_pickled_before_there_were_these_options():
    optimizer = door.Adam([leaf(3)])
    step(optimizer, torch.ones(3))
    old = optimizer.__getstate__()
    for name in ("_state_dtype", "_rounding", "_in_backward", "_whole_step"):
        del old[name]
    blank = door.Adam.__new__(door.Adam)
    blank.__setstate__(pickle.loads(pickle.dumps(old)))
    step(blank, torch.ones(3))
    assert not blank._in_backward


# --- inside backward()


def two() -> tuple[torch.nn.Linear, torch.nn.Linear]:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 1, bias=False)


def test_a_parameter_that_moves_to_another_group_has_its_options():
    a, b = two()
    optimizer = door.SGD([{"params": [a.weight], "lr": 0.1}, {"params": [b.weight], "lr": 0.5}], in_backward=True)
    for _ in range(2):
        b(a(torch.ones(3))).sum().backward()
        optimizer.step()
    moved = optimizer.param_groups[0]["params"].pop()
    optimizer.param_groups[1]["params"].append(moved)
    before = a.weight.detach().clone()
    (gradient,) = torch.autograd.grad(b(a(torch.ones(3))).sum(), [a.weight])
    b(a(torch.ones(3))).sum().backward()
    torch.testing.assert_close(before - a.weight, 0.5 * gradient)
    optimizer.step()
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    b(a(torch.ones(3))).sum().backward()
    optimizer.step()
    optimizer.param_groups.pop(1)
    before = a.weight.detach().clone()
    b(a(torch.ones(3))).sum().backward()  # it belongs to none any more
    assert torch.equal(before, a.weight)


def test_a_refused_gradient_is_not_used_later():
    a, b = two()
    optimizer = door.SGD([*a.parameters(), *b.parameters()], lr=0.1, in_backward=True)
    b(a(torch.ones(3))).sum().backward()
    before = [a.weight.detach().clone(), b.weight.detach().clone()]
    with pytest.raises(RuntimeError, match="second gradient"):
        b(a(torch.ones(3))).sum().backward()
    optimizer.step()
    assert torch.equal(before[0], a.weight)
    assert torch.equal(before[1], b.weight)


def test_two_optimizers_do_not_step_one_parameter():
    w = torch.nn.Parameter(torch.ones(2))
    old = door.SGD([w], in_backward=True)
    with pytest.raises(RuntimeError, match="another optimizer with in_backward=True"):
        door.SGD([w], in_backward=True)
    del old
    door.SGD([w], in_backward=True)
