# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""The optimizers in Paddle's own loops: Model.fit, GradScaler, amp.decorate, DataParallel, save and load."""

import sys
from types import SimpleNamespace

import numpy as np
import paddle
import pytest

import stepwell.paddle as door
from stepwell import rules
from stepwell.paddle import from_rule

pytestmark = [
    pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning"),  # Paddle's own Model
    pytest.mark.filterwarnings("ignore:The program will return to single-card:UserWarning"),
]
NAMES = ("SGD", "Momentum", "Adam", "AdamW", "RMSProp", "NAdam")


class Data(paddle.io.Dataset):
    def __init__(self, n=64):
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((n, 4)).astype("float32")
        self.y = self.x @ np.array([[1.0], [-2.0], [0.5], [3.0]], "float32")

    def __getitem__(self, k):
        return self.x[k], self.y[k]

    def __len__(self):
        return len(self.x)


def network():
    paddle.seed(3)
    return paddle.nn.Sequential(paddle.nn.Linear(4, 8), paddle.nn.Tanh(), paddle.nn.Linear(8, 1))


def weights(net):
    return np.concatenate([p.numpy().ravel() for p in net.parameters()])


def fitted(make, epochs=3, **prepared):
    with paddle.utils.unique_name.guard():
        net = network()
        model = paddle.Model(net)
        model.prepare(make(net.parameters()), paddle.nn.MSELoss(), **prepared)
        model.fit(Data(), batch_size=16, epochs=epochs, shuffle=False, verbose=0)
        return model


@pytest.mark.parametrize("name", NAMES)
def test_fit(name):
    mine = fitted(lambda ps: getattr(door, name)(0.01, parameters=ps))
    theirs = fitted(lambda ps: getattr(paddle.optimizer, name)(0.01, parameters=ps))
    assert abs(weights(mine.network) - weights(theirs.network)).max() <= 2e-6
    assert (
        mine.evaluate(Data(), verbose=0)["loss"]
        != fitted(lambda ps: door.SGD(0.0, parameters=ps)).evaluate(Data(), verbose=0)["loss"]
    )


def test_fit_moves_a_scheduler_of_paddle_and_not_a_function_of_the_step():
    rate = lambda k: 0.1 / (k + 1)  # noqa: E731
    model = fitted(lambda ps: door.Adam(rate, parameters=ps))
    assert model._optimizer.get_lr() == rate(12)
    model = fitted(lambda ps: door.Adam(paddle.optimizer.lr.NaturalExpDecay(0.1, 0.5), parameters=ps))
    other = fitted(lambda ps: paddle.optimizer.Adam(paddle.optimizer.lr.NaturalExpDecay(0.1, 0.5), parameters=ps))
    assert model._optimizer.get_lr() == other._optimizer.get_lr()


