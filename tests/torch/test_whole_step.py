"""What the step does beside the rule: clipping, averaging, zeroing, checking; alone, together, and against recipes."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import stepwell.torch as door
from tests.torch.harness import assert_close, assert_same_state, gradient, named_pair, parameters, twins
from tests.torch.options import NAMES, rich


def mixed() -> list[Tensor]:
    """Parameters of several sizes, dtypes and layouts: some that a kernel takes, some that none does."""
    single = parameters((0, 5, 33, (4, 6)), torch.float32)
    double = parameters((17, (3, 4)), torch.float64, seed=2)
    strided = parameters(((6, 8),), torch.float32, seed=3)[0].detach()[:, ::2].requires_grad_()
    return [*single, *double, strided, *parameters((7,), torch.complex64, seed=4)]


def give(*sides: Sequence[Tensor], step: int) -> None:
    for k, same in enumerate(zip(*sides, strict=True)):
        for p in same:
            p.grad = None if (step + k) % 6 == 5 else gradient(p.shape, p.dtype, step, k).clone()


def groups(params: Sequence[Tensor]) -> list[dict[str, Any]]:
    return [{"params": params[:3]}, {"params": params[3:], "lr": 0.1, "weight_decay": 0.05}]


def close(ps: Sequence[Tensor], qs: Sequence[Tensor], what: str, tolerance: float = 3e-6) -> None:
    for k, (p, q) in enumerate(zip(ps, qs, strict=True)):
        assert_close(p.detach(), q.detach(), f"{what}, parameter {k}", tolerance, scale=0.01)


# --- clipping


@pytest.mark.parametrize("limit", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_clip_norm_is_clip_grad_norm_and_a_step(name: str, limit: float) -> None:
    ps, qs = mixed(), mixed()
    mine = getattr(door, name)(groups(ps), clip_norm=limit)
    yours = getattr(torch.optim, name)(groups(qs), foreach=False)
    clipped = 0
    for step in range(8):
        give(ps, qs, step=step)
        kept = [None if p.grad is None else p.grad.clone() for p in ps]
        mine.step()
        clipped += float(torch.nn.utils.clip_grad_norm_(qs, limit)) > limit
        yours.step()
        close(ps, qs, f"step {step}")
        for p, g in zip(ps, kept, strict=True):
            assert p.grad is g is None or torch.equal(p.grad, g), "the gradient itself is not scaled"  # pyright: ignore
    assert clipped == {1e-3: 7, 1.0: 4, 1e6: 0}[limit]


def test_clipping_in_double_precision_is_exact() -> None:
    pair = named_pair("SGD", {"lr": 0.1, "momentum": 0.9}, sizes=(5, 100_003))
    mine = door.SGD(pair.ps, lr=0.1, momentum=0.9, clip_norm=0.5)
    for step in range(6):
        give(pair.ps, pair.qs, step=step)
        mine.step()
        torch.nn.utils.clip_grad_norm_(pair.qs, 0.5)
        pair.yours.step()
        assert_same_state(mine, pair.yours, f"step {step}", tolerance=1e-12)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_clipping_what_is_not_finite_does_what_it_does_in_torch(value: float) -> None:
    ps, qs = parameters((5, 17), torch.float64), parameters((5, 17), torch.float64)
    mine, yours = door.SGD(ps, lr=0.1, clip_norm=1.0), torch.optim.SGD(qs, lr=0.1, foreach=False)
    for p, q in zip(ps, qs, strict=True):
        p.grad = torch.ones_like(p)
        q.grad = torch.ones_like(q)
    ps[1].grad[3] = qs[1].grad[3] = value  # pyright: ignore[reportOptionalSubscript]
    mine.step()
    torch.nn.utils.clip_grad_norm_(qs, 1.0)
    yours.step()
    close(ps, qs, "clipped")
    assert ps[1].isnan().any()


# --- averaging


def test_ema_is_a_lerp_after_each_step() -> None:
    ps, qs = mixed(), mixed()
    mine, yours = door.Adam(groups(ps), ema=0.8), torch.optim.Adam(groups(qs), foreach=False)
    averages = [q.detach().clone() for q in qs]
    for step in range(8):
        give(ps, qs, step=step)
        mine.step()
        yours.step()
        torch._foreach_lerp_(averages, [q.detach() for q in qs], 0.2)
        close(ps, qs, f"step {step}")
        for p, average in zip(ps, averages, strict=True):
            if p in mine.state:  # before its first gradient a parameter is its own average
                assert_close(mine.state[p]["ema"], average, f"step {step}, ema", 3e-6, scale=0.01)
    with mine.swap_ema():
        close(ps, averages, "swapped")
    close(ps, qs, "swapped back")


def test_ema_is_that_of_torchs_averaged_model() -> None:
    model = torch.nn.Linear(5, 3)
    optimizer = door.SGD(model.parameters(), lr=0.1, ema=0.9)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    averaged.n_averaged.fill_(1)  # the weights it was made with count as the first  # pyright: ignore
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.ones(4, 5)).square().sum().backward()
        optimizer.step()
        averaged.update_parameters(model)
    raw = [p.detach().clone() for p in model.parameters()]
    with optimizer.swap_ema():
        for p, q, r in zip(model.parameters(), averaged.module.parameters(), raw, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)
            assert not torch.allclose(p, r)


def averaging() -> tuple[torch.nn.Parameter, door.Optimizer]:
    w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = door.SGD([w], lr=1.0, ema=0.5)
    w.grad = torch.ones(2)
    optimizer.step()
    return w, optimizer


def test_swap_ema_restores_also_after_an_exception() -> None:
    w, optimizer = averaging()

    def fail() -> None:
        with optimizer.swap_ema():
            assert w.tolist() == [0.5, 1.5]
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        fail()
    assert w.tolist() == [0.0, 1.0]
    assert optimizer.state[w]["ema"].tolist() == [0.5, 1.5]
    optimizer.step()
    assert w.tolist() == [-1.0, 0.0]
    assert optimizer.state[w]["ema"].tolist() == [-0.25, 0.75]


@pytest.mark.parametrize(
    ("what", "forbidden"),
    [
        (r"step\(\)", lambda o: o.step()),
        (r"state_dict\(\)", lambda o: o.state_dict()),
        (r"load_state_dict\(\)", lambda o: o.load_state_dict({})),
        ("copying the optimizer", lambda o: __import__("copy").deepcopy(o)),
    ],
    ids=["step", "state_dict", "load_state_dict", "deepcopy"],
)
def test_what_swap_ema_forbids(what: str, forbidden: Any) -> None:
    w, optimizer = averaging()
    with optimizer.swap_ema():
        with pytest.raises(RuntimeError, match=rf"^{what} inside swap_ema\(\): .* leave the block first"):
            forbidden(optimizer)
        assert w.tolist() == [0.5, 1.5]
    assert w.tolist() == [0.0, 1.0]


def test_swap_ema_twice_or_without_an_average_is_refused() -> None:
    w, optimizer = averaging()
    with optimizer.swap_ema(), pytest.raises(RuntimeError, match="already in force"), optimizer.swap_ema():
        pass
    assert w.tolist() == [0.0, 1.0]
    with pytest.raises(RuntimeError, match=r"needs an optimizer made with ema="), door.SGD([w]).swap_ema():
        pass


def test_swap_ema_keeps_gradients_and_graphs_honest() -> None:
    w, optimizer = averaging()
    loss = w.square().sum()
    with optimizer.swap_ema():
        assert w.requires_grad
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# --- zeroing


def test_zero_grad_leaves_zeros_in_the_same_memory() -> None:
    ps, qs = mixed(), mixed()
    mine, yours = door.Adam(groups(ps), zero_grad=True), torch.optim.Adam(groups(qs), foreach=False)
    for step in range(4):
        give(ps, qs, step=step)
        held = [p.grad for p in ps]
        mine.step()
        yours.step()
        close(ps, qs, f"step {step}")
        assert all(p.grad is g for p, g in zip(ps, held, strict=True))
        assert not any(g.any() for g in held if g is not None)


def test_gradients_accumulate_on_the_zeros() -> None:
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = door.SGD([w], lr=0.5, zero_grad=True)
    for _ in range(3):
        (w * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        optimizer.step()
    assert w.tolist() == [-0.5, -2.0, -3.5]


# --- together


def recipe(optimizer: torch.optim.Optimizer, params: list[Tensor], averages: list[Tensor], options: Any) -> None:
    """The whole step in torch's own words."""
    if options["clip_norm"] is not None:
        torch.nn.utils.clip_grad_norm_(params, options["clip_norm"])
    optimizer.step()
    if options["ema"] is not None:
        torch._foreach_lerp_(averages, [p.detach() for p in params], 1 - options["ema"])
    if options["zero_grad"]:
        optimizer.zero_grad(set_to_none=False)


