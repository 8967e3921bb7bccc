"""The doctor changes nothing, leaves nothing behind, and hears what it should."""

import contextlib
import copy
import gc
import json
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepwell import schedules
from stepwell.lab.health import backward, report
from stepwell.lab.health.doctor import doctor
from stepwell.torch import Adam as OurAdam

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))


def train(net, optimizer, steps=30, scheduler=None):
    torch.manual_seed(1)
    losses = []
    for _ in range(steps):
        x = torch.randn(16, 6)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), x[:, :3].argmax(1))
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p, 1e-2),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-3),
        lambda p: OurAdam(p, 1e-2, clip_norm=0.5),
        lambda p: OurAdam(p, lr=schedules.cosine(30), zero_grad=True),
    ],
)
def test_the_numbers_of_a_training_stay_what_they_are(net, make):
    other = copy.deepcopy(net)
    alone = train(other, make(other.parameters()))
    optimizer = make(net.parameters())
    with doctor(optimizer, net, every=3) as watch:
        seen = train(net, optimizer)
    assert seen == alone
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
    assert watch.record.losses.read() == pytest.approx(alone, rel=1e-6)
    assert len(watch.samples) > 10


def test_nothing_is_left_behind(net):
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    before = torch.autograd.backward
    with doctor(optimizer), doctor(optimizer):
        assert torch.autograd.backward is not before
        train(net, optimizer, 3)
    assert torch.autograd.backward is before
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_nothing_is_left_behind_by_an_error(net):
    optimizer, before = torch.optim.Adam(net.parameters(), 1e-3), torch.autograd.backward
    watch = doctor(optimizer)

    def interrupted():
        with watch:
            train(net, optimizer, 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert torch.autograd.backward is before
    assert watch.steps == 3
    assert len(watch.samples) == 3


def test_it_can_be_started_again(net):
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    watch = doctor(optimizer, net)
    with watch:
        train(net, optimizer, 5)
        with pytest.raises(RuntimeError, match="watching already"):
            watch.start()
    watch.stop()
    train(net, optimizer, 5)
    with watch:
        train(net, optimizer, 5)
    assert watch.steps == 10
    assert not backward._listeners


def test_a_closure_is_seen(net):
    optimizer: Any = torch.optim.Adam(net.parameters(), 1e-2)
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(2))

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(net.eval()(x), x[:, :3].argmax(1))
        loss.backward()
        return loss

    with doctor(optimizer, net, every=2) as watch:
        losses = [float(optimizer.step(closure).detach()) for _ in range(9)]
    assert watch.record.losses.read() == pytest.approx(losses, rel=1e-6)
    assert all(s.gradient > 0 and s.update > 0 for s in watch.samples)
    assert not any(s.accumulated for s in watch.samples)


def test_a_search_along_a_line(net):
    optimizer = torch.optim.LBFGS(net.parameters(), line_search_fn="strong_wolfe")
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(2))

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(net.eval()(x), x[:, :3].argmax(1))
        loss.backward()
        return loss

    with doctor(optimizer, net, every=1) as watch:
        for _ in range(4):
            optimizer.step(closure)
    assert watch.steps == 4
    assert watch.samples[0].update > 0


def test_losses_may_be_told(net):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with doctor(optimizer, net) as watch:
        for k in range(3):
            optimizer.zero_grad()
            loss = net(torch.ones(4, 6)).square().mean()
            assert watch.loss(float(k)) == float(k)
            (loss * 1024).backward()
            optimizer.step()
    assert watch.record.losses.read() == [0.0, 1.0, 2.0]


def test_without_a_loss_it_says_so(net):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with doctor(optimizer, net) as watch:
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()
    assert watch.samples[0].loss is None
    assert any("loss(value)" in note for note in watch.notes)


def test_one_of_several_optimizers(net):
    """Each optimizer's doctor has its own steps; the parameters of the other are not called frozen."""
    first = torch.optim.Adam(net[0].parameters(), 1e-2)
    second = torch.optim.SGD(net[3].parameters(), 1e-2)
    with doctor(first, net) as one, doctor(second, net) as other:
        for _ in range(110):
            x = torch.randn(16, 6)
            net.zero_grad()
            F.cross_entropy(net(x), x[:, :3].argmax(1)).backward()
            first.step()
            second.step()
    assert (one.steps, other.steps) == (110, 110)
    assert "frozen_layer" not in {f.name for f in (*one.findings, *other.findings)}