@pytest.mark.parametrize("name", NAMES)
def test_model_save_and_load(name, tmp_path):
    make = lambda ps: getattr(door, name)(0.01, parameters=ps)  # noqa: E731
    whole = fitted(make, 4)
    fitted(make, 2).save(str(tmp_path / "model"))
    with paddle.utils.unique_name.guard():
        net = network()
        model = paddle.Model(net)
        model.prepare(make(net.parameters()), paddle.nn.MSELoss())
        model.load(str(tmp_path / "model"))
        model.fit(Data(), batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert abs(weights(model.network) - weights(whole.network)).max() <= 1e-6


@pytest.fixture
def _as_on_a_gpu(monkeypatch):
    """Paddle switches mixed precision off where it finds no GPU."""
    place = SimpleNamespace(
        **{f"is_{kind}_place": lambda kind=kind: kind == "gpu" for kind in ("gpu", "xpu", "custom")}
    )
    for name in ("grad_scaler", "auto_cast"):
        tracer = lambda: SimpleNamespace(_expected_place=place)  # noqa: E731
        monkeypatch.setattr(sys.modules[f"paddle.amp.{name}"], "_dygraph_tracer", tracer)
    monkeypatch.setattr(sys.modules["paddle.amp.auto_cast"].amp_global_state(), "amp_dtype", "float16")
    monkeypatch.setattr(sys.modules["paddle.amp.auto_cast"], "_is_gpu_bfloat16_supported", lambda: True)


@pytest.mark.usefixtures("_as_on_a_gpu")
@pytest.mark.parametrize("way", ["step", "minimize"])
def test_grad_scaler(way):
    def run(cls, spoil):
        with paddle.utils.unique_name.guard():
            net = network()
            optimizer = cls(0.01, parameters=net.parameters())
            scaler = paddle.amp.GradScaler(init_loss_scaling=1024.0, use_dynamic_loss_scaling=False)
            x, y = paddle.to_tensor(Data().x), paddle.to_tensor(Data().y)
            path = []
            for k in range(6):
                loss = ((net(x) - y) ** 2).mean() * (float("inf") if k in spoil else 1.0)
                scaled = scaler.scale(loss)
                scaled.backward()
                if way == "step":
                    scaler.step(optimizer)
                    scaler.update()
                else:
                    scaler.minimize(optimizer, scaled)
                optimizer.clear_grad()
                path.append(weights(net))
            return path

    mine, theirs = run(door.Adam, {2, 3}), run(paddle.optimizer.Adam, {2, 3})
    assert (mine[1] == mine[2]).all()
    assert (mine[3] != mine[4]).any()
    assert max(abs(a - b).max() for a, b in zip(mine, theirs, strict=True)) <= 2e-6


@pytest.mark.usefixtures("_as_on_a_gpu")
def test_decorate_gives_master_weights():
    net = paddle.nn.Linear(4, 2)
    optimizer = door.AdamW(0.1, parameters=net.parameters())
    net, optimizer = paddle.amp.decorate(net, optimizer, level="O2", dtype="bfloat16")
    assert isinstance(optimizer, door.AdamW)
    assert isinstance(optimizer, paddle.optimizer.Optimizer)
    assert optimizer._multi_precision
    for p in net.parameters():  # Paddle has no linear layer in half precision on a CPU
        p.grad = paddle.ones(p.shape, p.dtype)
    before = [p.astype("float32").numpy() for p in net.parameters()]
    optimizer.step()
    assert all((p.astype("float32").numpy() != b).all() for p, b in zip(net.parameters(), before, strict=True))
    assert len(optimizer.state_dict().get("master_weights", {})) == sum(
        p.dtype == paddle.bfloat16 for p in net.parameters()
    )


def test_data_parallel_of_one_process():
    net = paddle.DataParallel(network())
    optimizer = door.Adam(0.01, parameters=net.parameters())
    before = weights(net)
    net(paddle.to_tensor(Data().x)).square().mean().backward()
    optimizer.step()
    assert (weights(net) != before).all()


@pytest.mark.parametrize("name", ["adam", "nadam", "adagrad_rowwise", "lion"])
def test_a_rules_state_dict_goes_through_a_file(name, tmp_path):
    def run(net, optimizer, steps):
        for k in steps:
            x = paddle.to_tensor(Data().x[k : k + 8])
            (net(x) - k).square().mean().backward()
            optimizer.step()
            optimizer.clear_grad()

    made = from_rule(rules.named[name])
    with paddle.utils.unique_name.guard():
        net = network()
        optimizer = made(0.01, parameters=net.parameters())
        run(net, optimizer, range(10))
        paddle.save(net.state_dict(), str(tmp_path / "net"))
        paddle.save(optimizer.state_dict(), str(tmp_path / "state"))
        run(net, optimizer, range(10, 20))
    with paddle.utils.unique_name.guard():
        again = network()
        again.set_state_dict(paddle.load(str(tmp_path / "net")))
        other = made(0.01, parameters=again.parameters())
        other.set_state_dict(paddle.load(str(tmp_path / "state")))
        assert other.state_dict()["stepwell"] == paddle.load(str(tmp_path / "state"))["stepwell"]
        run(again, other, range(10, 20))
    assert (weights(again) == weights(net)).all()


def test_clear_grad():
    net = network()
    optimizer = door.Adam(0.01, parameters=net.parameters())
    net(paddle.to_tensor(Data().x)).mean().backward()
    optimizer.clear_grad()
    assert all((p.grad.numpy() == 0).all() for p in net.parameters())
    optimizer.clear_grad(set_to_zero=False)
    assert all(p.grad is None for p in net.parameters())
    before = weights(net)
    optimizer.step()
    assert (weights(net) == before).all()
