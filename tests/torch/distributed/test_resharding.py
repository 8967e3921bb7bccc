"""torch.distributed.checkpoint: what several processes have saved, another number of them resumes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor, init_device_mesh
from torch.nn.parallel import DistributedDataParallel

import stepwell.torch as door
from stepwell import schedules
from tests.torch.distributed.test_fully_shard import sharded
from tests.torch.distributed.training import RATE, STEPS, assert_equal, network, train, weights
from tests.torch.processes import found_by, needs_processes

pytestmark = [needs_processes, pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")]

OPTIMIZERS: dict[str, Callable[[Any], door.Optimizer]] = {
    "NAdam": lambda params: door.NAdam(params, lr=RATE, weight_decay=0.01, clip_norm=0.3, ema=0.9),
    "AdamW": lambda params: door.AdamW(params, lr=RATE, weight_decay=0.3, amsgrad=True, zero_grad=True),
    "Adagrad": lambda params: door.Adagrad(params, lr=schedules.constant(0.02), check_finite=True),
    "SGD": lambda params: door.SGD(params, lr=RATE, weight_decay=0.1),
}
FLAT = StateDictOptions(flatten_optimizer_state_dict=True)
FULL = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


def training(name: str, count: int, kind: str) -> tuple[torch.nn.Module, door.Optimizer]:
    """A model and its optimizer on some number of processes, as they are before the first step."""
    model = network()
    if kind == "FSDP2":
        sharded(model, (count,))
    elif kind == "DDP":
        model = DistributedDataParallel(model)
    return model, OPTIMIZERS[name](model.parameters())


def part(rank: int, names: list[str], count: int, kind: str, folder: Path, steps: range, how: Any) -> dict[str, Any]:
    """Some steps of each training, resumed where there is something to resume, and saved."""
    found = {}
    for name in names:
        model, optimizer = training(name, count, kind)
        before = weights(model)
        weight, state = get_state_dict(model, optimizer, options=how)
        assert_equal(weights(model), before, 0.0)  # torch makes state by a step, which must not be one
        assert {float(entry["step"]) for entry in optimizer.state.values()} == {0.0}
        assert optimizer.param_groups[0]["schedule_step"] == 0
        if steps.start:
            held = {"weights": weight, "optimizer": state}
            dcp.load(held, checkpoint_id=folder / f"{name} {steps.start}")
            set_state_dict(
                model, optimizer, model_state_dict=held["weights"], optim_state_dict=held["optimizer"], options=how
            )
            assert optimizer.param_groups[0]["schedule_step"] == steps.start
        train(model, optimizer, steps, rank, count)
        weight, state = get_state_dict(model, optimizer, options=how)
        dcp.save({"weights": weight, "optimizer": state}, checkpoint_id=folder / f"{name} {steps.stop}")
        found[name] = weights(model)
    return found


@pytest.mark.parametrize(
    ("names", "kinds", "how"),
    [(["NAdam", "Adagrad"], ("FSDP2", "FSDP2", "FSDP2"), None), (["AdamW", "SGD"], ("FSDP2", "DDP", "plain"), FLAT)],
    ids=["nested", "flat"],
)
def test_four_processes_then_two_then_one(tmp_path: Path, names: list[str], kinds: tuple[str, ...], how: Any) -> None:
    found_by(4, part, names, 4, kinds[0], tmp_path, range(15), how)
    found_by(2, part, names, 2, kinds[1], tmp_path, range(15, 30), how)
    (found,) = found_by(1, part, names, 1, kinds[2], tmp_path, range(30, STEPS), how)
    for name in names:
        alone = network()
        train(alone, OPTIMIZERS[name](alone.parameters()))
        assert_equal(found[name], alone)


def gathered(rank: int) -> Any:
    model, optimizer = training("NAdam", 2, "FSDP2")
    train(model, optimizer, range(20), rank, 2)
    weight, state = get_state_dict(model, optimizer, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    assert bool(weight) == (rank == 0)
    again, other = training("NAdam", 2, "FSDP2")
    set_model_state_dict(again, weight, options=FULL)
    set_optimizer_state_dict(again, other, state, options=FULL)
    return weights(train(again, other, range(20, STEPS), rank, 2))


def test_one_process_gathers_and_hands_out() -> None:
    alone = network()
    train(alone, OPTIMIZERS["NAdam"](alone.parameters()))
    for found in found_by(2, gathered):
        assert_equal(found, alone)


def on_mesh(x: torch.Tensor, mesh: Any, place: Any) -> Any:
    return torch.nn.Parameter(distribute_tensor(x, mesh, [place]))


def misplaced(rank: int) -> None:
    mesh, own = init_device_mesh("cpu", (2,)), init_device_mesh("cpu", (2, 1), mesh_dim_names=("a", "b"))["b"]
    kinds = {
        "plain": torch.nn.Parameter(torch.ones(4)),
        "parts": on_mesh(torch.ones(4), mesh, Shard(0)),
        "copies": on_mesh(torch.ones(4), mesh, Replicate()),
        "one process": on_mesh(torch.ones(4), own, Shard(0)),
    }
    for p in kinds.values():
        p.grad = torch.ones_like(p)
    makers = {name: door.Adam([p]) for name, p in kinds.items()}
    for optimizer in makers.values():
        optimizer.step()
    for name, optimizer in makers.items():
        for other, theirs in makers.items():
            if name == other:
                optimizer.load_state_dict(theirs.state_dict())
                continue
            said = r"exp_avg is a (plain tensor|DTensor .*); its parameter is a .*torch\.distributed\.checkpoint, with"
            with pytest.raises(ValueError, match=said):
                optimizer.load_state_dict(theirs.state_dict())
        optimizer.step()
    assert {float(entry["step"]) for each in makers.values() for entry in each.state.values()} == {2.0}
    (entry,) = makers["parts"].state.values()
    entry["exp_avg"] = torch.ones(4)
    with pytest.raises(ValueError, match="the state exp_avg is a plain tensor; its parameter is a DTensor"):
        makers["parts"].step()
    assert isinstance(entry["exp_avg_sq"], DTensor)


def test_state_that_lies_otherwise_is_refused() -> None:
    found_by(2, misplaced)
