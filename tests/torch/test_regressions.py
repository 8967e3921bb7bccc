"""What once went wrong in the hands of somebody who tried to break the door."""

from typing import Any

import pytest
import torch

import stepwell.torch as door


def test_a_parameter_that_grew_is_refused_before_anything_is_read() -> None:
    p = torch.nn.Parameter(torch.zeros(5, 4))
    optimizer = door.Adam([p])
    p.grad = torch.ones(5, 4)
    optimizer.step()
    p.data = torch.zeros(2000, 4)
    p.grad = torch.ones(2000, 4)
    with pytest.raises(ValueError, match=r"exp_avg has shape \(5, 4\); its parameter has \(2000, 4\)"):
        optimizer.step()
    assert not p.any()


def test_a_gradient_that_changed_under_its_own_name_is_looked_at_again() -> None:
    p = torch.nn.Parameter(torch.zeros(1000))
    p.grad = torch.ones(1000)
    optimizer = door.SGD([p], lr=1.0)
    for _ in range(5):
        optimizer.step()
    p.grad.data = torch.ones(7)
    with pytest.raises(ValueError, match=r"a gradient has shape \(7,\)"):
        optimizer.step()
    assert torch.equal(p, torch.full((1000,), -5.0))


def test_a_conjugate_view_is_stepped() -> None:
    ours, theirs = (torch.ones(3, dtype=torch.complex64).conj().requires_grad_() for _ in range(2))
    for x, make in ((ours, door.SGD), (theirs, torch.optim.SGD)):
        x.grad = torch.full((3,), 1 + 1j, dtype=torch.complex64)
        make([x], lr=0.1).step()
    assert torch.equal(ours, theirs)
    assert ours[0] != 1


@pytest.mark.parametrize("momentum", [0.0, 0.5], ids=["one kernel", "two kernels"])
def test_a_gradient_of_two_parameters_is_read_by_both_before_it_is_zeroed(momentum: float) -> None:
    a, b = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    a.grad = b.grad = torch.full((3,), 0.5)
    door.SGD([{"params": [a]}, {"params": [b], "momentum": momentum}], lr=1.0, zero_grad=True).step()
    assert a.tolist() == b.tolist() == [0.5] * 3
    assert not a.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_average_of_half_precision_weights_moves_and_is_saved_unrounded(dtype: torch.dtype) -> None:
    p = torch.nn.Parameter(torch.ones(4, dtype=dtype))
    optimizer = door.SGD([p], lr=0.25, ema=0.999)
    p.grad = torch.ones(4, dtype=dtype)
    expected = 1.0
    for _ in range(3):
        optimizer.step()
        expected = 0.999 * expected + 0.001 * p[0].item()
    average = optimizer.state[p]["ema"]
    assert average.dtype == torch.float32
    assert abs(average[0].item() - expected) < 1e-6
    again = door.SGD([p], lr=0.25, ema=0.999)
    again.load_state_dict(optimizer.state_dict())
    assert torch.equal(again.state[p]["ema"], average)
    with optimizer.swap_ema():
        assert torch.equal(p, average.to(dtype))
    assert torch.equal(optimizer.state[p]["ema"], average)


def test_a_schedule_stays_with_its_group() -> None:
    p, q = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = door.SGD([{"params": [p], "lr": lambda k: 1.0}, {"params": [q], "lr": lambda k: 10.0}], lr=0.0)
    optimizer.param_groups.reverse()
    p.grad, q.grad = torch.ones(1), torch.ones(1)
    optimizer.step()
    assert (p.item(), q.item()) == (-1.0, -10.0)
    packed = optimizer.state_dict()
    assert packed["param_groups"][0]["schedule"] is None
    assert packed["param_groups"][0]["schedule_step"] == 1
    del optimizer.param_groups[0]
    optimizer.step()
    assert (p.item(), q.item()) == (-2.0, -10.0)


class Labelled(torch.Tensor):
    """A tensor class of the user's own."""


def test_a_tensor_class_of_the_users_own_is_stepped() -> None:
    p = torch.ones(3).as_subclass(Labelled).requires_grad_()
    p.grad = torch.ones(3).as_subclass(Labelled)
    door.Adam([p], lr=0.5).step()
    assert torch.allclose(p.detach().as_subclass(torch.Tensor), torch.full((3,), 0.5))


@pytest.mark.parametrize("amsgrad", [False, True])
def test_gradients_that_come_and_go_cost_no_new_plan_and_equal_torch(amsgrad: bool) -> None:
    ours, theirs = ([torch.nn.Parameter(torch.ones(5)) for _ in range(6)] for _ in range(2))
    makers: list[Any] = [door.Adam(ours, amsgrad=amsgrad), torch.optim.Adam(theirs, amsgrad=amsgrad, foreach=False)]
    plans = set()
    for step in range(12):
        for ps, optimizer in zip((ours, theirs), makers, strict=True):
            for k, p in enumerate(ps):
                p.grad = torch.full((5,), 1.0 + k + step) if step == 0 or (step + k) % 3 else None
            optimizer.step()
        plans.add(id(makers[0]._plan))
    assert len(plans) == 1
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)
        assert makers[0].state[p]["step"] == makers[1].state[q]["step"]
    assert {float(makers[0].state[p]["step"]) for p in ours} != {12.0}


@pytest.mark.parametrize("damage", [
    lambda d: d["state"].update(x=1), lambda d: d.update(state=[]), lambda d: d.update(param_groups=None),
    lambda d: d["param_groups"][0].update(params=5), lambda d: d["param_groups"][0].update(schedule_step="x"),
    lambda d: d["state"][0].update(exp_avg=torch.zeros(3).to_sparse()),
    lambda d: d["state"][0].update(exp_avg=torch.zeros(3, device="meta")),
    lambda d: d["state"][0].update(exp_avg=torch.zeros(3, dtype=torch.complex64)),
])  # fmt: skip
def test_a_damaged_state_dict_is_refused_whole(damage: Any) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = door.Adam([p], lr=lambda k: 0.1)
    optimizer.step()
    packed = optimizer.state_dict()
    packed = {"state": {k: dict(v) for k, v in packed["state"].items()}, "param_groups": packed["param_groups"]}
    packed["param_groups"] = [dict(g) for g in packed["param_groups"]]
    damage(packed)
    before = str(optimizer.state_dict())
    with pytest.raises(ValueError, match="state_dict"):
        optimizer.load_state_dict(packed)
    assert str(optimizer.state_dict()) == before
