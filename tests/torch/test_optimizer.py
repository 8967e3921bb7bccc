"""torch.optim.Optimizer's contract: parameter groups, options edited between steps, closures."""

from typing import Any

import pytest
import torch

import stepwell.torch as door
from tests.torch.harness import Pair, give_gradients, named_pair, parameters
from tests.torch.options import NAMES, options_of, rich

# --- parameter groups


def grouped(name: str, cls: Any, params: list[torch.Tensor], engine: dict[str, Any]) -> torch.optim.Optimizer:
    """Three groups: the defaults, another rate without decay, and options that ask for another rule."""
    other = {"momentum": 0.0, "amsgrad": False, "centered": False, "maximize": True, "weight_decay": 0.3}
    groups = [
        {"params": params[:1]},
        {"params": params[1:2], "lr": 0.05, "weight_decay": 0.0},
        {"params": params[2:], **{k: v for k, v in other.items() if k in options_of(name)}},
    ]
    return cls(groups, **rich(name), **engine)


@pytest.mark.parametrize("name", NAMES)
def test_groups_have_options_of_their_own(name: str) -> None:
    Pair(
        lambda params: grouped(name, getattr(door, name), params, {}),
        lambda params: grouped(name, getattr(torch.optim, name), params, {"foreach": False}),
        sizes=(5, 17, 3, 1),
    ).train(6)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "Adagrad"])  # torch's own Adagrad cannot take a group later
def test_a_group_added_between_steps(name: str) -> None:
    pair = named_pair(name, rich(name))
    pair.train(3)
    more = parameters((4, 9), torch.float64, seed=5)
    for optimizer, params in zip(pair.both, (pair.ps, pair.qs), strict=True):
        added = [p.detach().clone().requires_grad_() for p in more]
        optimizer.add_param_group({"params": iter(added), "lr": 0.2})
        params += added
    pair.start += more
    pair.train(4)


def test_adagrad_takes_a_group_between_steps_too() -> None:
    p, q = parameters((3, 3), torch.float32)
    optimizer = door.Adagrad([p])
    optimizer.add_param_group({"params": [q], "initial_accumulator_value": 1.0})
    assert torch.equal(optimizer.state[q]["sum"], torch.ones(3))
    q.grad = torch.full((3,), 2.0)
    optimizer.step()
    assert torch.equal(optimizer.state[q]["sum"], torch.full((3,), 5.0))


def test_a_group_without_momentum_beside_a_nesterov_one() -> None:
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": True}
    pair = Pair(
        lambda params: door.SGD([{"params": params[:1]}, {"params": params[1:], "momentum": 0}], **options),
        lambda params: torch.optim.SGD([{"params": params[:1]}, {"params": params[1:], "momentum": 0}], **options),
    )
    pair.train(4)


@pytest.mark.parametrize("name", NAMES)
def test_options_edited_between_steps(name: str) -> None:
    pair = named_pair(name, rich(name))
    pair.train(2)
    edits: dict[str, Any] = {"lr": 0.3, "eps": 1e-3, "weight_decay": 0.0, "maximize": True, "betas": (0.5, 0.6)}
    for option, value in edits.items():
        if option in options_of(name):
            for optimizer in pair.both:
                optimizer.param_groups[0][option] = value
            pair.train(2)


@pytest.mark.parametrize("name", NAMES)
def test_a_rate_in_a_tensor_is_read_at_each_step(name: str) -> None:
    rate = torch.tensor(0.01, dtype=torch.float64)
    pair = named_pair(name, {"lr": rate})
    for step in range(4):
        rate.fill_(0.01 * (step + 1))
        pair.step()
    assert pair.mine.param_groups[0]["lr"] is rate


def test_the_list_of_parameters_may_be_edited() -> None:
    pair = named_pair("Adam", sizes=(3, 4, 5))
    pair.train(2)
    for optimizer in pair.both:
        del optimizer.param_groups[0]["params"][1]
    still = pair.ps[1].detach().clone()
    give_gradients(pair.ps, pair.qs, step=2)
    for optimizer in pair.both:
        optimizer.step()
    assert torch.equal(pair.ps[1], still)
    for optimizer, params in zip(pair.both, (pair.ps, pair.qs), strict=True):
        optimizer.param_groups[0]["params"] = [params[2], params[1]]
    give_gradients(pair.ps, pair.qs, step=3)
    before = [p.detach().clone() for p in pair.ps]
    for optimizer in pair.both:
        optimizer.step()
    assert [torch.equal(p, b) for p, b in zip(pair.ps, before, strict=True)] == [True, False, False]
    for p, q in zip(pair.ps, pair.qs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=0)


def test_named_parameters_keep_their_names() -> None:
    p, q = parameters((2, 3), torch.float32)
    optimizer = door.Adam([("weight", p), ("bias", q)])
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    give_gradients([p, q], step=4)
    optimizer.step()
    assert set(optimizer.state) == {p, q}


def test_params_may_be_any_iterable() -> None:
    model = torch.nn.Linear(3, 2)
    for params in (model.parameters(), tuple(model.parameters()), ({"params": p} for p in model.parameters())):
        optimizer = door.SGD(params, lr=1.0)
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
        assert all(torch.equal(p, b - 1) for p, b in zip(model.parameters(), before, strict=True))


# --- closures


@pytest.mark.parametrize("name", NAMES)
def test_a_closure_is_evaluated_once_with_gradients_on(name: str) -> None:
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer, calls = getattr(door, name)([w]), []

    def closure() -> torch.Tensor:
        assert torch.is_grad_enabled()
        calls.append(1)
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert (loss.item(), len(calls)) == (5.0, 1)
    assert not torch.equal(w, torch.tensor([1.0, -2.0]))
    assert optimizer.step() is None
