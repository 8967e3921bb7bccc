"""State in fewer bits, and bfloat16 parameters: what training, checkpoints and errors are like."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import stepwell.torch as door
from stepwell import checkpoint

CLASSES = [getattr(door, name) for name in sorted(door.__all__) if isinstance(getattr(door, name, None), type)]
OPTIMIZERS = [cls for cls in CLASSES if cls is not door.Optimizer and issubclass(cls, torch.optim.Optimizer)]
NARROW = ("bfloat16", "8bit")
X = torch.randn(64, 20, generator=torch.Generator().manual_seed(0))
Y = torch.sin(X.sum(1, keepdim=True))


def network(dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(20, 100), torch.nn.Tanh(), torch.nn.Linear(100, 1)).to(dtype)


def train(model: torch.nn.Module, optimizer: Any, steps: int) -> float:
    dtype, loss = next(model.parameters()).dtype, torch.tensor(math.nan)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(X.to(dtype)).float() - Y).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item()


def bits(x: Tensor) -> Tensor:
    return x.view(torch.int16) if x.dtype is torch.bfloat16 else x


def assert_same(a: Any, b: Any, first: torch.nn.Module, second: torch.nn.Module) -> None:
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(bits(p.detach()), bits(q.detach()))
        assert a.state[p].keys() == b.state[q].keys()
        for name in a.state[p]:
            assert torch.equal(a.state[p][name], b.state[q][name]), name


@pytest.mark.parametrize("state_dtype", NARROW)
@pytest.mark.parametrize("cls", OPTIMIZERS, ids=lambda c: c.__name__)
def test_every_optimizer_learns_as_with_float32(cls, state_dtype):
    ends = []
    for options in ({}, {"state_dtype": state_dtype}):
        model = network()
        optimizer = cls(model.parameters(), lr=0.002 if cls.__name__ != "Adadelta" else 1.0, **options)
        before = train(model, optimizer, 1)
        ends.append(train(model, optimizer, 60))
        assert all(p.isfinite().all() for p in model.parameters())
    assert ends[1] < before
    assert abs(ends[1] - ends[0]) < 0.25 * (before - ends[0])


@pytest.mark.parametrize("centered", [{}, {"momentum": 0.9}], ids=["plain", "momentum"])
def test_a_variance_stays_a_variance(centered):
    model = network()
    optimizer = door.RMSprop(model.parameters(), lr=1e-3, centered=True, state_dtype="8bit", **centered)
    train(model, optimizer, 100)
    own = optimizer.state[next(model.parameters())]
    assert own["square_avg"].dtype is own["grad_avg"].dtype is torch.float32
    assert all(p.isfinite().all() for p in model.parameters())


def test_what_8_bits_and_16_weigh():
    p = torch.nn.Parameter(torch.zeros(1_000_000))
    p.grad = torch.ones_like(p)
    weights = {}
    for state_dtype in (None, *NARROW):
        optimizer = door.Adam([p], state_dtype=state_dtype)
        optimizer.step()
        weights[state_dtype] = sum(x.numel() * x.element_size() for x in optimizer.state[p].values()) / p.numel()
    assert weights["8bit"] <= 2.01 < weights["bfloat16"] <= 4.01 < weights[None]


@pytest.mark.parametrize("options", [{"state_dtype": "8bit"}, {"state_dtype": "bfloat16"}], ids=NARROW)
@pytest.mark.parametrize("how", ["state dict", "torch.save", "deepcopy", "file"])
def test_it_resumes_bit_for_bit(options, how, tmp_path):
    def made(model: torch.nn.Module) -> Any:
        return door.AdamW(model.named_parameters(), lr=0.01, ema=0.9, **options)

    model = network()
    optimizer = made(model)
    train(model, optimizer, 7)
    again = network()
    resumed = made(again)
    if how == "deepcopy":
        again, resumed = copy.deepcopy((model, optimizer))
    elif how == "file":
        checkpoint.save(tmp_path / "c", optimizer)
        checkpoint.load(tmp_path / "c", resumed)
    else:
        again.load_state_dict(model.state_dict())
        packed = optimizer.state_dict()
        if how == "torch.save":
            torch.save(packed, tmp_path / "c")
            packed = torch.load(tmp_path / "c")
        resumed.load_state_dict(packed)
    train(model, optimizer, 5)
    train(again, resumed, 5)
    assert_same(optimizer, resumed, model, again)


def test_8_bits_are_handed_out_as_numbers_and_numbers_of_others_are_taken():
    """Training goes on in 8 bits from torch's own state, and with torch from ours."""
    model = network()
    theirs = torch.optim.Adam(model.parameters(), lr=0.01)
    train(model, theirs, 30)
    ours = door.Adam(model.parameters(), lr=0.01, state_dtype="8bit")
    ours.load_state_dict(theirs.state_dict())
    ours.zero_grad()
    ours.step()  # without gradients: nothing but the encoding happens
    packed = ours.state_dict()
    for p, entry in zip(model.parameters(), packed["state"].values(), strict=True):
        assert set(entry) == {"step", "exp_avg", "exp_avg_sq"}
        for name in ("exp_avg", "exp_avg_sq"):
            assert entry[name].dtype is torch.bfloat16
            assert entry[name].shape == p.shape
            before = theirs.state[p][name]
            torch.testing.assert_close(
                entry[name].float(), before, rtol=1 / 15, atol=2**-14 * before.abs().max().item()
            )
    assert train(model, ours, 10) < 0.2
    back = torch.optim.Adam(model.parameters(), lr=0.01)
    back.load_state_dict(packed)
    assert train(model, back, 10) < 0.2


