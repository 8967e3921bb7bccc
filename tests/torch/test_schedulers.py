"""The learning rate over time: torch's schedulers beside ours, and schedules given as `lr`."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

import stepwell.torch as door
from stepwell import schedules
from tests.torch.harness import SMALL, Pair, assert_close, give_gradients, named_pair, parameters
from tests.torch.options import NAMES, number

SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.3),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda k: 1 / (k + 1)),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=2),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.CosineAnnealingLR(o, 4)], [3]
    ),
}


@pytest.mark.parametrize("lr", [0.05, number(0.05)], ids=["float", "tensor"])
@pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_under_a_scheduler_of_torch(name: str, scheduler: Any, lr: Any) -> None:
    pair = named_pair(name, {} if name == "Adam" else {"momentum": 0.9})
    for optimizer in pair.both:
        optimizer.param_groups[0]["lr"] = lr if isinstance(lr, float) else lr.clone()
    left, right = map(scheduler, pair.both)
    rates = []
    for _ in range(8):
        pair.train(1)
        left.step()
        right.step()
        mine, yours = (optimizer.param_groups[0] for optimizer in pair.both)
        assert mine["lr"] == yours["lr"]
        assert mine.get("betas") == yours.get("betas")
        assert mine.get("momentum") == yours.get("momentum")
        rates.append(float(mine["lr"]))
    assert len(set(rates)) > 2
    assert left.state_dict()["_last_lr"] == right.state_dict()["_last_lr"]


def test_under_reduce_on_plateau() -> None:
    pair = named_pair("Adam", {"lr": 0.1})
    left, right = (lr_scheduler.ReduceLROnPlateau(o, patience=1, factor=0.5) for o in pair.both)
    for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 1.0):
        pair.train(1)
        left.step(loss)
        right.step(loss)
    assert pair.mine.param_groups[0]["lr"] == pair.yours.param_groups[0]["lr"] == 0.05


# --- schedules


def rates_of(optimizer: torch.optim.Optimizer, p: torch.Tensor, steps: int) -> list[float]:
    """The rates that gradient descent shows by how far it goes along a gradient of 1."""
    rates = []
    for _ in range(steps):
        before = p.detach().clone()
        p.grad = torch.ones_like(p)
        optimizer.step()
        rates.append((before - p.detach()).item())
    return rates


def falling(k: int) -> float:
    return 1.0 / (k + 1)


def leaf() -> torch.Tensor:
    return torch.zeros((), dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    "schedule",
    [falling, schedules.warmup(3).then(schedules.cosine(5)), 0.5 * schedules.exponential(0.1)],
    ids=["function", "warmup and cosine", "exponential"],
)
def test_each_step_uses_the_rate_of_its_number(schedule: Callable[[int], float]) -> None:
    p = leaf()
    optimizer = door.SGD([p], lr=schedule)
    assert optimizer.param_groups[0]["lr"] == schedule(0)
    assert rates_of(optimizer, p, 8) == pytest.approx([schedule(k) for k in range(8)], abs=1e-15)
    assert optimizer.param_groups[0]["lr"] == schedule(7)


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_is_the_same_as_setting_the_rate(name: str) -> None:
    pair = Pair(
        lambda params: getattr(door, name)(params, lr=falling),
        lambda params: getattr(torch.optim, name)(params, foreach=False),
    )
    for k in range(5):
        pair.yours.param_groups[0]["lr"] = falling(k)
        pair.train(1)


def test_each_group_has_its_schedule_and_its_clock() -> None:
    p, q, r = leaf(), leaf(), leaf()
    optimizer = door.SGD([{"params": [p]}, {"params": [q], "lr": lambda k: 2.0 + k}], lr=falling)
    for x in (p, q):
        x.grad = torch.ones_like(x)
    optimizer.step()
    assert (p.item(), q.item()) == (-1.0, -2.0)
    optimizer.add_param_group({"params": [r], "lr": lambda k: 10.0 + k})
    r.grad = torch.ones_like(r)
    optimizer.step()
    assert (p.item(), q.item(), r.item()) == (-1.5, -5.0, -10.0)
    optimizer.param_groups[1]["lr"] = 7.0  # the schedule is in force still
    optimizer.step()
    assert (q.item(), r.item()) == (-9.0, -21.0)


def test_a_schedule_given_between_steps_starts_where_training_is() -> None:
    p = leaf()
    optimizer = door.Adam([p], lr=0.1)
    rates_of(optimizer, p, 3)
    seen = []
    optimizer.param_groups[0]["lr"] = lambda k: seen.append(k) or 0.01
    rates_of(optimizer, p, 2)
    assert seen == [3, 4]


def test_a_schedule_given_before_the_first_step() -> None:
    p = leaf()
    optimizer = door.Yogi([p], initial_accumulator=0.25, eps=0.0)
    optimizer.param_groups[0]["lr"] = falling
    assert rates_of(optimizer, p, 1)[0] > 0
    assert optimizer.state[p]["v"].item() == pytest.approx(0.25 + 1e-3)


@pytest.mark.parametrize("way", ["state_dict", "deepcopy"])
def test_a_resumed_run_has_the_same_rates(way: str) -> None:
    p = leaf()
    schedule = schedules.warmup(2).then(schedules.cosine(8))
    optimizer = door.SGD([p], lr=schedule)
    rates_of(optimizer, p, 3)
    if way == "deepcopy":
        optimizer, p = copy.deepcopy((optimizer, p))
    else:
        packed = optimizer.state_dict()
        assert all(isinstance(v, (bool, int, float, list, type(None))) for v in packed["param_groups"][0].values())
        optimizer = door.SGD([p], lr=schedule)
        optimizer.load_state_dict(packed)
    assert rates_of(optimizer, p, 4) == pytest.approx([schedule(k) for k in range(3, 7)], abs=1e-15)


def test_a_schedule_goes_on_from_a_checkpoint_of_torch() -> None:
    ps = parameters(SMALL, torch.float64)
    yours = torch.optim.Adam(ps, foreach=False)
    for step in range(3):
        give_gradients(ps, step=step)
        yours.step()
    seen: list[int] = []
    mine = door.Adam(ps, lr=lambda k: seen.append(k) or 0.01)
    mine.load_state_dict(yours.state_dict())
    seen.clear()
    mine.step()
    assert seen == [3]
    again = torch.optim.Adam(ps, foreach=False)
    again.load_state_dict(mine.state_dict())
    again.step()
    again.step()
    mine.load_state_dict(again.state_dict())  # it carried our own count along, and did not count on
    seen.clear()
    mine.step()
    assert seen == [6]


def test_skipped_steps_have_no_rate() -> None:
    p = leaf()
    optimizer = door.SGD([p], lr=falling)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for value in (1.0, math.inf, 1.0):
        p.grad = torch.full_like(p, value)
        scaler.scale(torch.zeros(()))
        scaler.step(optimizer)
        scaler.update()
    assert p.item() == pytest.approx(-(1.0 / 4 + 0.5 / 2))


@pytest.mark.parametrize("rate", [-0.1, math.nan, math.inf])
def test_a_schedule_that_leaves_the_domain_is_refused_before_anything_changes(rate: float) -> None:
    ps = parameters(SMALL, torch.float64)
    with pytest.raises(ValueError, match=r"lr must be a finite number ≥ 0; got .* at step 0"):
        door.Adam(ps, lr=lambda k: rate)
    optimizer = door.Adam(ps, lr=lambda k: 0.1 if k < 2 else rate)
    for step in range(2):
        give_gradients(ps, step=step)
        optimizer.step()
    before, packed = [p.detach().clone() for p in ps], str(optimizer.state_dict()["state"])
    with pytest.raises(ValueError, match=r"lr must be a finite number ≥ 0; got .* at step 2"):
        optimizer.step()
    assert all(map(torch.equal, ps, before))
    assert str(optimizer.state_dict()["state"]) == packed


def test_a_schedule_in_a_scheduler_of_torch() -> None:
    """`as_torch` drives ours as it drives torch's."""
    pair = named_pair("Adam")
    left, right = (schedules.as_torch(o, 0.1 * schedules.linear(6)) for o in pair.both)
    for _ in range(5):
        pair.train(1)
        left.step()
        right.step()
    assert_close(pair.mine.param_groups[0]["lr"], 0.1 / 6, "rate", 1e-12)
