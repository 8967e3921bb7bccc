"""Row-wise Adagrad on tensors: its state is one number a row, made, checked, saved and taken over as such."""

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import stepwell.torch as door
from stepwell import rules
from stepwell.kernels import cpu
from tests.numpy.reference import trained
from tests.rules.test_adagrad import GRADIENTS, TABLE, adagrad_of_rows
from tests.torch.harness import assert_close

HYPER = {"lr": 0.3, "eps": 0.1, "initial_accumulator": 0.5}
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def parameter(values: Any, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype).requires_grad_()


def fit(p: Tensor, gradients: Any = GRADIENTS, **options: Any) -> door.Optimizer:
    optimizer = door.AdagradRowwise([p], **HYPER, **options)
    for g in gradients:
        p.grad = torch.tensor(g).to(p.dtype)
        optimizer.step()
    return optimizer


def as_numpy(x: Tensor) -> np.ndarray:
    return x.detach().double().numpy()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_a_table_is_the_longhand(dtype: torch.dtype) -> None:
    p = parameter(TABLE, dtype)
    gradients = [as_numpy(torch.tensor(g).to(dtype)) for g in GRADIENTS[:5]]
    *_, (table, sums) = adagrad_of_rows(as_numpy(p), gradients, **HYPER)
    s = fit(p, gradients).state[p]["s"]
    assert (s.shape, s.dtype, s.requires_grad) == ((3, 1), dtype, False)
    assert_close(p.detach().double(), table, "p", TOLERANCE[dtype])
    assert_close(s.double(), sums, "s", TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 0), (0, 3), (2, 3, 5)], ids=str)
def test_a_row_is_what_lies_along_the_last_axis(shape: tuple[int, ...]) -> None:
    gradients = np.random.default_rng(4).standard_normal((4, *shape))
    p = parameter(np.full(shape, 0.5))
    s = fit(p, gradients).state[p]["s"]
    assert s.shape == (torch.Size([*shape[:-1], 1]) if shape else ())
    width = shape[-1] if shape else 1
    if p.numel():
        *_, (table, sums) = adagrad_of_rows(
            np.full((p.numel() // width, width), 0.5), gradients.reshape(4, -1, width), **HYPER
        )
        assert_close(p.detach(), table.reshape(shape), "p", 1e-13)
        assert_close(s, sums.reshape(s.shape), "s", 1e-13)
    else:
        assert (s == HYPER["initial_accumulator"]).all()


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)], ids=str)
def test_a_row_of_complex_numbers_is_that_of_their_parts(shape: tuple[int, ...]) -> None:
    parts = np.random.default_rng(5).standard_normal((5, *shape, 2))
    numbers = torch.view_as_complex(torch.from_numpy(parts))
    p = numbers[0].clone().requires_grad_()
    s = fit_complex(p, numbers[1:]).state[p]["s"]
    rows = parts.reshape(5, -1, 2 * (shape[-1] if shape else 1))
    *_, (table, sums) = adagrad_of_rows(rows[0], rows[1:], **HYPER)
    assert (s.dtype, s.shape) == (torch.float64, torch.Size([*shape[:-1], 1] if shape else []))
    assert_close(torch.view_as_real(p.detach()), table.reshape(*shape, 2), "p", 1e-13)
    assert_close(s, sums.reshape(s.shape), "s", 1e-13)


def fit_complex(p: Tensor, gradients: Tensor) -> door.Optimizer:
    optimizer = door.AdagradRowwise([p], **HYPER)
    for k, g in enumerate(gradients):
        p.grad = g.conj().resolve_conj().conj() if k % 2 else g.clone()  # lazily conjugated, and not
        optimizer.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return optimizer


ORDERS: dict[str, Any] = {
    "transposed": lambda x: x.t().contiguous().t(),
    "every second": lambda x: x.repeat_interleave(2, 1)[:, ::2],
    "a slice": lambda x: torch.nn.functional.pad(x, (1, 2, 1, 1))[1:-1, 1:-2],
}


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_in_memory(order: str) -> None:
    p = ORDERS[order](torch.tensor(TABLE)).detach().requires_grad_()
    assert not p.is_contiguous()
    *_, (table, sums) = adagrad_of_rows(TABLE, GRADIENTS, **HYPER)
    s = fit(p).state[p]["s"]
    assert_close(p.detach(), table, "p", 1e-13)
    assert_close(s, sums, "s", 1e-13)


