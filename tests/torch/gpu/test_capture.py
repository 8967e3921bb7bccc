"""Steps inside a CUDA graph: what is refused, what goes into the graph itself, and on a real device the graphs."""

import weakref
from typing import Any

import numpy as np
import pytest
import torch

import stepwell.torch as door
from stepwell import rules, schedules
from stepwell.torch.gpu import capture, device
from tests.kernels.interpreter import DEVICE, ON_GPU
from tests.torch.gpu.harness import SMALL, Pair, engine

CAPTURABLE = ("RMSprop", "Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam")
on_a_gpu = pytest.mark.skipif(not ON_GPU, reason="needs a GPU: make test-gpu")


def leaf() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(3, device=DEVICE))


@pytest.mark.parametrize("name", CAPTURABLE)
def test_capturable_is_for_parameters_on_a_gpu(name):
    with pytest.raises(ValueError, match="^capturable=True needs parameters on a GPU; got one on cpu"):
        getattr(door, name)([torch.nn.Parameter(torch.ones(3))], capturable=True)
    with engine():
        optimizer = getattr(door, name)([leaf()], capturable=True)
        optimizer.add_param_group({"params": leaf()})
        optimizer.param_groups[0]["params"][0].grad = torch.ones(3, device=DEVICE)
        optimizer.step()


def test_what_a_graph_cannot_do_is_refused():
    with engine():
        with pytest.raises(ValueError, match="a graph cannot ask a schedule"):
            door.Adam([leaf()], lr=schedules.cosine(10), capturable=True)
        with pytest.raises(ValueError, match="check_finite=True raises an error, which needs the host"):
            door.Adam([leaf()], check_finite=True, capturable=True)
        with pytest.raises(ValueError, match="differentiable=True"):
            door.Adam([leaf()], differentiable=True)


@pytest.fixture
def capturing(monkeypatch) -> Any:
    """From the call on, what is launched goes into a graph, or so it seems."""
    return lambda now=True: monkeypatch.setattr(device, "capturing", lambda: now)


def stepped(optimizer: Any, steps: int = 2) -> Any:
    for _ in range(steps):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.ones_like(p)
        optimizer.step()
    return optimizer


def test_the_first_step_is_made_outside(capturing):
    with engine():
        optimizer = door.Adam([leaf()], capturable=True)
        optimizer.param_groups[0]["params"][0].grad = torch.ones(3, device=DEVICE)
        capturing()
        with pytest.raises(RuntimeError, match="must be the step that was made before it"):
            optimizer.step()


def test_every_group_is_to_be_capturable(capturing):
    with engine():
        optimizer = stepped(door.Adam([{"params": leaf(), "capturable": True}, {"params": leaf()}]))
        capturing()
        with pytest.raises(RuntimeError, match="needs capturable=True in every group"):
            optimizer.step()


def test_a_schedule_that_came_later_is_refused(capturing):
    with engine():
        optimizer = stepped(door.SGD([leaf()], lr=schedules.cosine(10)))
        capturing()
        with pytest.raises(RuntimeError, match="cannot ask a schedule"):
            optimizer.step()


def test_what_the_host_would_step_is_refused(capturing):
    with engine():
        p = torch.nn.Parameter(torch.ones(4, 4, device=DEVICE)[:, ::2])
        optimizer = stepped(door.SGD([p], lr=0.1))
        assert optimizer._plan is not None
        other = leaf()
        optimizer.add_param_group({"params": other})
        stepped(optimizer)
        capturing()
        with pytest.raises(RuntimeError, match="a CUDA graph needs dense gradients"):
            stepped(optimizer, 1)


def test_what_a_graph_reads_it_has_itself(capturing, monkeypatch):
    """Addresses and numbers are handed over by kernels, not copied from the host; a step outside sends its own again."""
    options = {"lr": 0.1, "clip_norm": 0.5, "ema": 0.9, "weight_decay": 0.1}
    pair = Pair(lambda ps: door.Adam(ps, capturable=True, **options), lambda qs: door.Adam(qs, **options), SMALL)
    pair.gaps = False
    pair.train(2)
    capturing()
    copied: list[Any] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda *_: copied.append("pinned"))
    (batch,) = pair.mine._plan.batches
    sent = dict(batch.sent)
    pair.train(2)
    assert not copied
    assert batch.sent == sent
    for optimizer in (pair.mine, pair.theirs):
        optimizer.param_groups[0]["lr"] = 0.3
    pair.train(1)
    capturing(False)
    pair.train(2)
    assert batch.sent["groups"][1] is not sent["groups"][1]


def test_the_plan_of_a_graph_lives_as_long_as_the_optimizer(capturing):
    with engine():
        optimizer = stepped(door.Adam([leaf()], capturable=True))
        capturing()
        stepped(optimizer)
        captured = weakref.ref(optimizer._plan)
        assert capture._kept[optimizer] == [captured()]
        capturing(False)
        optimizer.add_param_group({"params": leaf()})
        stepped(optimizer)
        assert optimizer._plan is not captured()
        assert captured() is not None


@pytest.mark.parametrize("count", [0, 1, device.WORDS - 1, device.WORDS, device.WORDS + 1, 3 * device.WORDS + 5])
def test_any_number_of_words_is_handed_over(count, capturing):
    capturing()
    words = np.random.default_rng(0).integers(-(1 << 62), 1 << 62, count)
    numbers = np.random.default_rng(0).standard_normal((count, 2))
    place = torch.device(DEVICE)
    assert device.filled(place, words).tolist() == words.tolist()
    assert device.filled(place, numbers).tolist() == numbers.tolist()


# What follows needs a device.


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


MAKERS = {name: lambda ps, name=name, **o: getattr(door, name)(ps, capturable=True, **o) for name in CAPTURABLE} | {
    "SGD": lambda ps, **o: door.SGD(ps, momentum=0.9, **{"lr": 0.01} | o),
    "yogi": lambda ps, **o: door.from_rule(rules.yogi)(ps, **o),
}


@on_a_gpu
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


@on_a_gpu
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


@on_a_gpu
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


@on_a_gpu
def test_a_changed_rate_compiles_nothing():
    p = torch.zeros(5000, device=DEVICE, requires_grad=True)
    optimizer = door.Adam([p], lr=0.1)
    counts = []
    for k in range(5):
        p.grad = torch.ones_like(p)
        optimizer.param_groups[0]["lr"] = 0.1 * k
        optimizer.step()
        (batch,) = optimizer._plan.batches
        caches = [getattr(batch.kernel, name).device_caches for name in ("clock", "step")]
        counts.append([len(cache[0]) for by_device in caches for cache in by_device.values()])
    assert counts == counts[:1] * 5


@on_a_gpu
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
