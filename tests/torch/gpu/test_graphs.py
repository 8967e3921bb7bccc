"""CUDA graphs of a step, and what else only a real device shows; collected by `make test-gpu` alone."""

import functools
from typing import Any

import pytest
import torch

import stepwell.torch as door
from stepwell import rules
from tests.kernels.interpreter import DEVICE
from tests.torch.gpu.test_capture import CAPTURABLE


def graph_of(optimizer: Any, params: Any, loss: Any) -> torch.cuda.CUDAGraph:
    """Three steps outside, then one into a graph, as torch's documentation has it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            loss(params).backward()
            optimizer.step()
    torch.cuda.current_stream().wait_stream(side)
    optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss(params).backward()
        optimizer.step()
    return graph


def loss(params: Any) -> torch.Tensor:
    return sum(((p - 3).square().sum() for p in params), torch.zeros((), device=DEVICE))


MAKERS: dict[str, Any] = {
    **{name: functools.partial(getattr(door, name), capturable=True) for name in CAPTURABLE},
    "SGD": functools.partial(door.SGD, lr=0.01, momentum=0.9),
    "yogi": door.from_rule(rules.yogi),
}


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5, "ema": 0.9, "zero_grad": True}], ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_a_replayed_graph_is_the_same_training(name, options):
    sizes = (1, 5, 2049, 100_003)
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(n, generator=generator) for n in sizes]
    left, right = ([x.clone().to(DEVICE).requires_grad_() for x in start] for _ in range(2))
    ours, theirs = MAKERS[name](left, **options), MAKERS[name](right, **options)
    graph = graph_of(ours, left, loss)
    for _ in range(5):
        graph.replay()
    for _ in range(8):
        theirs.zero_grad(set_to_none=True)
        loss(right).backward()
        theirs.step()
    torch.cuda.synchronize()
    assert all(map(torch.equal, left, right))
    assert all(float(entry["step"]) == 8 for entry in ours.state.values())


def test_a_rate_is_changed_between_replays():
    rate = torch.tensor(0.1, device=DEVICE)
    p, q = (torch.zeros(5, device=DEVICE, requires_grad=True) for _ in range(2))
    graph = graph_of(door.Adam([p], lr=rate, capturable=True), [p], loss)
    other = door.Adam([q], lr=0.1)
    for k in range(6):
        rate.fill_(0.1 / (k + 1))
        graph.replay()
    for k in range(9):
        other.param_groups[0]["lr"] = 0.1 if k < 3 else float(torch.tensor(0.1 / (k - 2)))
        other.zero_grad()
        loss([q]).backward()
        other.step()
    torch.testing.assert_close(p, q, rtol=1e-6, atol=0)


def test_steps_outside_and_replays_take_turns():
    p, q = (torch.zeros(5000, device=DEVICE, requires_grad=True) for _ in range(2))
    ours, other = (door.Adam([x], lr=0.1, capturable=True) for x in (p, q))
    graph = graph_of(ours, [p], loss)
    for k in range(6):
        if k % 2:
            graph.replay()
        else:
            p.grad = None
            loss([p]).backward()
            ours.step()
    for _ in range(9):
        q.grad = None
        loss([q]).backward()
        other.step()
    assert torch.equal(p, q)


def test_a_changed_rate_compiles_nothing():
    p = torch.zeros(5000, device=DEVICE, requires_grad=True)
    optimizer: Any = door.Adam([p], lr=0.1)
    counts = []
    for k in range(5):
        p.grad = torch.ones_like(p)
        optimizer.param_groups[0]["lr"] = 0.1 * k
        optimizer.step()
        (batch,) = optimizer._plan.batches
        caches = [getattr(batch.kernel, name).device_caches for name in ("clock", "step")]
        counts.append([len(cache[0]) for by_device in caches for cache in by_device.values()])
    assert counts == counts[:1] * 5


def test_more_elements_than_32_bits_count():
    """One tensor of 2³¹ + 5 elements: the last of them are stepped, and the first are."""
    free, _ = torch.cuda.mem_get_info()
    size = (1 << 31) + 5
    if free < 3 * 2 * size:
        pytest.skip("needs 13 GB of the GPU's memory")
    p = torch.zeros(size, dtype=torch.bfloat16, device=DEVICE, requires_grad=True)
    p.grad = torch.ones_like(p)
    door.SGD([p], lr=0.5).step()
    for part in (p[:3], p[(1 << 31) - 3 : (1 << 31) + 3], p[-3:]):
        assert bool((part == -0.5).all())
