"""Every number of a sample, against what it is defined as, computed here the slow way."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepwell import rules
from stepwell.lab.health import gauges
from stepwell.lab.health.curvature import Sharpness
from stepwell.lab.health.doctor import doctor
from stepwell.torch import Adam as OurAdam
from stepwell.torch import from_rule

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).double()


def rows(k, count=16):
    generator = torch.Generator().manual_seed(k)
    x = torch.randn(count, 5, generator=generator, dtype=torch.float64)
    return x, (x @ torch.arange(15, dtype=torch.float64).reshape(5, 3)).argmax(1)


def flat(tensors):
    return torch.cat([x.detach().reshape(-1) for x in tensors])


def trained(net, optimizer, steps, **options):
    """The doctor, and of each step (weights before, gradient, weights after, loss)."""
    history = []
    with doctor(optimizer, net, **options) as watch:
        for k in range(steps):
            x, y = rows(k)
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            before, gradient = flat(net.parameters()), flat(p.grad for p in net.parameters())
            optimizer.step()
            history.append((before, gradient, flat(net.parameters()), loss.item()))
    return watch, history


def test_every_number_is_what_it_says(net):
    optimizer = torch.optim.Adam(net.parameters(), 0.01, betas=(0.8, 0.9))
    watch, history = trained(net, optimizer, 12, every=3)
    assert [s.step for s in watch.samples] == [0, 1, 2, 3, 4, 6, 8, 9]
    for s in watch.samples:
        before, g, after, loss = history[s.step]
        following = history[s.step + 1][1]
        u = after - before
        assert s.loss == pytest.approx(loss, rel=1e-12)
        assert s.lr == 0.01
        assert s.gradient == pytest.approx(float(g.norm()), rel=1e-9)
        assert s.weight == pytest.approx(float(before.norm()), rel=1e-9)
        assert s.update == pytest.approx(float(u.norm()), rel=1e-9)
        assert s.agreement == pytest.approx(float(-(g @ u) / g.norm() / u.norm()), rel=1e-9)
        assert s.turn == pytest.approx(float(following @ u / following.norm() / u.norm()), rel=1e-9)
        assert s.signal == pytest.approx(float(g @ following / g.norm() / following.norm()), rel=1e-9)
        expected = float((g @ g - g @ following) / (g @ following)) if g @ following > 0 else math.inf
        assert s.noise == pytest.approx(max(expected, 0.0), rel=1e-6)


def test_ratios_by_parameter(net):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    watch, history = trained(net, optimizer, 2)
    before, _, after, _ = history[0]
    sizes = [p.numel() for p in net.parameters()]
    expected = [float((b - a).norm() / a.norm()) for a, b in zip(before.split(sizes), after.split(sizes), strict=True)]
    assert list(watch.samples[0].ratios) == [name for name, _ in net.named_parameters()]
    assert list(watch.samples[0].ratios.values()) == pytest.approx(expected, rel=1e-9)


def test_sharpness_is_the_largest_eigenvalue_of_the_hessian(net):
    x, y = rows(0)
    names = [name for name, _ in net.named_parameters()]
    values = tuple(p.detach() for p in net.parameters())

    def loss(*weights):
        return F.cross_entropy(torch.func.functional_call(net, dict(zip(names, weights, strict=True)), x), y)

    blocks = torch.autograd.functional.hessian(loss, values)
    n = [v.numel() for v in values]
    H = torch.cat(
        [torch.cat([b.reshape(i, j) for b, j in zip(row, n, strict=True)], 1) for row, i in zip(blocks, n, strict=True)]
    )
    exact = float(torch.linalg.eigvalsh(H).abs().max())
    sharpness, found = Sharpness(), 0.0
    for _ in range(60):
        found = sharpness.measure(F.cross_entropy(net(x), y), list(net.parameters()))
    assert found == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("eps", [1e-12, 1e-2, 3e-2, 1.0])
@pytest.mark.parametrize("lr", [0.0, 1e-3])
def test_the_share_that_epsilon_rules(net, eps, lr):
    """Adam's √v̂ + ε is at least twice √v̂ where √v̂ ≤ ε."""
    optimizer = torch.optim.Adam(net.parameters(), lr, eps=eps)
    watch, history = trained(net, optimizer, 12, every=1)
    looked = [s for s in watch.samples if s.eps_share is not None]
    assert [s.step for s in looked] == [0, 5, 10]
    for s in looked:
        squares = torch.zeros_like(history[0][1])
        for _, g, _, _ in history[: s.step + 1]:
            squares = 0.999 * squares + 0.001 * g**2
        v_hat = squares / (1 - 0.999 ** (s.step + 1))
        share = float((v_hat.sqrt() <= eps)[v_hat > 0].double().mean())
        assert s.eps_share == pytest.approx(share, abs=0.02)


