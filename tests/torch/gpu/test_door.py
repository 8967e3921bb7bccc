"""torch's optimizers whose parameters lie on a GPU: plan, state, groups, hooks and whole step, through its kernels."""

import copy
from typing import Any

import pytest
import torch

import stepwell.torch as door
from stepwell import rules, schedules
from stepwell.torch.eager import Loose
from stepwell.torch.gpu.batch import GpuBatch
from tests.kernels.interpreter import DEVICE
from tests.torch.gpu.harness import SMALL, Pair, engine, no_host_reads
from tests.torch.options import NAMES, rich

EVERYTHING: dict[str, Any] = {"clip_norm": 0.5, "ema": 0.9, "zero_grad": True}


def named(name: str, options: dict[str, Any], **more: Any) -> Pair:
    theirs = {"foreach": False, **options}
    return Pair(
        lambda ps: getattr(door, name)(ps, **options), lambda qs: getattr(torch.optim, name)(qs, **theirs), **more
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_torchs(name):
    pair = named(name, rich(name))
    pair.train()
    assert [type(batch) for batch in pair.mine._plan.batches] == [GpuBatch]
    assert pair.mine._plan.on_device


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64, torch.complex128])
def test_other_dtypes(dtype):
    pair = named("Adam", {"amsgrad": False}, dtype=dtype, sizes=(1, 5, (3, 700)))
    pair.train(5)
    assert pair.mine._plan.on_device


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("gaps", [True, False])
def test_the_whole_step_is_that_of_the_cpu(gaps, fresh):
    """Clipping, averages, zeroed gradients, ascent and decay, of gradients that come, go and stay."""
    options = {**EVERYTHING, "maximize": True, "weight_decay": 0.1}
    pair = Pair(lambda ps: door.Adam(ps, **options), lambda qs: door.Adam(qs, **options), gaps=gaps, fresh=fresh)
    pair.train()
    assert pair.mine._plan.on_device
    assert not pair.theirs._plan.device_batches


@pytest.mark.parametrize("rule", [rules.yogi, rules.lion, rules.nadamw], ids=lambda r: r.name)
def test_a_rule_of_any_kind(rule):
    make = door.from_rule(rule)
    Pair(lambda ps: make(ps, lr=0.01), lambda qs: make(qs, lr=0.01), sizes=SMALL).train()


def test_groups_have_scalars_of_their_own():
    def groups(make: Any, ps: Any) -> Any:
        return make([{"params": ps[:1], "lr": 0.5}, {"params": ps[1:], "betas": (0.5, 0.6)}], lr=0.01)

    pair = Pair(lambda ps: groups(door.Adam, ps), lambda qs: groups(torch.optim.Adam, qs), sizes=SMALL)
    pair.train(3)
    for optimizer in (pair.mine, pair.theirs):
        optimizer.param_groups[1]["lr"] = 0.2
    pair.train(3)
    assert len(pair.mine._plan.batches) == 1


def test_half_precision_parameters_have_an_average_in_single():
    ps = [torch.full((n,), 0.5, dtype=torch.bfloat16, device=DEVICE, requires_grad=True) for n in (5, 3000)]
    for p in ps:
        p.grad = torch.ones_like(p)
    with engine():
        optimizer = door.SGD(ps, lr=0.25, ema=0.5)
        optimizer.step()
    assert all(bool((p == 0.25).all()) for p in ps)
    assert all(optimizer.state[p]["ema"].dtype is torch.float32 for p in ps)
    assert all(bool((optimizer.state[p]["ema"] == 0.375).all()) for p in ps)


def test_a_rate_that_lies_on_the_device_is_read_there():
    rate = torch.tensor(0.5, device=DEVICE)
    pair = Pair(
        lambda ps: door.SGD(ps, lr=rate, momentum=0.9), lambda qs: torch.optim.SGD(qs, lr=0.5, momentum=0.9), SMALL
    )  # fmt: skip
    pair.train(2)
    rate.fill_(0.125)
    pair.theirs.param_groups[0]["lr"] = 0.125
    pair.train(2)


def test_a_schedule():
    rate = schedules.warmup(3).then(schedules.cosine(10))
    pair = Pair(lambda ps: door.Adam(ps, lr=rate), lambda qs: door.Adam(qs, lr=rate), SMALL)
    pair.train(6)
    assert pair.mine.param_groups[0]["lr"] == pair.theirs.param_groups[0]["lr"]


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"lr": torch.tensor(0.1, device=DEVICE)}], ids=str)
def test_a_step_reads_nothing_back(options):
    """Also with clipping, averages, a rate on the device, new gradients, and parameters that rest."""
    pair = Pair(lambda ps: door.Adam(ps, **options), lambda qs: door.Adam(qs, **options), SMALL)
    pair.train(2)
    for _ in range(4):
        pair.give()
        with engine(), no_host_reads():
            pair.mine.step()
        pair.theirs.step()
        pair.steps += 1
    pair.compare()


def test_what_is_read_back_is_noticed():
    """Were it not, the test above would show nothing."""
    pair = Pair(lambda ps: door.Adam(ps, check_finite=True), lambda qs: door.Adam(qs), SMALL)
    pair.train(1)
    pair.give()
    with engine(), pytest.raises((AssertionError, RuntimeError)), no_host_reads():
        pair.mine.step()