@pytest.mark.parametrize("state_dtype", [None, "8bit"])
def test_compensated_bfloat16_is_training_with_float32_weights(state_dtype):
    """The model computes with what the weights round to; the optimizer knows them whole."""
    narrow = network(torch.bfloat16)
    whole = [p.detach().float().requires_grad_() for p in narrow.parameters()]
    ours = door.Adam(narrow.parameters(), lr=1e-4, rounding="compensated", state_dtype=state_dtype or "float32")
    theirs = door.Adam(whole, lr=1e-4, state_dtype=state_dtype)
    for _ in range(40):
        train(narrow, ours, 1)
        for p, q in zip(narrow.parameters(), whole, strict=True):
            q.grad = None if p.grad is None else p.grad.float()
        theirs.step()
    for p, q in zip(narrow.parameters(), whole, strict=True):
        high = p.detach().view(torch.int16).int() << 16
        together = (high + ours.state[p]["low_bits"].int()).view(torch.float32)
        torch.testing.assert_close(together, q.detach(), rtol=2e-6, atol=1e-7)  # two kernels of one formula


def test_small_steps_are_lost_to_the_nearest_number_and_to_no_other():
    moved = {}
    for rounding in ("nearest", "stochastic", "compensated"):
        p = torch.nn.Parameter(torch.ones(10_000, dtype=torch.bfloat16))
        optimizer = door.SGD([p], lr=1e-4, rounding=rounding)  # a sixteenth of the gap below 1
        for _ in range(100):
            p.grad = torch.ones_like(p)
            optimizer.step()
        moved[rounding] = 1 - p.detach().double().mean().item()
    assert moved["nearest"] == 0
    assert moved["stochastic"] == pytest.approx(0.01, rel=0.05)
    assert moved["compensated"] == pytest.approx(0.01, abs=0.002)


def test_what_was_rounded_away_survives_a_state_dict():
    model = network(torch.bfloat16)
    optimizer = door.Adam(model.parameters(), lr=1e-4, rounding="compensated", state_dtype="float32")
    train(model, optimizer, 5)
    again = network(torch.bfloat16)
    resumed = door.Adam(again.parameters(), lr=1e-4, rounding="compensated", state_dtype="float32")
    again.load_state_dict(model.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    train(model, optimizer, 5)
    train(again, resumed, 5)
    assert_same(optimizer, resumed, model, again)


def test_channels_last_and_parameters_without_gradients():
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.randn(4, 8, 3, 3).to(memory_format=torch.channels_last))
    q = torch.nn.Parameter(p.detach().contiguous())
    rests = torch.nn.Parameter(torch.ones(5))
    one, two = (door.Adam(ps, lr=0.1, state_dtype="8bit") for ps in ([p, rests], [q]))
    for _ in range(3):
        p.grad = torch.randn(4, 8, 3, 3).to(memory_format=torch.channels_last)
        q.grad = p.grad.contiguous()
        one.step()
        two.step()
    torch.testing.assert_close(p.detach(), q.detach(), rtol=0, atol=0.05)  # the noise lies in the order of memory
    assert rests.tolist() == [1.0] * 5
    assert rests not in one.state or "exp_avg" not in one.state[rests]


@pytest.mark.parametrize(
    ("options", "params", "error", "words"),
    [
        ({"state_dtype": "int8"}, torch.ones(2), ValueError, "state_dtype must be 'float32' or 'bfloat16' or '8bit'"),
        ({"rounding": "up"}, torch.ones(2), ValueError, "rounding must be 'nearest' or"),
        (
            {"state_dtype": "8bit"},
            torch.ones(2).double(),
            ValueError,
            "needs parameters of float32, float16 or bfloat16",
        ),
        ({"state_dtype": "8bit"}, torch.ones(2) * 1j, ValueError, "got torch.complex64"),
        ({"rounding": "stochastic"}, torch.ones(2), ValueError, "needs parameters of bfloat16; got torch.float32"),
    ],
)
def test_what_cannot_be_is_refused_at_once(options, params, error, words):
    with pytest.raises(error, match=words):
        door.Adam([params.requires_grad_()], **options)


def test_sparse_gradients_and_odd_layouts_are_refused_before_anything_changes():
    table = torch.nn.Parameter(torch.ones(4, 2))
    table.grad = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.ones(1, 2), (4, 2))
    spread = torch.ones(6)[::2].requires_grad_()
    spread.grad = torch.ones(3)
    for p, why in ((table, "has a sparse gradient"), (spread, "no kernel takes it")):
        other = torch.nn.Parameter(torch.ones(3))
        other.grad = torch.ones(3)
        optimizer = door.Adam([other, p], state_dtype="8bit")
        with pytest.raises(ValueError, match=why):
            optimizer.step()
        assert other.tolist() == [1.0] * 3


def test_the_same_noise_for_the_same_training():
    ends = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            model = network()
            train(model, door.Adam(model.parameters(), lr=0.01, state_dtype="8bit"), 10)
        finally:
            torch.set_num_threads(2)
        ends.append([p.detach().clone() for p in model.parameters()])
    for p, q in zip(*ends, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-3)
