"""A process is killed, or stops, in mid-step: the others end with an error, and the last checkpoint resumes."""

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

import stepwell.torch as door
from tests.torch.distributed.test_fully_shard import sharded
from tests.torch.distributed.training import RATE, STEPS, assert_equal, network, share, train, weights
from tests.torch.processes import found_by, needs_processes, outcomes

pytestmark = [needs_processes, pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")]

SAVED, LOST = 15, 20  # the steps after which the training was saved, and in which a process is lost
COUNT, GONE = 4, 1  # how many processes there are, and which of them is lost
PATIENCE, LONG = timedelta(seconds=5), timedelta(minutes=10)  # a connection that is closed is seen at once


def made() -> tuple[Any, door.Optimizer]:
    model = sharded(network(), (torch.distributed.get_world_size(),))
    return model, door.Adam(model.parameters(), lr=RATE, weight_decay=0.01, clip_norm=0.3, ema=0.9)


def interrupted(rank: int, folder: Path, sent: signal.Signals, where: str) -> Any:
    model, optimizer = made()
    train(model, optimizer, range(SAVED), rank, COUNT)
    weight, state = get_state_dict(model, optimizer)
    dcp.save({"weights": weight, "optimizer": state}, checkpoint_id=folder)
    train(model, optimizer, range(SAVED, LOST), rank, COUNT)

    def lose(*_: Any) -> None:
        if rank == GONE:
            os.kill(os.getpid(), sent)

    if where == "the backward pass":
        model[2].register_full_backward_hook(lose)
    else:
        optimizer.register_step_pre_hook(lose)
    before = [share(p) for p in model.parameters()]
    with pytest.raises(RuntimeError, match=r"(?i)timed out|closed|reset|connection|gloo"):
        train(model, optimizer, range(LOST, STEPS), rank, COUNT)
    unchanged = all(torch.equal(share(p), x) for p, x in zip(model.parameters(), before, strict=True))
    return unchanged, {float(entry["step"]) for entry in optimizer.state.values()}


def resumed(rank: int, folder: Path, count: int) -> Any:
    model, optimizer = made()
    weight, state = get_state_dict(model, optimizer)
    held = {"weights": weight, "optimizer": state}
    dcp.load(held, checkpoint_id=folder)
    set_state_dict(model, optimizer, model_state_dict=held["weights"], optim_state_dict=held["optimizer"])
    return weights(train(model, optimizer, range(SAVED, STEPS), rank, count))


@pytest.mark.parametrize(
    ("sent", "where"),
    [("SIGKILL", "the backward pass"), ("SIGKILL", "the step"), ("SIGSTOP", "the step")],
    ids=["killed in the backward pass", "killed in the step", "stopped in the step"],
)
def test_the_others_end_and_the_last_checkpoint_resumes(tmp_path: Path, sent: str, where: str) -> None:
    ends = outcomes(
        COUNT, interrupted, tmp_path / "saved", getattr(signal, sent), where, lost=GONE,
        patience=PATIENCE if sent == "SIGSTOP" else LONG,
    )  # fmt: skip
    assert ends.pop(GONE)[0] == ("died" if sent == "SIGKILL" else "hangs")
    assert ends == [("found", (True, {float(LOST)}))] * (COUNT - 1)
    if where == "the backward pass":
        alone = network()
        train(alone, door.Adam(alone.parameters(), lr=RATE, weight_decay=0.01, clip_norm=0.3, ema=0.9))
        for found in found_by(2, resumed, tmp_path / "saved", 2):
            assert_equal(found, alone)
