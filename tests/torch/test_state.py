"""State: checkpoints both ways with torch.optim, copies, pickles, and state changed by hand."""

import collections
import copy
import io
import pickle
from typing import Any

import pytest
import torch
from tests.torch.harness import SMALL, Pair, assert_same_state, give_gradients, named_pair, parameters, twins
from tests.torch.options import NAMES, rich

import stepwell.torch as door

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


def test_a_checkpoint_of_adamw_decays_beside_the_gradient_whatever_it_says() -> None:
    pair = named_pair("AdamW", {"weight_decay": 0.1})
    pair.train(2)
    packed = saved(pair.yours)
    packed["param_groups"][0].pop("decoupled_weight_decay", None)
    pair.mine.load_state_dict(packed)
    pair.train(2)


# --- copies


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
@pytest.mark.parametrize("name", NAMES)
def test_a_copy_goes_on_alone(name: str, way: str) -> None:
    ps = parameters(SIZES, torch.float32)
    optimizer = getattr(door, name)(ps, **rich(name), clip_norm=1.0, ema=0.9)
    for step in range(2):
        give_gradients(ps, step=step, gaps=True)
        optimizer.step()
    if way == "deepcopy":
        qs, other = copy.deepcopy((ps, optimizer))
    elif way == "pickle":
        qs, other = pickle.loads(pickle.dumps((ps, optimizer)))
    else:
        file = io.BytesIO()
        torch.save((ps, optimizer), file)
        file.seek(0)
        qs, other = torch.load(file, weights_only=False)
    assert type(other) is type(optimizer)
    assert all(a is b for a, b in zip(qs, other.param_groups[0]["params"], strict=True))
    before = [p.detach().clone() for p in ps]
    give_gradients(ps, qs, step=2)
    other.step()
    assert all(map(torch.equal, ps, before))
    assert not all(map(torch.equal, qs, before))
    optimizer.step()
    assert_same_state(other, optimizer, "after the copy", tolerance=0.0)
    assert other.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_a_copy_of_the_optimizer_alone_has_parameters_of_its_own() -> None:
    ps = parameters(SMALL, torch.float32)
    optimizer = door.Adam(ps)
    other = copy.deepcopy(optimizer)
    qs = other.param_groups[0]["params"]
    give_gradients(qs, step=0)
    other.step()
    assert not any(map(torch.equal, ps, qs))


# --- state changed by hand


EDITS: dict[str, Any] = {
    "entry": lambda state: state.__setitem__("exp_avg", torch.full_like(state["exp_avg"], 0.5)),
    "data": lambda state: setattr(state["exp_avg"], "data", torch.full_like(state["exp_avg"], 0.5)),
    "in place": lambda state: state["exp_avg"].fill_(0.5),
    "update": lambda state: state.update(exp_avg=torch.full_like(state["exp_avg"], 0.5)),
    "step in place": lambda state: state["step"].fill_(7),
    "step": lambda state: state.__setitem__("step", torch.tensor(7.0)),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_state_edited_by_hand(edit: Any) -> None:
    pair = named_pair("Adam")
    pair.train(3)
    for optimizer, params in zip(pair.both, (pair.ps, pair.qs), strict=True):
        edit(optimizer.state[params[1]])
    pair.train(2)


def test_a_whole_entry_replaced_and_then_edited() -> None:
    pair = named_pair("Adam")
    pair.train(3)
    for value in (0.25, 0.75):
        for optimizer, params in zip(pair.both, (pair.ps, pair.qs), strict=True):
            p = params[1]
            if value == 0.25:
                optimizer.state[p] = {k: torch.full_like(v, value) for k, v in optimizer.state[p].items()}
            else:
                optimizer.state[p]["exp_avg"] = torch.full_like(p, value)
        pair.train(2)


@pytest.mark.parametrize("way", ["clear", "delete", "replace", "setstate"])
def test_state_thrown_away_starts_anew(way: str) -> None:
    pair = named_pair("Adam")
    pair.train(3)
    for optimizer in pair.both:
        if way == "clear":
            optimizer.state.clear()
        elif way == "delete":
            for p in list(optimizer.state):
                del optimizer.state[p]
        elif way == "replace":
            optimizer.state = collections.defaultdict(dict)
        else:
            optimizer.__setstate__({"state": collections.defaultdict(dict)})
    pair.train(3)
    assert pair.mine.state[pair.ps[1]]["step"] == 3


def test_parameters_made_double_take_their_state_along() -> None:
    model = torch.nn.Linear(5, 3)
    optimizer = door.Adam(model.parameters(), amsgrad=True)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    reference = [{k: v.double() for k, v in optimizer.state[p].items()} for p in model.parameters()]
    model.double()
    expected = torch.optim.Adam(twins(list(model.parameters())), amsgrad=True, foreach=False)
    for p, q, entry in zip(model.parameters(), expected.param_groups[0]["params"], reference, strict=True):
        expected.state[q] = entry
        p.grad, q.grad = torch.full_like(p, 0.5), torch.full_like(q, 0.5)
    optimizer.step()
    expected.step()
    assert_same_state(optimizer, expected, "after double()")
    assert {v.dtype for p in model.parameters() for k, v in optimizer.state[p].items() if k != "step"} == {
        torch.float64
    }