def ours(parameters, lr, eps):
    return from_rule(rules.adam)(parameters, lr=lr, eps=eps)


def test_the_same_share_whoever_runs_the_rule(net):
    shares = []
    for make in (torch.optim.Adam, OurAdam, ours):
        twin = copy.deepcopy(net)
        watch, _ = trained(twin, make(twin.parameters(), lr=1e-3, eps=3e-2), 30, every=5)
        shares.append([s.eps_share for s in watch.samples if s.eps_share is not None])
    assert shares[0] == shares[1] == shares[2]
    assert 0 < shares[0][0] < 1


def test_an_optimizer_from_elsewhere_has_no_such_share(net):
    class Other(torch.optim.Adam):
        pass

    watch, _ = trained(net, Other(net.parameters(), 1e-3), 3)
    assert watch.samples[0].eps_share is None


def test_dead_units_are_counted(net):
    with torch.no_grad():
        net[0].bias[:3] = -100.0
    watch, _ = trained(net, torch.optim.SGD(net.parameters(), 0.01), 2)
    x, _ = rows(0)
    with torch.no_grad():
        expected = float((net[1](net[0](x)).amax(0) == 0).double().mean())
    assert watch.samples[0].dead["0.weight"] == pytest.approx(expected, abs=1e-6)
    assert expected >= 3 / 7


@pytest.mark.parametrize("decoupled", [True, False])
def test_what_decay_takes(net, decoupled):
    kind = torch.optim.AdamW if decoupled else torch.optim.SGD
    optimizer = kind(net.parameters(), 0.01, weight_decay=0.3)
    watch, history = trained(net, optimizer, 2)
    before, gradient, after, _ = history[0]
    sizes = [p.numel() for p in net.parameters()]
    p, g, u = before.split(sizes)[0].norm(), gradient.split(sizes)[0].norm(), (after - before).split(sizes)[0].norm()
    expected = 0.01 * 0.3 * p / u if decoupled else 0.3 * p / (0.3 * p + g)
    assert watch.samples[0].decays["0.weight"] == pytest.approx(float(expected), rel=1e-6)


def test_of_a_large_model_a_part_is_looked_at(monkeypatch, net):
    torch.manual_seed(0)
    large = nn.Sequential(nn.Linear(400, 300), nn.Linear(300, 10))
    whole = gauges.Coordinates(list(large.parameters()))
    monkeypatch.setattr(gauges, "LOOKED_AT", 10_000)
    part = gauges.Coordinates(list(large.parameters()))
    vector = part.vector(list(large.parameters()))
    assert len(vector) < 10_100 < whole.vector(list(large.parameters())).numel()
    exact = [float(p.detach().norm()) for p in large.parameters()]
    assert part.norms(vector)[0][::2] == pytest.approx(exact[::2], rel=0.05)  # of the matrices
    assert whole.norms(whole.vector(list(large.parameters())))[0] == pytest.approx(exact, rel=1e-5)


def test_scalars_are_flat_numbers(net):
    watch, _ = trained(net, torch.optim.SGD(net.parameters(), 0.01), 3)
    found = watch.samples[0].scalars()
    assert found["loss"] == watch.samples[0].loss
    assert found["update ratio/0.weight"] == watch.samples[0].ratios["0.weight"]
    assert all(isinstance(x, float) for x in found.values())
