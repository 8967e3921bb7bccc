"""Hooks around steps and checkpoints, and what autograd, the profiler and the compiler see of a step."""

from typing import Any

import pytest
import torch
import torch.optim.optimizer as torch_optimizer
from torch.profiler import ProfilerActivity, profile

import stepwell.torch as door
from tests.torch.harness import SMALL, parameters
from tests.torch.options import NAMES


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


REGISTER: dict[str, Any] = {
    "before": lambda optimizer, hook: optimizer.register_step_pre_hook(hook),
    "after": lambda optimizer, hook: optimizer.register_step_post_hook(hook),
    "all before": lambda optimizer, hook: torch_optimizer.register_optimizer_step_pre_hook(hook),
    "all after": lambda optimizer, hook: torch_optimizer.register_optimizer_step_post_hook(hook),
}


@pytest.mark.parametrize("kind", REGISTER)
@pytest.mark.parametrize("cls", [door.Adam, torch.optim.Adam], ids=["ours", "torch's"])
def test_a_hook_of_each_kind_runs_alone_too(cls: Any, kind: str) -> None:
    optimizer, calls, closure = cls(parameters((3,), torch.float32)), [], lambda: None
    handle = REGISTER[kind](optimizer, lambda *given: calls.append(given))
    try:
        optimizer.step()
        optimizer.step(closure)
    finally:
        handle.remove()
    optimizer.step()
    assert calls == [(optimizer, (optimizer,), {}), (optimizer, (optimizer, closure), {})]


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


def test_a_compiled_function_may_call_the_step() -> None:
    def train(compiled: bool) -> torch.Tensor:
        w = torch.nn.Parameter(torch.ones(4))
        optimizer = door.Adam([w], lr=0.1)

        def step() -> None:
            w.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

        run = torch.compile(step, backend="eager") if compiled else step
        for _ in range(3):
            run()
        return w.detach()

    assert torch.equal(train(compiled=True), train(compiled=False))


@pytest.mark.parametrize("flag", ["capturable", "differentiable"])
@pytest.mark.parametrize("name", NAMES)
def test_what_needs_torchs_own_engine_is_refused(name: str, flag: str) -> None:
    if (name, flag) in [("SGD", "capturable"), ("Adagrad", "capturable")]:
        with pytest.raises(TypeError, match="has no option 'capturable'"):
            getattr(door, name)(parameters(SMALL, torch.float32), capturable=True)
    else:
        why = {
            "capturable": "needs parameters on a GPU",
            "differentiable": f": {name} updates tensors .* .use torch.optim",
        }
        with pytest.raises(ValueError, match=f"^{flag}=True ?{why[flag]}"):
            getattr(door, name)(parameters(SMALL, torch.float32), **{flag: True})


def test_isinstance_and_repr_are_those_of_a_torch_optimizer() -> None:
    optimizer = door.Adam(parameters(SMALL, torch.float32))
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert repr(optimizer) == repr(torch.optim.Adam(parameters(SMALL, torch.float32)))