@pytest.mark.parametrize("maximize", [False, True], ids=["down", "up"])
@pytest.mark.parametrize("decay", [0.0, 0.1], ids=["no decay", "decay"])
def test_every_combination_of_stages(decay: float, maximize: bool) -> None:
    given = {"weight_decay": decay, "maximize": maximize}
    for clip_norm, ema, zero_grad in itertools.product((None, 0.5), (None, 0.8), (False, True)):
        options = {"clip_norm": clip_norm, "ema": ema, "zero_grad": zero_grad}
        ps = parameters((1, 17, 33), torch.float64)
        qs = twins(ps)
        mine = door.SGD(ps, momentum=0.9, **given, **options, check_finite=zero_grad)
        yours = torch.optim.SGD(qs, momentum=0.9, **given, foreach=False)
        averages = [q.detach().clone() for q in qs]
        for step in range(5):
            give(ps, qs, step=step)
            mine.step()
            recipe(yours, qs, averages, options)
            close(ps, qs, f"{options}, step {step}", 1e-12)
        for p, average in zip(ps, averages, strict=True):
            assert ("ema" in mine.state[p]) == (ema is not None)
            if ema is not None:
                assert_close(mine.state[p]["ema"], average, f"{options}, ema", 1e-12, scale=0.01)
            assert p.grad is None or not zero_grad or not p.grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_takes_the_whole_step(name: str) -> None:
    ps = parameters((5, 17), torch.float32)
    qs = twins(ps)
    options = {"clip_norm": 0.5, "ema": 0.8, "zero_grad": True}
    mine = getattr(door, name)(ps, **rich(name), maximize=True, **options)
    yours = getattr(torch.optim, name)(qs, **rich(name), maximize=True, foreach=False)
    averages = [q.detach().clone() for q in qs]
    for step in range(5):
        give(ps, qs, step=step)
        mine.step()
        recipe(yours, qs, averages, options)
        close(ps, qs, f"step {step}")
    close([mine.state[p]["ema"] for p in ps], averages, "averages")


def test_the_average_survives_a_checkpoint() -> None:
    ps = parameters((5, 17), torch.float32)
    mine = door.Adam(ps, ema=0.5)
    give(ps, step=3)
    mine.step()
    other = door.Adam(ps, ema=0.5)
    other.load_state_dict(mine.state_dict())
    assert all(torch.equal(other.state[p]["ema"], mine.state[p]["ema"]) for p in ps)
    torch.optim.Adam(ps).load_state_dict(mine.state_dict())
    without = door.Adam(ps)
    without.load_state_dict(mine.state_dict())
    without.step()
