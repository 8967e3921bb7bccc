"""Gradients and parameters as training handles them: kept, replaced, absent, swapped, damaged."""

import math
from typing import Any

import pytest
import torch

import stepwell.torch as door
from tests.torch.harness import (
    SMALL,
    Pair,
    assert_close,
    assert_same_state,
    default_dtype,
    gradient,
    named_pair,
    parameters,
)
from tests.torch.options import NAMES, rich

BATCH = torch.randn(8, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def trained(optimizer_of: Any, to_none: bool, steps: int = 5) -> list[torch.Tensor]:
    """The parameters of a small network after training it as everybody does."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1)).double()
    optimizer = optimizer_of(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=to_none)
        model(BATCH).square().mean().backward()
        optimizer.step()
    return list(model.parameters())


@pytest.mark.parametrize("to_none", [True, False], ids=["replaced", "kept"])
@pytest.mark.parametrize("name", NAMES)
def test_a_network_trains_as_with_torch(name: str, to_none: bool) -> None:
    with default_dtype(torch.float64):
        mine = trained(lambda params: getattr(door, name)(params, **rich(name)), to_none)
        yours = trained(lambda params: getattr(torch.optim, name)(params, **rich(name), foreach=False), to_none)
    for p, q in zip(mine, yours, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-11 * q.abs().max().item())


@pytest.mark.parametrize("to_none", [True, False])
def test_zero_grad(to_none: bool) -> None:
    ps = parameters(SMALL, torch.float32)
    optimizer = door.Adam(ps)
    for p in ps[:2]:
        p.grad = torch.ones_like(p)
    grads = [p.grad for p in ps]
    optimizer.step()
    optimizer.zero_grad(set_to_none=to_none)
    if to_none:
        assert [p.grad for p in ps] == [None, None, None]
    else:
        assert all(p.grad is g for p, g in zip(ps, grads, strict=True))
        assert not any(p.grad.any() for p in ps[:2] if p.grad is not None)


def test_gradients_filled_in_place_and_gradients_that_move() -> None:
    pair = named_pair("Adam", sizes=(33,))
    (p,), (q,) = pair.ps, pair.qs
    p.grad, q.grad = torch.zeros_like(p), torch.zeros_like(q)
    for step in range(8):
        g = gradient(p.shape, p.dtype, step)
        if step in (3, 4):  # other memory, the same tensor
            p.grad.data, q.grad.data = g.clone(), g.clone()
        elif step == 5:  # another tensor
            p.grad, q.grad = g.clone(), g.clone()
        else:
            p.grad.copy_(g)
            q.grad.copy_(g)
        for optimizer in pair.both:
            optimizer.step()
        assert_same_state(*pair.both, f"step {step}")


def test_a_gradient_whose_memory_is_used_again() -> None:
    """Freed gradients hand their addresses to others: what is read must be what is there now."""
    pair = named_pair("SGD", {"momentum": 0.9}, sizes=(64, 64, 64))
    for step in range(12):
        for p, q in zip(pair.ps, pair.qs, strict=True):
            p.grad = q.grad = None
        noise = [torch.full((64,), float("nan"), dtype=torch.float64) for _ in range(step)]
        for k, (p, q) in enumerate(zip(pair.ps, pair.qs, strict=True)):
            p.grad = gradient(p.shape, p.dtype, step % 4, k).clone()
            q.grad = p.grad.clone()
        del noise
        for optimizer in pair.both:
            optimizer.step()
        assert_same_state(*pair.both, f"step {step}")


def data(pair: Pair) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(pair.ps, pair.qs, strict=True))


def test_parameters_whose_data_is_swapped_between_steps() -> None:
    pair = named_pair("Adam")
    pair.train(2)
    for p, q in data(pair):
        p.data = p.detach() + 1
        q.data = p.detach().clone()
    pair.train(2)


def test_a_parameter_turned_in_its_own_memory() -> None:
    pair = named_pair("SGD", {"momentum": 0.9}, sizes=((4, 4),))
    pair.train(2)
    for optimizer, (x,) in zip(pair.both, (pair.ps, pair.qs), strict=True):
        x.data = x.data.t()
        optimizer.state[x]["momentum_buffer"].zero_()
    pair.train(4)


def test_a_parameter_cut_in_its_own_memory() -> None:
    pair = named_pair("SGD", {"lr": 0.1}, sizes=((64,),))
    pair.train(2)
    kept = [x.data for (x,) in (pair.ps, pair.qs)]
    for (x,) in (pair.ps, pair.qs):
        x.grad = None
        x.data = x.data[:3]
    pair.start = [pair.start[0][:3]]
    pair.train(4)
    assert torch.equal(kept[0], kept[1])


def test_parameters_that_share_memory() -> None:
    whole = torch.zeros(8, dtype=torch.float64)
    left, right = whole[:5].requires_grad_(), whole[5:].requires_grad_()
    optimizer = door.SGD([left, right], lr=1.0)
    left.grad, right.grad = torch.ones(5, dtype=torch.float64), torch.full((3,), 2.0, dtype=torch.float64)
    optimizer.step()
    assert torch.equal(whole, torch.tensor([-1.0] * 5 + [-2.0] * 3, dtype=torch.float64))


def test_gradients_that_are_views_of_one_bucket() -> None:
    bucket = torch.arange(8.0)
    ps = [torch.nn.Parameter(torch.zeros(5)), torch.nn.Parameter(torch.zeros(3))]
    ps[0].grad, ps[1].grad = bucket[:5], bucket[5:]
    door.SGD(ps, lr=1.0).step()
    assert torch.equal(torch.cat([p.detach() for p in ps]), -torch.arange(8.0))


def test_a_frozen_parameter_stays() -> None:
    model = torch.nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    still = model.weight.clone()
    optimizer = door.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert torch.equal(model.weight, still)
    assert set(optimizer.state) == {model.bias}


def test_steps_without_any_gradient_change_nothing() -> None:
    ps = parameters(SMALL, torch.float32)
    before = [p.detach().clone() for p in ps]
    optimizer = door.AdamW(ps)
    optimizer.step()
    optimizer.step()
    assert all(map(torch.equal, ps, before))
    assert not optimizer.state_dict()["state"]


# --- gradients that are not numbers


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_that_is_no_number_does_what_it_does_in_torch(name: str, value: float) -> None:
    with default_dtype(torch.float64):
        pair = named_pair(name, rich(name), sizes=(33,))
        (p,), (q,) = pair.ps, pair.qs
        for step in range(4):
            p.grad = gradient(p.shape, p.dtype, step).clone()
            if step == 1:
                p.grad[[0, 7, 32]] = value
            q.grad = p.grad.clone()
            for optimizer in pair.both:
                optimizer.step()
            if math.isnan(value):
                assert_same_state(*pair.both, f"step {step}")
            else:  # torch's lerp turns an infinite mean into NaN one step later; the parameter is NaN by then
                assert_close(p.detach(), q.detach(), f"step {step}", 1e-12)
    assert not q[[0, 7, 32]].isfinite().any() or name == "Adagrad"
    assert q.isfinite().any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("steps", [0, 2])
def test_check_finite_refuses_it_and_changes_nothing(steps: int, value: float) -> None:
    ps = parameters((5, 33), torch.float32)
    optimizer = door.Adam(ps, check_finite=True, ema=0.9, lr=lambda k: 0.1 / (k + 1))
    for step in range(steps):
        for k, p in enumerate(ps):
            p.grad = gradient(p.shape, p.dtype, step, k).clone()
        optimizer.step()
    before = [p.detach().clone() for p in ps], str(optimizer.state_dict())
    for p in ps:
        p.grad = torch.ones_like(p)
    ps[1].grad[32] = value  # pyright: ignore[reportOptionalSubscript]
    with pytest.raises(FloatingPointError, match="NaN or an infinity; nothing was changed"):
        optimizer.step()
    assert all(map(torch.equal, ps, before[0]))
    assert str(optimizer.state_dict()) == before[1]
    ps[1].grad[32] = 1.0  # pyright: ignore[reportOptionalSubscript]
    optimizer.step()
    assert not any(map(torch.equal, ps, before[0]))


def test_check_finite_looks_at_what_no_kernel_takes_too() -> None:
    p = torch.nn.Parameter(torch.zeros(6, 4)[:, ::2])
    p.grad = torch.full((6, 2), float("nan"))
    with pytest.raises(FloatingPointError):
        door.SGD([p], check_finite=True).step()
    assert not p.any()