def test_sparse_gradients_and_half_precision():
    torch.manual_seed(0)
    table = nn.Embedding(50, 8, sparse=True)
    head = nn.Linear(8, 3).bfloat16()
    sparse, dense = torch.optim.SparseAdam(table.parameters(), 1e-2), torch.optim.SGD(head.parameters(), 0.1)
    with doctor(sparse, table) as one, doctor(dense, head) as other:
        for k in range(6):
            sparse.zero_grad()
            dense.zero_grad()
            rows = torch.arange(k, k + 8)
            F.cross_entropy(head(table(rows).bfloat16()).float(), rows % 3).backward()
            sparse.step()
            dense.step()
    assert one.samples[0].gradients["weight"] > 0
    assert one.samples[0].update > 0
    assert other.samples[0].update > 0


def test_what_cannot_be_differentiated_twice_is_noted(net):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with doctor(optimizer, net) as watch:
        for _ in range(3):
            optimizer.zero_grad()
            x = net(torch.ones(2, 4, 8, 6))
            F.scaled_dot_product_attention(x, x, x).square().mean().backward()
            optimizer.step()
    assert watch.samples[0].sharpness is None
    assert any("sharpness" in note for note in watch.notes)
    with doctor(optimizer, net, curvature=False) as quiet:
        train(net, optimizer, 3)
    assert quiet.samples[0].sharpness is None
    assert quiet.notes == []


def test_tell_is_called_with_each_sample(net):
    told = []
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with doctor(optimizer, net, every=5, tell=told.append) as watch:
        train(net, optimizer, 12)
    assert told == watch.samples
    assert told


def test_no_graph_is_kept_alive(net):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with doctor(optimizer, net, every=1) as watch:
        train(net, optimizer, 8)
        gc.collect()
        assert not [x for x in gc.get_objects() if type(x) is torch.Tensor and x.grad_fn is not None]
    assert len(watch.samples) == 8


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((3,), {}, TypeError, "optimizer must be a torch.optim.Optimizer; got int"),
        (("net",), {}, TypeError, "model must be a torch.nn.Module or None; got str"),
        ((), {"every": 0}, ValueError, "every must be .*got 0"),
        ((), {"every": 2.5}, TypeError, "every must be .*got 2.5"),
        ((), {"tell": 1}, TypeError, "tell must be a function"),
    ],
)
def test_bad_input(net, arguments, options, error, words):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    given: Any = arguments if arguments and arguments[0] == 3 else (optimizer, *arguments)
    with pytest.raises(error, match=words):
        doctor(*given, **options)
    assert not backward._listeners


def test_its_document_is_json_and_is_read_again(net, tmp_path):
    optimizer = torch.optim.SGD(net.parameters(), 1e6)
    with doctor(optimizer, net, every=2) as watch:
        train(net, optimizer, 40)
    watch.write(tmp_path)
    content = report.read(tmp_path)
    assert content == json.loads(json.dumps(watch.document(), allow_nan=False))
    assert [f["name"] for f in content["findings"]] == [f.name for f in watch.findings] == ["rate_too_high"]
    assert content["steps"] == 40
    assert content["losses"]["loss"][0] == pytest.approx(watch.record.losses.read()[0], rel=1e-5)
    assert len(content["samples"]) == len(watch.samples)
    assert math.isfinite(content["samples"][0]["gradient"])
    (tmp_path / "doctor.json").write_text('{"schema": "other"}')
    with pytest.raises(ValueError, match=r"does not hold stepwell\.doctor version 1"):
        report.read(tmp_path)


def test_its_words(net):
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    with doctor(optimizer, net) as watch:
        train(net, optimizer, 30)
    assert str(watch) == "nothing wrong in 30 steps, by what this doctor knows"


