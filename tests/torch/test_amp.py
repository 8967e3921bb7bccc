"""torch.amp.GradScaler: scaled gradients, skipped steps, and unscale_ before the step."""

from typing import Any

import pytest
import torch

import stepwell.torch as door
from tests.torch.harness import DECADES, Pair, assert_same_state, gradient, named_pair
from tests.torch.options import NAMES, rich


class Scaled:
    """A pair whose optimizers each have a scaler; `step` gives both scaled gradients."""

    def __init__(self, pair: Pair, scale: float = 2.0**10):
        self.pair = pair
        self.scalers = [torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2) for _ in pair.both]

    def step(self, k: int, spoil: float | None = None, unscale: bool = False, clip: float | None = None) -> None:
        for scaler, optimizer, params in zip(self.scalers, self.pair.both, (self.pair.ps, self.pair.qs), strict=True):
            factor = scaler.scale(torch.ones((), dtype=torch.float64))
            for j, p in enumerate(params):
                p.grad = (gradient(p.shape, p.dtype, k, j) * factor).to(p.dtype)
            if spoil is not None:
                params[1].grad[-1] = spoil  # pyright: ignore[reportOptionalSubscript]
            if unscale:
                scaler.unscale_(optimizer)
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(params, clip)
            scaler.step(optimizer)
            scaler.update()
        assert self.scalers[0].get_scale() == self.scalers[1].get_scale()
        assert_same_state(*self.pair.both, f"step {k}", scales=self.pair.scales)


@pytest.mark.parametrize("unscale", [False, True], ids=["direct", "unscaled"])
@pytest.mark.parametrize("name", NAMES)
def test_scaled_training_is_that_of_torch(name: str, unscale: bool) -> None:
    scaled = Scaled(named_pair(name, rich(name), dtype=torch.float32))
    for k in range(len(DECADES)):
        scaled.step(k, spoil=float("inf") if k in (0, 4) else None, unscale=unscale)
    assert scaled.scalers[0].get_scale() != 2.0**10
    assert not torch.equal(scaled.pair.ps[1], scaled.pair.start[1])


def test_a_scale_that_is_no_power_of_two() -> None:
    scaled = Scaled(named_pair("Adam", dtype=torch.float32), scale=1000.0)
    for k in range(5):
        scaled.step(k, unscale=k % 2 == 1)


def test_unscaled_and_clipped_by_torch() -> None:
    scaled = Scaled(named_pair("SGD", {"lr": 0.1}, dtype=torch.float32))
    for k in range(6):
        scaled.step(k, unscale=True, clip=0.01)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("unscale", [False, True], ids=["direct", "unscaled"])
@pytest.mark.parametrize("steps", [0, 2])
def test_a_skipped_step_changes_no_bit(steps: int, unscale: bool, value: float) -> None:
    scaled = Scaled(named_pair("Adam", {"amsgrad": True, "weight_decay": 0.1}))
    for k in range(steps):
        scaled.step(k)
    ps, mine = scaled.pair.ps, scaled.pair.mine
    before = [p.detach().clone() for p in ps]
    entries = [{k: v.clone() for k, v in mine.state.get(p, {}).items()} for p in ps]
    scaled.step(2, spoil=value, unscale=unscale)
    assert all(map(torch.equal, ps, before))
    for p, entry in zip(ps, entries, strict=True):
        assert mine.state.get(p, {}).keys() == entry.keys()
        assert all(torch.equal(mine.state[p][k], v) for k, v in entry.items())
    scaled.step(3)
    assert not any(map(torch.equal, ps, before))


def whole(params: Any, **more: Any) -> door.AdamW:
    return door.AdamW(params, weight_decay=0.1, clip_norm=0.5, ema=0.9, zero_grad=True, maximize=True, **more)


def test_the_whole_step_sees_gradients_without_their_scale() -> None:
    plain, scaled = ([torch.nn.Parameter(torch.full((33,), 0.5)), torch.nn.Parameter(torch.ones(5))] for _ in range(2))
    left, right = whole(plain), whole(scaled, check_finite=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=1)
    for k in range(4):
        factor = scaler.scale(torch.ones(()))
        for j, (p, q) in enumerate(zip(plain, scaled, strict=True)):
            p.grad = gradient(p.shape, p.dtype, k + 2, j).clone()
            q.grad = p.grad * factor
        left.step()
        scaler.step(right)
        scaler.update()
        assert not any(q.grad.any() for q in scaled if q.grad is not None)
        assert_same_state(right, left, f"step {k}", tolerance=1e-6)
    before = [p.detach().clone() for p in scaled], right.state[scaled[0]]["ema"].clone()
    for p in scaled:
        p.grad = torch.full_like(p, float("inf"))
    scaler.step(right)  # check_finite leaves it to the scaler, which skips the step
    scaler.update()
    assert all(map(torch.equal, scaled, before[0]))
    assert torch.equal(right.state[scaled[0]]["ema"], before[1])
    assert not any(q.grad.any() for q in scaled if q.grad is not None)


def test_a_scaler_that_is_off() -> None:
    pair = named_pair("Adam")
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    for p in pair.ps:
        p.grad = torch.ones_like(p)
    before = [p.detach().clone() for p in pair.ps]
    scaler.step(pair.mine)
    scaler.update()
    assert not any(map(torch.equal, pair.ps, before))


def test_autocast_training_is_that_of_torch() -> None:
    def train(cls: Any) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
        optimizer, scaler = cls(model.parameters(), lr=0.01), torch.amp.GradScaler("cpu")
        x = torch.randn(32, 6)
        for _ in range(5):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model(x).square().mean()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return list(model.parameters())

    for p, q in zip(train(door.SGD), train(torch.optim.SGD), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=2e-6 * q.abs().max().item())
