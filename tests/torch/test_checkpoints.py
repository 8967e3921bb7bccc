"""Checkpoints: both ways with torch.optim, resumed to the bit, of other ages and layouts."""

import copy
import io
from typing import Any

import pytest
import torch

import stepwell.torch as door
from tests.torch.harness import SMALL, Pair, assert_same_state, give_gradients, named_pair, parameters, twins
from tests.torch.options import NAMES, rich

SIZES = (0, *SMALL)


def saved(optimizer: torch.optim.Optimizer) -> Any:
    """The state dict after a round trip through a file that holds plain tensors, numbers and containers alone."""
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def swapped(pair: Pair, name: str) -> None:
    """Let both go on as new optimizers, each from the other's checkpoint."""
    ours, theirs = saved(pair.mine), saved(pair.yours)
    pair.mine = getattr(door, name)(pair.ps)
    pair.yours = getattr(torch.optim, name)(pair.qs, foreach=False)
    pair.mine.load_state_dict(theirs)
    pair.yours.load_state_dict(ours)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_are_exchanged_with_torch(name: str, steps: int) -> None:
    pair = named_pair(name, rich(name), sizes=SIZES, gaps=True)
    for _ in range(steps):
        pair.step()
    swapped(pair, name)
    pair.train(4)
    swapped(pair, name)
    pair.train(3)


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_torchs_fused_and_foreach_engines(name: str) -> None:
    pair = named_pair(name, rich(name) | {"foreach": True})
    pair.train(3)
    swapped(pair, name)
    pair.train(3)


def test_dampening_goes_on_from_torchs_checkpoint() -> None:
    pair = named_pair("SGD", {"momentum": 0.9, "dampening": 0.5})
    pair.train(3)
    swapped(pair, "SGD")
    pair.train(3)


def test_dampening_where_momentum_is_switched_on_late() -> None:
    pair = named_pair("SGD", {"momentum": 0.0, "dampening": 0.5})
    pair.train(3)
    for optimizer in pair.both:
        optimizer.param_groups[0]["momentum"] = 0.9
    pair.train(3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_has_the_same_bits(name: str, dtype: torch.dtype) -> None:
    ps = parameters(SIZES, dtype)
    optimizer = getattr(door, name)(ps, **rich(name))
    for step in range(3):
        give_gradients(ps, step=step, gaps=True)
        optimizer.step()
    qs = twins(ps)
    resumed = getattr(door, name)(qs)
    resumed.load_state_dict(saved(optimizer))
    for step in range(3, 6):
        give_gradients(ps, qs, step=step, gaps=True)
        optimizer.step()
        resumed.step()
        assert_same_state(resumed, optimizer, f"step {step}", tolerance=0.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_checkpoint_is_not_written_to(name: str) -> None:
    ps = parameters(SMALL, torch.float32)
    optimizer = getattr(door, name)(ps, **rich(name))
    for step in range(2):
        give_gradients(ps, step=step, gaps=True)
        optimizer.step()
    packed = copy.deepcopy(optimizer.state_dict())
    kept = copy.deepcopy(packed)
    optimizer.load_state_dict(packed)
    give_gradients(ps, step=2)
    optimizer.step()
    for k, entry in kept["state"].items():
        for key, value in entry.items():
            assert torch.equal(packed["state"][k][key], value), key
            assert not torch.equal(optimizer.state[ps[k]][key], value), key


def test_a_checkpoint_loaded_between_steps_takes_effect() -> None:
    pair = named_pair("Adam", sizes=SIZES)
    pair.train(2)
    early = [copy.deepcopy(optimizer.state_dict()) for optimizer in pair.both]
    pair.train(2)
    for optimizer, packed in zip(pair.both, early, strict=True):
        optimizer.load_state_dict(packed)
    pair.train(2)


def test_a_state_dict_is_plain() -> None:
    ps = parameters(SMALL, torch.float32)
    optimizer = door.Adam(ps)
    give_gradients(ps, step=0)
    optimizer.step()
    packed = optimizer.state_dict()
    assert {type(entry) for entry in packed["state"].values()} == {dict}
    assert [type(group["params"]) for group in packed["param_groups"]] == [list]
    assert set(packed) == set(torch.optim.Adam(ps).state_dict())


def test_a_checkpoint_of_an_old_torch() -> None:
    """Steps as plain numbers, options of later years missing, a buffer that is None."""
    pair = named_pair("Adam")
    pair.train(2)
    packed = saved(pair.yours)
    for entry in packed["state"].values():
        entry["step"] = int(entry["step"])
    for option in ("maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"):
        del packed["param_groups"][0][option]
    pair.mine.load_state_dict(packed)
    pair.train(2)
    w = torch.nn.Parameter(torch.ones(3))
    sgd = door.SGD([w], momentum=0.9)
    packed = sgd.state_dict()
    packed["state"] = {0: {"momentum_buffer": None}}
    sgd.load_state_dict(packed)
    w.grad = torch.ones(3)
    sgd.step()
    assert torch.equal(sgd.state[w]["momentum_buffer"], torch.ones(3))


@pytest.mark.parametrize("says", [None, False], ids=["nothing", "the gradient"])
def test_adamw_decays_beside_the_gradient_whatever_a_checkpoint_says(says: bool | None) -> None:
    pair = named_pair("AdamW", {"weight_decay": 0.1})
    pair.train(2)
    for optimizer in pair.both:
        packed = saved(optimizer)
        del packed["param_groups"][0]["decoupled_weight_decay"]
        if says is not None:
            packed["param_groups"][0]["decoupled_weight_decay"] = says
        optimizer.load_state_dict(packed)
    pair.train(2)


def test_a_checkpoint_of_another_memory_layout() -> None:
    """Saved from rows, loaded into columns: elements keep their places, whatever their order in memory."""
    rows = parameters(((3, 4), (2, 3, 4, 5)), torch.float64)
    flat = torch.optim.Adam(rows, foreach=False)
    give_gradients(rows, step=4)
    flat.step()
    columns = [rows[0].detach().t().contiguous().t(), rows[1].detach().to(memory_format=torch.channels_last)]
    mine = door.Adam([q.requires_grad_() for q in columns])
    mine.load_state_dict(flat.state_dict())
    assert [p.stride() == q.stride() for p, q in zip(rows, columns, strict=True)] == [False, False]
    for step in range(5, 7):
        give_gradients(rows, step=step)
        for p, q in zip(rows, columns, strict=True):
            q.grad = torch.empty_like(q).copy_(p.grad)  # pyright: ignore[reportArgumentType]
        flat.step()
        mine.step()
        assert_same_state(mine, flat, f"step {step}")
