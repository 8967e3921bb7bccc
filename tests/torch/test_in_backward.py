"""Steps inside the backward pass: the same numbers, and no gradient left behind."""

import copy
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import stepwell.torch as door
from stepwell import schedules

X = torch.randn(16, 20, generator=torch.Generator().manual_seed(0))


class Net(torch.nn.Module):
    """Two layers, a sparse table, and one that only some passes use."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.last = torch.nn.Linear(20, 30), torch.nn.Linear(30, 1)
        self.table = torch.nn.Embedding(40, 20, sparse=True)
        self.now_and_then = torch.nn.Parameter(torch.ones(20))

    def forward(self, k: int) -> torch.Tensor:
        x = X + self.table((torch.arange(16) * (k + 1)) % 40)
        return self.last(torch.tanh(self.first(x * self.now_and_then if k % 3 == 1 else x))).square().mean()


def trained(optimizer_of: Any, steps: int = 12) -> tuple[Net, Any]:
    net = Net()
    optimizer = optimizer_of(net.parameters())
    for k in range(steps):
        optimizer.zero_grad()
        net(k).backward()
        optimizer.step()
    return net, optimizer


@pytest.mark.parametrize(
    "options",
    [
        {}, {"ema": 0.9}, {"sparse": "exact"}, {"weight_decay": 0.1, "maximize": True}, {"sparse": "exact", "ema": 0.5},
    ],
    ids=str,
)  # fmt: skip
def test_the_numbers_are_those_of_a_step_after_it(options):
    def made(in_backward: bool) -> Any:
        return lambda ps: door.Adam(ps, lr=schedules.cosine(12, rate=0.01), in_backward=in_backward, **options)

    (one, a), (two, b) = trained(made(False)), trained(made(True))
    a.flush()
    b.flush()
    assert a.param_groups[0]["lr"] == b.param_groups[0]["lr"]
    for (name, p), q in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(p, q), name
        assert a.state[p].keys() == b.state[q].keys()
        for key in a.state[p]:
            assert torch.equal(a.state[p][key], b.state[q][key]), (name, key)


def test_gradients_are_gone_when_backward_is_done():
    net = Net()
    optimizer = door.Adam(net.parameters(), in_backward=True)
    start = copy.deepcopy(net.state_dict())
    net(0).backward()
    assert all(p.grad is None for p in net.parameters())
    assert not torch.equal(net.first.weight, start["first.weight"])
    optimizer.step()
    net(0).backward()
    with pytest.raises(RuntimeError, match=r"second gradient before step\(\)"):
        net(0).backward()


def test_a_parameter_used_twice_is_stepped_once():
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = door.SGD([w], lr=1.0, in_backward=True)
    (w.sum() + 2 * w.sum()).backward()
    optimizer.step()
    assert w.tolist() == [-2.0] * 3


def test_gradients_set_by_hand_and_parameters_unfrozen_later_are_not_forgotten():
    w, frozen = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2), requires_grad=False)
    optimizer = door.SGD([w, frozen], lr=1.0, in_backward=True)
    w.grad = torch.ones(2)
    optimizer.step()
    assert w.tolist() == [0.0, 0.0]
    frozen.requires_grad_()
    for _ in range(2):
        frozen.sum().backward()
        optimizer.step()
    assert frozen.tolist() == [-1.0, -1.0]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no peak of memory that can be reset")
def test_the_memory_of_the_gradients_is_never_there_at_once():
    """Ten matrices of 16 MB: the peak is lower by at least nine of them."""
    code = """
import sys, torch
import stepwell.torch as door
layers = torch.nn.Sequential(*(torch.nn.Linear(2048, 2048, bias=False) for _ in range(10)))
optimizer = door.SGD(layers.parameters(), lr=1e-3, in_backward=sys.argv[1] == "yes")
for _ in range(3):
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")  # the peak begins anew: compiling has its own
    layers(torch.ones(1, 2048)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
with open("/proc/self/status") as status:
    print(*(line.split()[1] for line in status if line.startswith("VmHWM")))
"""
    freed = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}  # what is let go is given back at once, and seen to be
    peaks = {
        how: int(subprocess.run([sys.executable, "-c", code, how], capture_output=True, check=True, env=freed).stdout)
        for how in ("no", "yes")
    }
    one = 2048 * 2048 * 4 / 1024
    assert peaks["no"] - peaks["yes"] >= 9 * one - 0.5 * one  # the process's own memory varies by less than half of one


@pytest.mark.parametrize(
    "option", [{"clip_norm": 1.0}, {"check_finite": True}, {"zero_grad": True}], ids=["clip", "finite", "zero"]
)
def test_options_that_need_all_gradients_are_refused(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}=.* cannot go with in_backward"):
        door.Adam([torch.nn.Parameter(torch.ones(1))], in_backward=True, **option)
    with pytest.raises(TypeError, match="in_backward must be True or False"):
        door.Adam([torch.nn.Parameter(torch.ones(1))], in_backward=cast(bool, "yes"))


def test_closures_and_loss_scales_are_refused():
    w = torch.nn.Parameter(torch.ones(1))
    optimizer = door.Adam([w], in_backward=True)
    with pytest.raises(RuntimeError, match="a closure cannot go with"):
        optimizer.step(lambda: w.sum())
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(w.sum()).backward()
    with pytest.raises((RuntimeError, AssertionError)):
        scaler.step(optimizer)


def test_a_copy_watches_its_own_parameters_and_a_dropped_optimizer_none():
    net, optimizer = trained(lambda ps: door.Adam(ps, in_backward=True), steps=2)
    twin, other = copy.deepcopy((net, optimizer))
    before = net.first.weight.detach().clone()
    twin(3).backward()
    other.step()
    assert torch.equal(net.first.weight, before)
    assert not torch.equal(twin.first.weight, before)
    del optimizer
    gc.collect()
    net(3).backward()
    assert net.first.weight.grad is not None
    assert torch.equal(net.first.weight, before)


def test_narrow_state_goes_with_it():
    (one, _), (two, _) = (
        trained(lambda ps, b=b: door.Adam([p for p in ps if p.shape[0] != 40], state_dtype="8bit", in_backward=b))
        for b in (False, True)
    )
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0.02)  # each has the noise of its place
