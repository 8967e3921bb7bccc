"""The prepared step: kept while nothing it rests on changes, made anew when something does, and holding no memory."""

import gc
import sys
import weakref
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

import stepwell.torch as door
from stepwell.torch import batch, native
from tests.torch.harness import SMALL, assert_same_training, give_gradients, parameters
from tests.torch.options import NAMES, rich


def plans(optimizer: door.Optimizer, ps: list[torch.Tensor], steps: int, replaced: bool) -> list[int]:
    """Which plan each step ran, as identities."""
    found = []
    for step in range(steps):
        if replaced:
            give_gradients(ps, step=step)
        optimizer.step()
        found.append(optimizer._plan)
    return [found.index(plan) for plan in found]


@pytest.mark.parametrize("replaced", [False, True], ids=["gradients kept", "gradients replaced"])
def test_a_plan_is_kept(replaced: bool) -> None:
    ps = parameters(SMALL, torch.float32)
    give_gradients(ps, step=0)
    assert plans(door.Adam(ps), ps, 5, replaced) == [0] * 5


@pytest.mark.parametrize("name", NAMES)
def test_two_optimizers_keep_their_plans(name: str) -> None:
    """Changes of state are counted over all optimizers; a plan that finds its state ready makes none."""
    both = [parameters(SMALL, torch.float32) for _ in range(2)]
    optimizers = [getattr(door, name)(ps, **rich(name)) for ps in both]
    found = []
    for step in range(4):
        for ps, optimizer in zip(both, optimizers, strict=True):
            give_gradients(ps, step=step)
            optimizer.step()
        found.append([optimizer._plan for optimizer in optimizers])
    assert found[1:] == [found[1]] * 3  # the first of one comes before the other's state


def test_options_that_are_numbers_do_not_cost_a_plan() -> None:
    ps = parameters(SMALL, torch.float32)
    give_gradients(ps, step=0)
    optimizer = door.Adam(ps, weight_decay=0.1)
    for lr in (0.1, 0.2, 0.3):
        optimizer.param_groups[0] |= {"lr": lr, "betas": (lr, 0.9), "weight_decay": lr}
        assert plans(optimizer, ps, 2, True) == [0, 0]
    first = optimizer._plan
    optimizer.param_groups[0]["weight_decay"] = 0.0
    optimizer.step()
    assert optimizer._plan is not first