def test_a_gradient_that_is_not_finite_is_refused():
    pair = Pair(lambda ps: door.Adam(ps, check_finite=True), lambda qs: door.Adam(qs), SMALL)
    pair.train(2)
    before = [p.detach().clone() for p in pair.ps]
    pair.give()
    pair.ps[1].grad = torch.full_like(pair.ps[1], float("nan"))
    with engine(), pytest.raises(FloatingPointError, match="nothing was changed"):
        pair.mine.step()
    assert all(map(torch.equal, before, pair.ps))


def test_state_goes_to_torch_and_back():
    pair = named("Adam", {"lr": 0.1}, sizes=SMALL, gaps=False)
    pair.train(2)
    assert all(entry["step"].device.type == DEVICE for entry in pair.mine.state.values())
    saved = copy.deepcopy(pair.mine.state_dict())
    pair.theirs.load_state_dict(saved)
    pair.train(1)
    pair.mine.load_state_dict(copy.deepcopy(pair.theirs.state_dict()))
    pair.train(2)
    assert float(pair.mine.state[pair.ps[0]]["step"]) == 5


def test_a_copy_goes_on():
    pair = named("NAdam", {}, sizes=SMALL, gaps=False)
    pair.train(2)
    with engine():
        pair.mine = copy.deepcopy(pair.mine)
    pair.ps = pair.mine.param_groups[0]["params"]
    pair.train(2)


def test_averages_are_swapped_in():
    pair = Pair(lambda ps: door.SGD(ps, lr=0.1, ema=0.5), lambda qs: door.SGD(qs, lr=0.1, ema=0.5), SMALL)
    pair.train(3)
    with engine(), pair.mine.swap_ema(), pair.theirs.swap_ema():
        for p, q in zip(pair.ps, pair.qs, strict=True):
            torch.testing.assert_close(p.cpu(), q)


def test_memory_that_was_replaced_is_followed():
    pair = named("SGD", {"lr": 0.1, "momentum": 0.9}, sizes=SMALL, gaps=False)
    pair.train(2)
    for p in pair.ps:
        p.data = p.data.clone()
    pair.train(1)
    for p in pair.ps:
        pair.mine.state[p]["momentum_buffer"] = pair.mine.state[p]["momentum_buffer"].clone()
    pair.train(2)


def test_hooks_see_the_step():
    pair = named("Adam", {}, sizes=SMALL)
    seen: list[str] = []
    pair.mine.register_step_pre_hook(lambda *_: seen.append("before"))
    pair.mine.register_step_post_hook(lambda *_: seen.append("after"))
    pair.train(2)
    assert seen == ["before", "after"] * 2


def test_versions_tell_autograd_of_the_step():
    pair = named("SGD", {"lr": 0.1}, sizes=(3,), gaps=False)
    (p,) = pair.ps
    before = p._version
    pair.step()
    assert p._version > before


def test_what_no_kernel_takes_is_stepped_by_torch():
    """A view with gaps, and a rule that reads whole rows of a dense gradient."""
    wide = torch.ones(6, 8, device=DEVICE)
    p = torch.nn.Parameter(wide[:, ::2])
    p.grad = torch.ones_like(p)
    with engine():
        optimizer: Any = door.SGD([p], lr=0.5)
        optimizer.step()
        assert [type(x) for x in optimizer._plan.loose] == [Loose]
        assert not optimizer._plan.on_device
    assert bool((p == 0.5).all())
    assert bool((wide[:, 1::2] == 1).all())
    make = door.from_rule(rules.adagrad_rowwise)
    Pair(lambda ps: make(ps), lambda qs: make(qs), sizes=((4, 5),), gaps=False).train(4)


def test_numbers_change_and_kernels_stay(monkeypatch):
    """Neither rate nor step nor any other number is part of a kernel or of what it is launched with."""
    pair = named("Adam", {"weight_decay": 0.1}, sizes=SMALL, gaps=False)
    pair.train(2)
    (batch,) = pair.mine._plan.batches
    launches: list[Any] = []
    for name in ("step", "clock"):
        kernel = getattr(batch.kernel, name)
        run = type(kernel).run

        def watched(self: Any, *args: Any, _run: Any = run, **kwargs: Any) -> Any:
            described = [(x.dtype, x.data_ptr() % 16) if isinstance(x, torch.Tensor) else x for x in args]
            launches.append((self.__name__, described, sorted(kwargs.items())))
            return _run(self, *args, **kwargs)

        monkeypatch.setattr(type(kernel), "run", watched)
        break  # both are of one type
    for rate in (0.5, 1.0, 0.0, 1e-3):
        for optimizer in (pair.mine, pair.theirs):
            optimizer.param_groups[0] |= {"lr": rate, "eps": 1e-8 + rate, "weight_decay": 0.1 + rate}
        pair.step()
    assert pair.mine._plan.batches == [batch]
    assert len(launches) == 8
    assert all(launch == launches[k % 2] for k, launch in enumerate(launches))


def test_narrow_state_is_refused_there_before_anything_changes():
    p = torch.nn.Parameter(torch.ones(5, device=DEVICE))
    p.grad = torch.ones(5, device=DEVICE)
    optimizer = door.Adam([p], state_dtype="8bit")
    with engine(), pytest.raises(ValueError, match="state_dtype='8bit' needs dense parameters on the CPU"):
        optimizer.step()
    assert p.tolist() == [1.0] * 5
