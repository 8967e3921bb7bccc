"""A schedule drives an optimizer of torch, and resumes from a checkpoint that holds no code."""

import builtins
import io

import pytest
import torch

from stepwell import schedules

SCHEDULE = 0.1 * schedules.warmup(5).then(schedules.cosine(15))


def sgd(groups: int = 1, lr: float | torch.Tensor = 123.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.zeros(2, requires_grad=True)]} for _ in range(groups)], lr=lr)


def run(optimizer, scheduler, steps):
    rates = []
    for _ in range(steps):
        rates.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates


def test_the_value_is_the_rate_of_every_group():
    optimizer = sgd(groups=2)
    assert run(optimizer, schedules.as_torch(optimizer, SCHEDULE), 25) == [[SCHEDULE(k)] * 2 for k in range(25)]


def test_one_schedule_for_each_group():
    optimizer = sgd(groups=2)
    other = schedules.constant(0.5)
    scheduler = schedules.as_torch(optimizer, [SCHEDULE, other])
    assert run(optimizer, scheduler, 9) == [[SCHEDULE(k), 0.5] for k in range(9)]
    assert scheduler.get_last_lr() == [SCHEDULE(9), 0.5]


def test_the_rate_is_the_one_the_update_uses():
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=123.0)
    scheduler = schedules.as_torch(optimizer, schedules.piecewise_constant([1, 2], [1, 10, 100]))
    weight.grad = torch.ones(1)
    for expected in (-1, -11, -111):
        optimizer.step()
        scheduler.step()
        assert weight.item() == expected


@pytest.mark.parametrize("scheduler_first", [True, False])
@pytest.mark.parametrize("saved_at", [0, 1, 5, 12])
def test_resumes_from_weights_only(saved_at, scheduler_first):
    optimizer = sgd()
    scheduler = schedules.as_torch(optimizer, SCHEDULE)
    run(optimizer, scheduler, saved_at)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)

    resumed = sgd()
    if not scheduler_first:
        resumed.load_state_dict(state["optimizer"])
    following = schedules.as_torch(resumed, SCHEDULE)
    if scheduler_first:
        resumed.load_state_dict(state["optimizer"])
    following.load_state_dict(state["scheduler"])
    assert following.get_last_lr() == [SCHEDULE(saved_at)]
    assert run(resumed, following, 10) == [[SCHEDULE(k)] for k in range(saved_at, saved_at + 10)]


def test_a_rate_in_a_tensor_stays_that_tensor():
    rate = torch.tensor(0.0, dtype=torch.float64)
    optimizer = sgd(lr=rate)
    held = optimizer.param_groups[0]["lr"]
    scheduler = schedules.as_torch(optimizer, SCHEDULE)
    run(optimizer, scheduler, 7)
    assert optimizer.param_groups[0]["lr"] is held
    state = scheduler.state_dict()
    run(optimizer, scheduler, 3)
    scheduler.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] is held
    assert held.item() == SCHEDULE(7)


def test_a_plateau_can_drive_it():
    optimizer, plateau = sgd(), schedules.reduce_on_plateau(0.5, factor=0.5, patience=0)
    scheduler = schedules.as_torch(optimizer, plateau)
    used = []
    for _ in range(3):
        used += run(optimizer, scheduler, 1)
        plateau.update(1.0)
    assert used == [[0.5], [0.5], [0.5]]
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_an_added_group_follows_the_common_schedule():
    optimizer = sgd()
    scheduler = schedules.as_torch(optimizer, SCHEDULE)
    optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    run(optimizer, scheduler, 3)
    assert [group["lr"] for group in optimizer.param_groups] == [SCHEDULE(3)] * 2


def test_what_is_refused():
    with pytest.raises(ValueError, match="schedule must be one, or one for each of the 2 groups; got 1"):
        schedules.as_torch(sgd(groups=2), [SCHEDULE])
    with pytest.raises(ValueError, match=r"lr must be a finite number ≥ 0; got -1\.0 at step 0"):
        schedules.as_torch(sgd(), lambda step: -1.0)
    with pytest.raises(TypeError, match="optimizer must be a torch optimizer; got None"):
        schedules.as_torch(None, SCHEDULE)  # pyright: ignore[reportArgumentType]


def test_without_torch_the_message_says_so(monkeypatch):
    genuine = builtins.__import__

    def without_torch(name, *rest):
        if name.startswith("stepwell.schedules.torch"):
            raise ImportError("No module named 'torch'")
        return genuine(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(ImportError, match="as_torch needs PyTorch: pip install torch"):
        schedules.as_torch(sgd(), SCHEDULE)
