# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Checkpoints of stepwell.checkpoint: from torch to Paddle, on to torch and NumPy, and within Paddle."""

import numpy as np
import paddle
import pytest

import stepwell.paddle as door
from stepwell import checkpoint, rules
from stepwell.checkpoint.snapshot import CheckpointError
from stepwell.paddle import from_rule
from stepwell.testing.doors import DOORS
from tests.doors.paddle.harness import distance, give, gradients, parameters
from tests.doors.paddle.test_named import NAMES, OPTIONS
from tests.doors.resume import CASES, check


@pytest.mark.parametrize("case", CASES, ids=str)
def test_from_torch_and_back(case, tmp_path):
    check(DOORS["paddle"], case, tmp_path)


def named(params):
    return {f"layer.{k}": p for k, p in enumerate(params)}


def trained(make, steps, path=None, dtype="float32"):
    with paddle.utils.unique_name.guard():
        params = parameters(dtype)
        optimizer = make(params)
        if path is not None:
            checkpoint.load(path, optimizer, named(params))
        for row in steps:
            give(params, row)
            optimizer.step()
        return params, optimizer


def values(params):
    return [p.numpy() for p in params]


@pytest.mark.parametrize("name", NAMES)
def test_paddles_names_go_on(name, tmp_path):
    for k, options in enumerate(OPTIONS[name]):
        given, path = gradients("float32"), tmp_path / f"{k}.safetensors"
        make = lambda ps, o=options: getattr(door, name)(0.01, parameters=ps, **o)  # noqa: E731
        whole, _ = trained(make, given)
        half, optimizer = trained(make, given[:20])
        checkpoint.save(path, optimizer, named(half))
        found, _ = trained(make, given[20:], path)
        assert distance(values(found), values(whole)) == 0


def test_hyperparameters_come_along_and_rates_too(tmp_path):
    given, path = gradients("float32"), tmp_path / "state.safetensors"
    whole, _ = trained(lambda ps: door.Adam(0.05, 0.5, 0.75, 0.1, parameters=ps), given)
    half, optimizer = trained(lambda ps: door.Adam(0.05, 0.5, 0.75, 0.1, parameters=ps), given[:20])
    checkpoint.save(path, optimizer, named(half))
    groups = lambda ps: [{"params": ps[:2]}, {"params": ps[2:], "beta1": 0.1}]  # noqa: E731
    for make in (
        lambda ps: door.Adam(parameters=ps),
        lambda ps: door.Adam(parameters=groups(ps)),
        lambda ps: from_rule(rules.adam)(parameters=ps),
        lambda ps: from_rule(rules.adam)(parameters=[{"params": ps[:1]}, {"params": ps[1:], "beta2": 0.1}]),
    ):
        found, optimizer = trained(make, given[20:], path)
        assert optimizer.get_lr() == 0.05
        assert distance(values(found), values(whole)) == 0


def test_a_master_weight_is_the_parameter(tmp_path):
    path = tmp_path / "state.safetensors"

    def make():
        with paddle.utils.unique_name.guard():
            p = paddle.base.framework.EagerParamBase.from_tensor(paddle.zeros([4], "bfloat16"))
            return p, door.Adam(0.01, parameters=[p], multi_precision=True)

    def run(p, optimizer, steps):
        for k in steps:
            p.grad = paddle.to_tensor([1.0, -2.0, 0.5, k]).astype("bfloat16")
            optimizer.step()

    p, optimizer = make()
    run(p, optimizer, range(5))
    checkpoint.save(path, optimizer, {"w": p})
    run(p, optimizer, range(5, 10))
    again, other = make()
    checkpoint.load(path, other, {"w": again})
    run(again, other, range(5, 10))
    assert (other._master_weights[again.name].numpy() == optimizer._master_weights[p.name].numpy()).all()
    single = paddle.create_parameter([4], "float32")
    checkpoint.load(path, door.Adam(0.01, parameters=[single]), {"w": single})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda ps: door.Adamax(parameters=ps), "its rule is adam; this optimizer's is adamax_eps_old"),
        (lambda ps: door.Adam(parameters=ps[:3]), "layer.3"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(make, message, tmp_path):
    path = tmp_path / "state.safetensors"
    params, optimizer = trained(lambda ps: door.Adam(0.05, parameters=ps), gradients("float32")[:3])
    checkpoint.save(path, optimizer, named(params))
    own = parameters("float32")
    before = values(own)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(path, make(own), named(own))
    assert all(np.array_equal(a, b) for a, b in zip(values(own), before, strict=True))


def test_a_layer_names_its_parameters(tmp_path):
    net = paddle.nn.Sequential(paddle.nn.Linear(3, 2), paddle.nn.Linear(2, 1))
    optimizer = door.SGD(0.1, parameters=net.parameters())
    net(paddle.ones([1, 3])).sum().backward()
    optimizer.step()
    checkpoint.save(tmp_path / "state", optimizer, net)
    kept = [p.numpy() for p in net.parameters()]
    for p in net.parameters():
        p.set_value(paddle.zeros_like(p))
    checkpoint.load(tmp_path / "state", optimizer, net)
    assert all((p.numpy() == x).all() for p, x in zip(net.parameters(), kept, strict=True))
    with pytest.raises(TypeError, match=r"params must be the paddle\.nn\.Layer"):
        checkpoint.save(tmp_path / "state", optimizer, [*net.parameters()])
    with pytest.raises(ValueError, match="params must name every parameter"):
        checkpoint.save(tmp_path / "state", optimizer, net[0])