def test_what_surrounds_the_rule() -> None:
    options: dict[str, Any] = {"weight_decay": 0.01, "maximize": True, "clip_norm": 0.1, "ema": 0.9}
    p = parameter(TABLE)
    expected = trained(rules.adagrad_rowwise, [TABLE], [[g] for g in GRADIENTS], **HYPER, **options)
    optimizer = fit(p, **options, check_finite=True, zero_grad=True)
    assert p.grad is not None
    assert not p.grad.any()
    for found, wanted in zip((p.detach(), optimizer.state[p]["ema"]), expected, strict=True):
        assert_close(found, wanted, "with all that surrounds it", 1e-12)


def test_scaled_gradients() -> None:
    p, q = parameter(TABLE, torch.float32), parameter(TABLE, torch.float32)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer, plain = (door.AdagradRowwise([x], **HYPER) for x in (p, q))
    for step, g in enumerate(GRADIENTS):
        q.grad = torch.tensor(g, dtype=torch.float32)
        p.grad = scaler.scale(torch.ones(())) * q.grad
        if step == 3:
            p.grad[0, 0] = float("inf")
        before = p.detach().clone()
        scaler.step(optimizer)
        scaler.update()
        if step == 3:
            assert torch.equal(p, before)
        else:
            plain.step()
    assert torch.equal(p, q)
    assert torch.equal(optimizer.state[p]["s"], plain.state[q]["s"])


def test_a_rule_of_rows_is_given_to_no_dense_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_kernel(*_: Any) -> None:
        raise AssertionError("the dense kernel cannot reduce rows")

    monkeypatch.setattr(cpu, "kernel", no_kernel)
    fit(parameter(TABLE))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_a_resumed_run_has_the_same_bits(dtype: torch.dtype) -> None:
    p = parameter(TABLE, dtype)
    optimizer = fit(p, GRADIENTS[:4], ema=0.5)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    q = p.detach().clone().requires_grad_()
    again = door.AdagradRowwise([q], ema=0.5)
    again.load_state_dict(torch.load(file, weights_only=True))
    for x, each in ((p, optimizer), (q, again)):
        x.grad = torch.tensor(GRADIENTS[4]).to(dtype)
        each.step()
    assert torch.equal(p, q)
    for name in ("s", "ema", "step"):
        assert torch.equal(optimizer.state[p][name], again.state[q][name])
        assert optimizer.state[p][name].dtype == again.state[q][name].dtype


WRONG: dict[str, tuple[Any, str]] = {
    "of elements": (torch.zeros(3, 4), r"s has shape \(3, 4\); the parameter has \(3, 4\), whose rows want \(3, 1\)"),
    "flat": (torch.zeros(3), r"s has shape \(3,\); the parameter has \(3, 4\), whose rows want \(3, 1\)"),
    "complex": (torch.zeros(3, 1, dtype=torch.complex64), r"s must hold the parameter's numbers; got .*complex64"),
    "a number": (0.5, "s must be a tensor; got float"),
}


@pytest.mark.parametrize("kind", [torch.float32, torch.complex64], ids=str)
@pytest.mark.parametrize("wrong", WRONG)
def test_state_that_cannot_be_is_refused(wrong: str, kind: torch.dtype) -> None:
    p = torch.ones(3, 4, dtype=kind, requires_grad=True)
    optimizer = fit(p, GRADIENTS[:2])
    kept, packed = copy.deepcopy(optimizer.state_dict()), optimizer.state_dict()
    packed["state"][0]["s"] = WRONG[wrong][0]
    with pytest.raises(ValueError, match=WRONG[wrong][1]):
        optimizer.load_state_dict(packed)
    assert torch.equal(optimizer.state[p]["s"], kept["state"][0]["s"])


def test_a_table_of_more_rows_needs_new_state() -> None:
    p = parameter(TABLE)
    optimizer = fit(p, GRADIENTS[:2])
    p.data, p.grad = torch.zeros(5, 4, dtype=torch.float64), torch.ones(5, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"s has shape \(3, 1\); its parameter has \(5, 4\), whose rows want \(5, 1\)"):
        optimizer.step()
    del optimizer.state[p]
    optimizer.step()
    assert optimizer.state[p]["s"].shape == (5, 1)


def test_state_put_in_by_hand_is_taken_over() -> None:
    p, q = parameter(TABLE), parameter(TABLE)
    one, other = fit(p, GRADIENTS[:2]), fit(q, GRADIENTS[:2])
    one.state[p]["s"] = torch.full((3, 1), 2.0, dtype=torch.float32)
    other.state[q]["s"] = torch.full((1, 3), 2.0, dtype=torch.float64).t()
    for x, optimizer in ((p, one), (q, other)):
        x.grad = torch.tensor(GRADIENTS[3])
        optimizer.step()
        assert optimizer.state[x]["s"].dtype == torch.float64
    assert torch.equal(p, q)
    assert not torch.equal(p.detach(), torch.tensor(TABLE))
