"""Steps inside a CUDA graph: what is refused, and what goes into the graph itself."""

import weakref
from typing import Any

import numpy as np
import pytest
import torch

import stepwell.torch as door
from stepwell import schedules
from stepwell.torch.gpu import capture, device
from tests.kernels.interpreter import DEVICE
from tests.torch.gpu.harness import SMALL, Pair, engine

CAPTURABLE = ("RMSprop", "Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam")


def leaf() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(3, device=DEVICE))


@pytest.mark.parametrize("name", CAPTURABLE)
def test_capturable_is_for_parameters_on_a_gpu(name):
    with pytest.raises(ValueError, match=r"^capturable=True needs parameters on a GPU; got one on cpu"):
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
    """Addresses and numbers are handed over by kernels, not copied; a step outside sends its own again."""
    options: dict[str, Any] = {"lr": 0.1, "clip_norm": 0.5, "ema": 0.9, "weight_decay": 0.1}
    pair = Pair(lambda ps: door.Adam(ps, capturable=True, **options), lambda qs: door.Adam(qs, **options), SMALL)
    pair.gaps = False
    pair.train(2)
    capturing()
    copied: list[Any] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda *_: copied.append("pinned"))
    put, right = [], device._put
    monkeypatch.setattr(device, "_put", lambda target, words: (put.append(len(words)), right(target, words)))
    (batch,) = pair.mine._plan.batches
    sent = dict(batch.sent)
    pair.train(2)
    assert not copied
    assert sorted(put) == [len(SMALL)] * 4 + [batch.groups.size] * 2  # addresses for the norm and for the step
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
