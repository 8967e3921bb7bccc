"""State: copied and pickled with its optimizer, and changed by hand between steps."""

import collections
import copy
import io
import pickle
from typing import Any

import pytest
import torch

import stepwell.torch as door
from tests.torch.harness import SMALL, assert_same_state, give_gradients, named_pair, parameters, twins
from tests.torch.options import NAMES, rich

SIZES = (0, *SMALL)

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


def test_a_strided_parameter_made_double_takes_its_state_along() -> None:
    w = torch.zeros(6, 4)[:, ::2].requires_grad_()
    optimizer = door.Adam([w])
    w.grad = torch.ones(6, 2)
    optimizer.step()
    w.grad = None
    w.data = w.detach().new_zeros(6, 4, dtype=torch.float64)[:, ::2]
    w.grad = torch.ones(6, 2, dtype=torch.float64)
    optimizer.step()
    assert optimizer.state[w]["exp_avg"].dtype == torch.float64
    assert w[0, 0].item() == pytest.approx(-1e-3)


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
