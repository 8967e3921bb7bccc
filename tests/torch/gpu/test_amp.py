"""Loss scaling on a GPU: the scale and what was found stay on the device, and a step left out changes no bit."""

import math
from typing import Any

import pytest
import torch

import stepwell.torch as door
from stepwell import schedules
from tests.kernels.interpreter import DEVICE
from tests.torch.gpu.harness import SMALL, Pair, engine, no_host_reads


class Scaled(Pair):
    """Each side has a scaler of its own."""

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, sizes=SMALL, gaps=False, **more)
        self.scalers = [torch.amp.GradScaler(place, init_scale=2.0**10, growth_interval=2) for place in (DEVICE, "cpu")]

    def scaled_step(self, spoil: float | None = None) -> None:
        self.give()
        for scaler, params in zip(self.scalers, (self.ps, self.qs), strict=True):
            factor = scaler.scale(torch.ones((), device=params[0].device))
            for p in params:
                p.grad = None if p.grad is None else p.grad * factor
            if spoil is not None:
                params[1].grad[-1] = spoil  # pyright: ignore[reportOptionalSubscript]
        with engine():
            self.scalers[0].step(self.mine)
            self.scalers[0].update()
        self.scalers[1].step(self.theirs)
        self.scalers[1].update()
        self.steps += 1
        self.compare()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"clip_norm": 0.5, "ema": 0.9, "weight_decay": 0.1},
    {"zero_grad": True, "maximize": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_scaled_training_is_that_of_the_cpu(options):
    pair = Scaled(lambda ps: door.Adam(ps, **options), lambda qs: door.Adam(qs, **options))
    for k in range(8):
        pair.scaled_step(math.inf if k in (2, 5) else None)
    assert pair.mine._plan.on_device
    assert float(pair.mine.state[pair.ps[0]]["step"]) == 6


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_step_left_out_changes_no_bit(value):
    pair = Scaled(lambda ps: door.NAdam(ps, ema=0.9), lambda qs: door.NAdam(qs, ema=0.9))
    for _ in range(3):
        pair.scaled_step()
    before = [[x.detach().clone() for x in (p, *pair.mine.state[p].values())] for p in pair.ps]
    pair.scaled_step(value)
    after = [[p, *pair.mine.state[p].values()] for p in pair.ps]
    assert all(torch.equal(x, y) for old, new in zip(before, after, strict=True) for x, y in zip(old, new, strict=True))


def test_a_first_step_left_out_leaves_the_state_at_its_start():
    """As with torch's fused optimizers: it is there, and has counted nothing."""
    pair = Scaled(lambda ps: door.Adam(ps), lambda qs: torch.optim.Adam(qs))
    pair.scaled_step(math.inf)
    assert all(float(entry["step"]) == 0 for entry in pair.mine.state.values())
    pair.scaled_step()


def found(value: float) -> torch.Tensor:
    return torch.full((1,), value, device=DEVICE)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_host_does_not_ask_what_was_found(value):
    options: dict[str, Any] = {"clip_norm": 0.5, "ema": 0.9}
    pair = Pair(lambda ps: door.Adam(ps, **options), lambda qs: door.Adam(qs, **options), SMALL)
    pair.train(2)
    pair.give()
    before = [p.detach().clone() for p in pair.ps]
    averages = [pair.mine.state[p]["ema"].clone() for p in pair.ps]
    pair.mine.grad_scale, pair.mine.found_inf = torch.full((), 4.0, device=DEVICE), found(value)
    with engine(), no_host_reads():
        pair.mine.step()
    del pair.mine.grad_scale, pair.mine.found_inf
    for p, old, average in zip(pair.ps, before, averages, strict=True):
        assert torch.equal(p, old) == (value == 1.0 or p.grad is None)
        assert torch.equal(pair.mine.state[p]["ema"], average) == (value == 1.0)
    pair.give()
    with engine():
        pair.mine.step()  # nothing of it is left
    assert not any(torch.equal(p, old) for p, old in zip(pair.ps, before, strict=True) if p.grad is not None)


def test_gradients_are_zeroed_where_the_step_is_left_out():
    pair = Pair(lambda ps: door.Adam(ps, zero_grad=True), lambda qs: door.Adam(qs, zero_grad=True), SMALL, gaps=False)
    pair.train(1)
    pair.give()
    pair.ps[0].grad[0] = math.inf  # pyright: ignore[reportOptionalSubscript]
    pair.mine.grad_scale, pair.mine.found_inf = None, found(1.0)
    with engine():
        pair.mine.step()
    assert not any(p.grad is None or p.grad.any() for p in pair.ps)


def test_a_schedule_does_not_count_a_step_left_out():
    rate = schedules.cosine(10)
    pair = Scaled(lambda ps: door.Adam(ps, lr=rate), lambda qs: door.Adam(qs, lr=rate))
    for k in range(5):
        pair.scaled_step(math.inf if k == 1 else None)
    assert pair.mine.param_groups[0]["schedule_step"] == 4
