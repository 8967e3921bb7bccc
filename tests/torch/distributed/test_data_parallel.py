"""DistributedDataParallel and ZeroRedundancyOptimizer: several processes are one on the joined batch."""

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import stepwell.torch as door
from stepwell import checkpoint
from tests.torch.distributed.training import RATE, STEPS, assert_equal, batch, loss, network, train, weights
from tests.torch.processes import found_by, needs_processes

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its package scripts functions
    from torch.distributed.optim import ZeroRedundancyOptimizer

pytestmark = [needs_processes, pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")]

COUNTS = pytest.mark.parametrize("count", [2, 4])
WHOLE_STEP: dict[str, Any] = {"clip_norm": 0.3, "ema": 0.9, "check_finite": True}


OPTIMIZERS: dict[str, Callable[[Any], door.Optimizer]] = {
    "Adam": lambda params: door.Adam(params, lr=RATE, weight_decay=0.01, **WHOLE_STEP),
    "Yogi": lambda params: door.Yogi(params, lr=RATE, zero_grad=True, **WHOLE_STEP),
    "SGD": lambda params: door.SGD(params, lr=RATE, momentum=0.9, nesterov=True, **WHOLE_STEP),
}


# --- DistributedDataParallel


def under_ddp(rank: int, count: int) -> list[Any]:
    found = []
    for k, make in enumerate(OPTIMIZERS.values()):
        net = network()
        model = DistributedDataParallel(net, gradient_as_bucket_view=k % 2 == 0)
        optimizer = make(model.parameters())
        train(model, optimizer, rank=rank, count=count)
        found.append((weights(net), [entry["ema"].numpy() for entry in optimizer.state.values()]))
    return found


@COUNTS
def test_replicas_are_one_process(count: int) -> None:
    expected = []
    for make in OPTIMIZERS.values():
        net = network()
        optimizer = make(net.parameters())
        train(net, optimizer)
        expected.append((weights(net), [entry["ema"] for entry in optimizer.state.values()]))
    for of_process in found_by(count, under_ddp, count):
        for (found, averages), (wanted, of_one) in zip(of_process, expected, strict=True):
            assert_equal(found, wanted)
            assert_equal(averages, of_one)


def accumulated(rank: int) -> Any:
    model = DistributedDataParallel(network(), gradient_as_bucket_view=True)
    optimizer = door.Adam(model.parameters(), lr=RATE, **WHOLE_STEP)
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=step % 2 == 0)
        for k, part in enumerate(batch(step, rank, 2).chunk(2)):
            with model.no_sync() if k == 0 else contextlib.nullcontext():
                (loss(model, part) / 2).backward()
        optimizer.step()
    return weights(model)


def test_gradients_are_accumulated() -> None:
    alone = network()
    train(alone, door.Adam(alone.parameters(), lr=RATE, **WHOLE_STEP))
    for found in found_by(2, accumulated):
        assert_equal(found, alone)


def saved(rank: int, path: str) -> Any:
    model = DistributedDataParallel(network())
    optimizer = door.Adam(model.parameters(), lr=RATE)
    train(model, optimizer, range(20), rank, 2)
    if rank == 0:
        checkpoint.save(path, optimizer, model.module)
    dist.barrier()
    again = DistributedDataParallel(network())
    optimizer = door.Adam(again.parameters(), lr=RATE)
    checkpoint.load(path, optimizer, again.module)
    return weights(train(again, optimizer, range(20, STEPS), rank, 2))


def test_one_process_saves_and_all_load(tmp_path: Any) -> None:
    alone = network()
    train(alone, door.Adam(alone.parameters(), lr=RATE))
    for found in found_by(2, saved, str(tmp_path / "training.safetensors")):
        assert_equal(found, alone)


# --- ZeroRedundancyOptimizer


def under_zero(rank: int, count: int) -> Any:
    model = DistributedDataParallel(network())
    optimizer = redundant(model)

    def clip() -> None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3)

    train(model, optimizer, range(25), rank, count, before=clip)
    mine = sum(len(group["params"]) for group in optimizer.optim.param_groups)
    optimizer.consolidate_state_dict(to=0)
    packed = [optimizer.state_dict() if rank == 0 else None]
    dist.broadcast_object_list(packed)
    assert mine < len(packed[0]["state"]) == 6  # pyright: ignore[reportOptionalSubscript]
    again = redundant(model)
    again.load_state_dict(packed[0])  # pyright: ignore[reportArgumentType]
    train(model, again, range(25, STEPS), rank, count, before=clip)
    return weights(model)


def redundant(model: Any) -> Any:
    return ZeroRedundancyOptimizer(model.parameters(), optimizer_class=door.AdamW, lr=RATE, weight_decay=0.1)


@COUNTS
def test_without_redundancy_it_is_one_process(count: int) -> None:
    alone = network()
    train(alone, door.AdamW(alone.parameters(), lr=RATE, weight_decay=0.1, clip_norm=0.3))
    for found in found_by(count, under_zero, count):
        assert_equal(found, alone)


NEEDS_ALL = {"clip_norm": 1.0, "ema": 0.9, "zero_grad": True, "check_finite": True, "sparse": "exact"}


def refused(rank: int) -> None:
    params = list(network().parameters())
    for name, value in NEEDS_ALL.items():
        for cls in (door.Adam, door.Lion):
            with pytest.raises(ValueError, match=rf"{name}={value!r} needs all parameters, and with ZeroRedundancyOpt"):
                ZeroRedundancyOptimizer(params, optimizer_class=cls, lr=0.1, **{name: value})
    harmless = {"clip_norm": None, "ema": None, "zero_grad": False, "check_finite": False, "sparse": "lazy"}
    ZeroRedundancyOptimizer(params, optimizer_class=door.Lion, lr=0.1, **harmless)


def test_options_that_need_all_parameters_are_refused_without_redundancy() -> None:
    found_by(2, refused)