@pytest.mark.parametrize("fused", [False, True])
def test_a_scaler_is_seen_through(net, fused):
    """Loss, gradients and sharpness are those without its factor; a step that it leaves out is none."""
    twin, seen = copy.deepcopy(net).eval(), []
    for model, scale in ((net.eval(), None), (twin, 1024.0)):
        optimizer: Any = torch.optim.AdamW(model.parameters(), 1e-3, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
        torch.manual_seed(1)
        with doctor(optimizer, model, every=1) as watch:
            for k in range(12):
                x = torch.randn(16, 6)
                optimizer.zero_grad()
                scaler.scale(F.cross_entropy(model(x), x[:, :3].argmax(1))).backward()
                if k == 3:
                    model[0].weight.grad.fill_(math.inf)
                if k != 3 or scale:
                    scaler.step(optimizer)
                scaler.update()
        seen.append(watch)
    plain, scaled = seen
    assert (plain.steps, scaled.steps) == (11, 11)
    assert scaled.findings == []
    for a, b in zip(scaled.samples, plain.samples, strict=True):
        assert (a.loss, a.gradient, a.update) == pytest.approx((b.loss, b.gradient, b.update), rel=1e-4)
        assert a.eps_share == b.eps_share
    assert scaled.samples[0].sharpness == pytest.approx(plain.samples[0].sharpness, rel=1e-4)
    assert torch.amp.GradScaler.scale.__module__.startswith("torch")


def test_two_that_play_against_each_other():
    """Each has its own loss, and gradients that the other's loss leaves are no forgotten ones."""
    torch.manual_seed(0)
    critic, maker = nn.Linear(2, 1), nn.Linear(2, 2)
    first, second = torch.optim.Adam(critic.parameters(), 1e-3), torch.optim.Adam(maker.parameters(), 1e-3)
    losses = ([], [])
    with doctor(first, critic, every=5) as one, doctor(second, maker, every=5) as other:
        for _ in range(60):
            x = torch.randn(16, 2)
            first.zero_grad()
            loss = F.softplus(-critic(x)).mean() + F.softplus(critic(maker(x).detach())).mean()
            loss.backward()
            first.step()
            losses[0].append(loss.item())
            second.zero_grad()
            loss = F.softplus(-critic(maker(x))).mean()
            loss.backward()
            second.step()
            losses[1].append(loss.item())
    for watch, expected in ((one, losses[0]), (other, losses[1])):
        assert watch.record.losses.read() == pytest.approx(expected, rel=1e-6)
        assert not any(sample.accumulated for sample in watch.samples)


def test_accumulated_gradients_are_of_one_step(net):
    """Two halves of a batch are the batch: its loss, its gradient and, about, its sharpness."""
    twin, seen = copy.deepcopy(net), []
    for model, parts in ((net, 1), (twin, 2)):
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        model.eval()
        with doctor(optimizer, model, every=1) as watch:
            for k in range(6):
                x = torch.randn(8, 6, generator=torch.Generator().manual_seed(k))
                optimizer.zero_grad()
                for _ in range(parts):
                    (F.cross_entropy(model(x), x[:, :3].argmax(1)) / parts).backward()
                optimizer.step()
        seen.append(watch)
    whole, halves = seen
    for a, b in zip(whole.samples, halves.samples, strict=True):
        assert (a.loss, a.gradient, a.accumulated) == (pytest.approx(b.loss), pytest.approx(b.gradient), b.accumulated)
    assert whole.samples[0].sharpness == pytest.approx(halves.samples[0].sharpness, rel=1e-3)


def test_parameters_may_come_and_go(net):
    """Groups that are added, parameters taken out, tensors resized: the training goes on, and is watched."""
    optimizer: Any = torch.optim.SGD(net[0].parameters(), 0.1, weight_decay=0.1)
    with doctor(optimizer, every=1) as watch:
        train(net, optimizer, 3)
        optimizer.add_param_group({"params": net[3].parameters(), "weight_decay": 0.0})
        train(net, optimizer, 3)
        optimizer.param_groups[0]["params"].pop()
        train(net, optimizer, 3)
        net[3].bias.data = torch.zeros(3)
        train(net, optimizer, 3)
    assert watch.steps == 12
    assert not watch.broken
    assert [len(watch.samples[k].ratios) for k in (0, 4, 8)] == [2, 4, 3]
    assert len(watch.samples) == 12


def test_an_error_of_its_own_ends_no_training(net, monkeypatch):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with doctor(optimizer, every=1) as watch:
        train(net, optimizer, 2)
        monkeypatch.setattr(watch.record.coordinates, "vector", None)
        train(net, optimizer, 5)
    assert watch.steps == 7
    assert len(watch.samples) == 1
    assert any("an error of its own: TypeError" in note for note in watch.notes)


def test_what_must_not_run_twice_does_not(net):
    """Hooks and functions with a backward() of their own may draw, count or send; no sharpness is measured then."""
    calls = []
    net[0].weight.register_hook(lambda g: calls.append(1) or g)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with doctor(optimizer, net, every=1) as watch:
        train(net, optimizer, 4)
    assert len(calls) == 4
    assert watch.samples[0].sharpness is None
    assert any("must not run twice" in note for note in watch.notes)


def test_two_threads_hear_themselves_alone():
    import threading

    losses: dict[float, list[float]] = {}

    def trained(level: float) -> None:
        w = nn.Parameter(torch.tensor(level))
        optimizer = torch.optim.SGD([w], 0.0)
        with doctor(optimizer, every=5) as watch:
            for _ in range(200):
                optimizer.zero_grad()
                (w * 1.0).backward()
                optimizer.step()
        losses[level] = [x for x in watch.record.losses.read() if x is not None]

    threads = [threading.Thread(target=trained, args=(level,)) for level in (1.0, 100.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for level, found in losses.items():
        assert set(found) == {level}


def test_complex_and_empty_parameters():
    torch.manual_seed(0)
    w, empty = nn.Parameter(torch.randn(4, dtype=torch.complex64)), nn.Parameter(torch.zeros(0, 3))
    optimizer, before = torch.optim.SGD([w, empty], 0.1), w.detach()
    with doctor(optimizer, every=1) as watch:
        for _ in range(3):
            optimizer.zero_grad()
            before = w.detach().clone()
            ((w.abs() ** 2).sum() + empty.sum()).backward()
            optimizer.step()
    (ratio,) = watch.samples[-1].ratios.values()
    assert ratio == pytest.approx(float((w.detach() - before).norm() / before.norm()), rel=1e-5)
    assert watch.findings == []


@pytest.mark.parametrize("lr", [0.0, 1e-14])
def test_a_rate_of_nothing_is_found(net, lr):
    optimizer = torch.optim.Adam(net.parameters(), lr)
    with doctor(optimizer, net, every=5) as watch:
        train(net, optimizer, 30)
    assert [finding.name for finding in watch.findings] == ["rate_too_low"]


def test_weights_that_begin_at_zero():
    line = nn.Linear(6, 3)
    nn.init.zeros_(line.weight)
    nn.init.zeros_(line.bias)
    optimizer = torch.optim.SGD(line.parameters(), 0.5)
    with doctor(optimizer, line) as watch:
        train(line, optimizer, 120)
    assert watch.findings == []


def test_a_training_in_another_thread_than_where_the_doctor_was_called(net):
    import threading

    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with doctor(optimizer, net) as watch:
        thread = threading.Thread(target=train, args=(net, optimizer, 10))
        thread.start()
        thread.join()
    assert watch.steps == 10
    assert watch.record.losses.read()[0] is None  # where it is trained shows at the first step
    assert all(loss is not None for loss in watch.record.losses.read()[1:])


def test_a_penalty_on_weights_is_no_layer(net):
    """The ReLU of a parameter itself, which is 0 where the penalty holds, has no units that could be dead."""
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with doctor(optimizer, net) as watch:
        for k in range(3):
            x = torch.randn(16, 6, generator=torch.Generator().manual_seed(k))
            optimizer.zero_grad()
            penalty = F.relu(-10 - net[0].weight).sum()
            (F.cross_entropy(net(x), x[:, :3].argmax(1)) + penalty).backward()
            optimizer.step()
    assert set(watch.samples[0].dead) == {"0.weight"}
    assert watch.samples[0].dead["0.weight"] < 0.5


def test_hooks_that_draw_leave_the_generators_where_they_would_be(net):
    """They run once more where the sharpness is measured, on generators that are put back."""

    def noisy(model, watched):
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        torch.manual_seed(1)
        with doctor(optimizer, every=2) if watched else contextlib.nullcontext():
            for _ in range(6):
                optimizer.zero_grad()
                x = torch.randn(16, 6)
                hidden = model[0](x)
                hidden.register_hook(lambda g: g + 0.01 * torch.randn_like(g))
                F.cross_entropy(model[1:](hidden), x[:, :3].argmax(1)).backward()
                optimizer.step()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(noisy(copy.deepcopy(net), True), noisy(copy.deepcopy(net), False))


@pytest.mark.parametrize("named", [False, True])
def test_a_network_that_is_only_looked_through_is_not_forgotten(net, named):
    """As one that measures likeness: larger than what is trained, or no part of the model."""
    through = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 3))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with doctor(optimizer, net if named else None) as watch:
        train(nn.Sequential(*net, through), optimizer, 30)
    assert watch.findings == []
