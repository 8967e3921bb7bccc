"""FSDP2: every process steps its shares, by the kernel, and the whole is what one process makes of it."""

from typing import Any

import pytest
import torch
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, init_device_mesh

import stepwell.torch as door
from tests.torch.distributed.training import (
    RATE,
    STEPS,
    assert_equal,
    batch,
    loss,
    network,
    share,
    train,
    weights,
    whole,
)
from tests.torch.processes import found_by, needs_processes

pytestmark = [needs_processes, pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")]

OPTIONS: dict[str, Any] = {
    "lr": RATE, "clip_norm": 0.3, "weight_decay": 0.01, "ema": 0.9, "check_finite": True, "zero_grad": True,
}  # fmt: skip
WAYS = {2: [("Adam", (2,))], 4: [("Adam", (4,)), ("NAdam", (2, 2)), ("Lion", (4, 1))]}


def sharded(model: torch.nn.Module, shape: tuple[int, ...]) -> torch.nn.Module:
    """The model under FSDP2, each of its layers a unit of its own."""
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=("copies", "parts")[-len(shape) :])
    for layer in model.children():
        if list(layer.parameters()):
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def in_all_ways(rank: int, count: int) -> list[Any]:
    return [under_fsdp(rank, count, *way) for way in WAYS[count]]


def under_fsdp(rank: int, count: int, name: str, shape: tuple[int, ...]) -> Any:
    model = sharded(network(), shape)
    optimizer = getattr(door, name)(model.parameters(), **OPTIONS)
    train(model, optimizer, rank=rank, count=count)
    assert not optimizer._plan.loose, "the kernel should take every share"
    assert [len(each.parameters) for each in optimizer._plan.batches] == [6]
    assert all(isinstance(entry["ema"], DTensor) for entry in optimizer.state.values())
    return weights(model), state_of(optimizer), {share(p).numel() for p in model.parameters()}


def state_of(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [whole(x).numpy() for entry in optimizer.state.values() for _, x in sorted(entry.items())]


@pytest.mark.parametrize("count", WAYS)
def test_it_is_one_process(count: int) -> None:
    expected = []
    for name, _ in WAYS[count]:
        alone = network()
        optimizer = getattr(door, name)(alone.parameters(), **OPTIONS)
        expected.append((weights(train(alone, optimizer)), state_of(optimizer)))
    found = found_by(count, in_all_ways, count)
    for of_process in found:
        for (values, state, _), (wanted, of_state) in zip(of_process, expected, strict=True):
            assert_equal(values, wanted)
            assert_equal(state, of_state)
    assert count == 2 or any(0 in sizes for of_process in found for *_, sizes in of_process), "none had an empty share"


def accumulated(rank: int) -> Any:
    model = sharded(network(), (2,))
    optimizer = door.Adam(model.parameters(), lr=RATE, clip_norm=0.3)
    plans = set()
    for step in range(10):
        optimizer.zero_grad()
        for k, part in enumerate(batch(step, rank, 2).chunk(2)):
            model.set_requires_gradient_sync(k == 1)  # pyright: ignore[reportCallIssue]
            (loss(model, part) / 2).backward()
        optimizer.step()
        plans.add(id(optimizer._plan))
    assert len(plans) == 1, "new gradients of the old kind should cost no new plan"
    return weights(model)


def test_gradients_are_accumulated() -> None:
    alone = network()
    train(alone, door.Adam(alone.parameters(), lr=RATE, clip_norm=0.3), range(10))
    for found in found_by(2, accumulated):
        assert_equal(found, alone)


def in_single_precision(rank: int) -> Any:
    model = sharded(network().float(), (2,))
    optimizer = door.Adam(model.parameters(), lr=RATE, clip_norm=0.3)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss(model, batch(step, rank, 2).float()).backward()
        optimizer.step()
    return weights(model)


def test_it_is_torchs_own_in_single_precision() -> None:
    alone = network()
    theirs = torch.optim.Adam(alone.parameters(), lr=1.0)
    for step in range(STEPS):
        theirs.param_groups[0]["lr"] = RATE(step)
        theirs.zero_grad()
        loss(alone, batch(step)).backward()
        torch.nn.utils.clip_grad_norm_(alone.parameters(), 0.3)
        theirs.step()
    for found in found_by(2, in_single_precision):
        assert_equal(found, alone, 1e-6)


def averaged(rank: int) -> Any:
    model = sharded(network(), (2,))
    optimizer = door.Adam(model.parameters(), lr=RATE, ema=0.9)
    train(model, optimizer, range(10), rank, 2)
    before = weights(model)
    with optimizer.swap_ema():
        average = loss(model, batch(99)).item(), weights(model)
    assert_equal(weights(model), before, 0.0)
    return average


def test_averages_of_shares_are_swapped_in() -> None:
    alone = network()
    optimizer = door.Adam(alone.parameters(), lr=RATE, ema=0.9)
    train(alone, optimizer, range(10))
    with optimizer.swap_ema():
        value, average = loss(alone, batch(99)).item(), weights(alone)
    for of_loss, found in found_by(2, averaged):
        assert of_loss == pytest.approx(value, rel=1e-12)
        assert_equal(found, average)