@pytest.mark.parametrize("missing", [{"ADDRESS_OF": None}, {"GRADIENT_OF": 0}], ids=["addresses", "gradients"])
@pytest.mark.parametrize("name", NAMES)
def test_without_a_fast_way_to_addresses_or_gradients_the_numbers_are_the_same(
    name: str, missing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for what, value in missing.items():
        monkeypatch.setattr(native, what, value)
    assert_same_training(
        lambda params: getattr(door, name)(params, **rich(name)),
        lambda params: getattr(torch.optim, name)(params, **rich(name), foreach=False),
        sizes=(0, *SMALL),
        dtype=torch.float64,
    )


def test_the_gradients_getter_is_found_here_and_what_is_none_is_not() -> None:
    assert native.GRADIENT_OF
    assert native._getter(torch._C.TensorBase, "grad") == native.GRADIENT_OF
    assert native._getter(torch._C.TensorBase, "data") not in (0, native.GRADIENT_OF)
    assert native._getter(torch._C.TensorBase, "add_") == 0  # a method
    assert native._getter(torch.Tensor, "grad") == 0  # inherited, not its own
    assert native._getter(torch.nn.Parameter, "nothing") == 0


@pytest.mark.parametrize("held", [True, False], ids=["held", "new"])
@pytest.mark.parametrize("watched", [True, False], ids=["in machine code", "in Python"])
def test_another_gradient_is_used_and_no_gradient_too(
    watched: bool, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After steps in which the gradients were the same objects, a new one, none, and the first one again."""
    if not watched:
        monkeypatch.setattr(native, "GRADIENT_OF", 0)
    ps = [torch.nn.Parameter(torch.zeros(3)) for _ in range(3)]
    optimizer = door.SGD(ps, lr=1.0)
    first = [torch.full((3,), float(k + 1)) for k in range(3)]
    total = torch.zeros(3)
    for step in range(12):
        gradients: list[torch.Tensor | None] = list(first) if held or step == 0 else [g.clone() for g in first]
        if step in (5, 6):
            gradients[1] = torch.full((3,), 10.0)
        if step in (7, 8):
            gradients[2] = None
        for p, g in zip(ps, gradients, strict=True):
            p.grad = g
        optimizer.step()
        total += torch.tensor([0.0 if g is None else g[0].item() for g in gradients])
        assert [-p[0].item() for p in ps] == total.tolist(), step


def in_its_stride() -> tuple[torch.nn.Parameter, door.SGD]:
    """A parameter after 40 steps with one and the same gradient, which is held by then."""
    p = torch.nn.Parameter(torch.zeros(3))
    p.grad = torch.ones(3)
    optimizer = door.SGD([p], lr=1.0)
    for _ in range(40):
        optimizer.step()
    return p, optimizer


class Refusing(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError("mine")


def test_an_error_of_the_getter_is_the_users_own() -> None:
    p, optimizer = in_its_stride()
    with pytest.raises(RuntimeError, match="mine"), Refusing():
        optimizer.step()
    optimizer.step()
    assert p[0].item() == -41


def test_watching_gradients_counts_references_right() -> None:
    p, optimizer = in_its_stride()
    before, none = sys.getrefcount(p.grad), sys.getrefcount(None)
    for _ in range(1000):
        optimizer.step()
    after, nones = sys.getrefcount(p.grad), sys.getrefcount(None)
    assert after == before
    assert abs(nones - none) < 500


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
def test_what_moves_is_noticed(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:
        monkeypatch.setattr(native, "ADDRESS_OF", None)
    w = torch.nn.Parameter(torch.zeros(5))
    optimizer = door.SGD([w], lr=1.0, momentum=0.5)
    w.grad = torch.ones(5)
    optimizer.step()
    optimizer.step()
    assert w[0].item() == -2.5
    w.data = torch.zeros(5)
    optimizer.step()
    assert w[0].item() == -1.75
    w.grad.data = torch.full((5,), 2.0)
    optimizer.step()
    assert w[0].item() == -1.75 - 2.875
    optimizer.state[w]["momentum_buffer"].data = torch.zeros(5)
    optimizer.step()
    assert w[0].item() == -1.75 - 2.875 - 2


def test_among_many_tensors_moved_state_is_noticed_in_its_turn() -> None:
    ws = [torch.nn.Parameter(torch.zeros(3)) for _ in range(batch.MANY + 1)]
    optimizer = door.SGD(ws, lr=1.0, momentum=0.5)
    for w in ws:
        w.grad = torch.zeros(3)
    for _ in range(5):
        optimizer.step()
    assert optimizer._plan is not None
    assert optimizer._plan.held is not None
    moved = torch.ones(3)
    optimizer.state[ws[7]]["momentum_buffer"].data = moved
    for _ in range(batch.TURNS):
        optimizer.step()
    assert 0 < moved[0].item() < 1
    assert ws[7][0].item() < 0


@pytest.mark.parametrize("strided", [False, True], ids=["kernel", "no kernel"])
def test_gradients_that_the_user_lets_go_are_freed(strided: bool) -> None:
    w = torch.zeros(8, 4)[:, ::2].requires_grad_() if strided else torch.zeros(8, 2, requires_grad=True)
    optimizer = door.Adam([w], clip_norm=1.0)
    for _ in range(4):
        w.grad = torch.ones(8, 2)
        gone = weakref.ref(w.grad)
        optimizer.step()
        optimizer.zero_grad()
        assert gone() is None


def test_an_optimizer_that_is_let_go_is_freed() -> None:
    ps = parameters(SMALL, torch.float32)
    give_gradients(ps, step=0)
    optimizer = door.Adam(ps)
    optimizer.step()
    gone: list[Any] = [weakref.ref(x) for x in (optimizer, optimizer._plan, optimizer.state[ps[0]]["exp_avg"])]
    del optimizer
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


def test_parameters_of_several_kinds_in_one_step() -> None:
    """Two dtypes, three rules, a layout without a kernel, one parameter without a gradient, in two groups."""
    single, double = parameters((5, 7), torch.float32), parameters((5, 7), torch.float64)
    strided = torch.zeros(6, 4)[:, ::2].requires_grad_()
    groups: list[dict[str, Any]] = [
        {"params": [single[0], double[0], strided]},
        {"params": [single[1]], "momentum": 0.0, "lr": 0.5},
        {"params": [double[1]]},
    ]
    optimizer = door.SGD(groups, lr=1.0, momentum=0.9)
    moving = [single[0], double[0], strided, single[1]]
    before = [p.detach().clone() for p in moving]
    for p in moving:
        p.grad = torch.ones_like(p)
    optimizer.step()
    for p, b, rate in zip(moving, before, (1.0, 1.0, 1.0, 0.5), strict=True):
        torch.testing.assert_close(p.detach(), b - rate)
    assert double[1] not in optimizer.state
