"""torch.optim.Optimizer's contract: groups, closures, hooks, what is refused, what autograd and the profiler see."""

from typing import Any

import pytest
import torch
import torch.optim.optimizer as torch_optimizer
from tests.torch.harness import SMALL, Pair, give_gradients, named_pair, parameters
from tests.torch.options import NAMES, options_of, rich
from torch.profiler import ProfilerActivity, profile

import stepwell.torch as door

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


# --- closures and hooks


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


def test_hooks_around_the_step_run_in_torchs_order() -> None:
    said: list[str] = []

    def say(word: str) -> Any:
        return lambda optimizer, args, kwargs: said.append(word)

    (p,) = parameters((3,), torch.float32)
    p.grad = torch.ones(3)
    optimizer = door.Adam([p])
    handles = [
        optimizer.register_step_pre_hook(say("before")),
        optimizer.register_step_post_hook(say("after")),
        torch_optimizer.register_optimizer_step_pre_hook(say("all before")),
        torch_optimizer.register_optimizer_step_post_hook(say("all after")),
    ]
    optimizer.step()
    assert said == ["all before", "before", "after", "all after"]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(said) == 4
    assert optimizer.state[p]["step"] == 2


def test_a_hook_before_the_step_may_change_gradients_and_arguments() -> None:
    p, q = parameters((3, 3), torch.float32)
    optimizer = door.SGD([p, q], lr=1.0)

    def swap(optimizer: Any, args: Any, kwargs: Any) -> Any:
        p.grad, q.grad = None, torch.ones(3)
        return (args[0],), {"closure": lambda: "from the hook"}

    optimizer.register_step_pre_hook(swap)
    before = p.detach().clone(), q.detach().clone()
    p.grad = torch.ones(3)
    assert optimizer.step() == "from the hook"
    assert torch.equal(p, before[0])
    assert torch.equal(q, before[1] - 1)


@pytest.mark.parametrize("cls", [door.Adam, torch.optim.Adam])
def test_hooks_around_checkpoints(cls: Any) -> None:
    said: list[str] = []
    (p,) = parameters((3,), torch.float32)
    optimizer = cls([p])
    optimizer.register_state_dict_pre_hook(lambda o: said.append("saving"))
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "mark": 7})
    optimizer.register_load_state_dict_pre_hook(lambda o, d: {k: v for k, v in d.items() if k != "mark"})
    optimizer.register_load_state_dict_post_hook(lambda o: said.append("loaded"))
    packed = optimizer.state_dict()
    assert packed["mark"] == 7
    optimizer.load_state_dict(packed)
    assert said == ["saving", "loaded"]


def test_a_hook_may_repair_a_state_dict_before_it_is_checked() -> None:
    optimizer = door.Adam(parameters(SMALL, torch.float32))
    packed = optimizer.state_dict()
    optimizer.register_load_state_dict_pre_hook(lambda o, d: packed)
    optimizer.load_state_dict({"something": "else"})


# --- autograd, the profiler, torch's other engines


def test_autograd_sees_that_parameters_changed() -> None:
    for cls in (door.SGD, torch.optim.SGD):
        w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        optimizer = cls([w], lr=0.1)
        stale = w.square().sum()
        w.grad = torch.ones(2)
        version = w._version
        optimizer.step()
        assert w._version > version
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            stale.backward()


@pytest.mark.parametrize("options", [{"zero_grad": True}, {"ema": 0.5}], ids=["zero_grad", "ema"])
def test_the_averages_and_zeroed_gradients_too(options: dict[str, Any]) -> None:
    w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = door.Adam([w], **options)
    w.grad = torch.ones(2)
    optimizer.step()
    written = [w, *([optimizer.state[w]["ema"]] if "ema" in options else [w.grad])]
    before = [x._version for x in written]
    optimizer.step()
    assert all(x._version > v for x, v in zip(written, before, strict=True))


def test_the_profiler_sees_the_step() -> None:
    (p,) = parameters((3,), torch.float32)
    p.grad = torch.ones(3)
    optimizer = door.Adam([p])
    optimizer.step()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        optimizer.step()
    assert "Optimizer.step#Adam.step" in {event.key for event in seen.key_averages()}
    assert optimizer.state[p]["step"] == 2


@pytest.mark.parametrize("flag", ["capturable", "differentiable"])
@pytest.mark.parametrize("name", NAMES)
def test_what_needs_torchs_own_engine_is_refused(name: str, flag: str) -> None:
    if (name, flag) in [("SGD", "capturable"), ("Adagrad", "capturable")]:
        with pytest.raises(TypeError, match="has no option 'capturable'"):
            getattr(door, name)(parameters(SMALL, torch.float32), capturable=True)
    else:
        with pytest.raises(ValueError, match=f"^{flag}=True: {name} updates tensors in place .* .use torch.optim"):
            getattr(door, name)(parameters(SMALL, torch.float32), **{flag: True})


def test_isinstance_and_repr_are_those_of_a_torch_optimizer() -> None:
    optimizer = door.Adam(parameters(SMALL, torch.float32))
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert repr(optimizer) == repr(torch.optim.Adam(parameters(SMALL, torch.float32)))
