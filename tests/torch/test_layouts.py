"""Parameters and gradients that are not plain rows of float32: complex, strided, half precision, without a compiler."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import stepwell.torch as door
from stepwell import rules
from stepwell.kernels import cpu, eager
from tests.torch.harness import (
    SMALL,
    assert_same_state,
    assert_same_training,
    default_dtype,
    gradient,
    named_pair,
    parameters,
)
from tests.torch.options import NAMES, rich

# --- complex


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=["complex64", "complex128"])
@pytest.mark.parametrize("name", NAMES)
def test_complex_numbers_are_pairs_as_in_torch(name: str, dtype: torch.dtype) -> None:
    options = rich(name)
    assert_same_training(
        lambda params: getattr(door, name)(params, **options),
        lambda params: getattr(torch.optim, name)(params, **options, foreach=False),
        sizes=(0, 1, 17, (3, 5)),
        dtype=dtype,
    )


def test_adagrad_starts_complex_sums_as_torch_does() -> None:
    pair = named_pair("Adagrad", {"initial_accumulator_value": 0.5}, dtype=torch.complex128)
    pair.train(3)


def test_a_lazily_conjugated_gradient() -> None:
    pair = named_pair("Adam", sizes=(5,), dtype=torch.complex128)
    g = gradient((5,), torch.complex128, 4)
    for conjugated in (False, True, True, False, True):
        pair.ps[0].grad = g.clone().conj() if conjugated else g.clone()
        pair.qs[0].grad = pair.ps[0].grad.resolve_conj().clone()
        for optimizer in pair.both:
            optimizer.step()
        assert_same_state(*pair.both, "conjugated")


# --- strides

Layout = Callable[[Tensor], Tensor]
LAYOUTS: dict[str, tuple[tuple[int, ...], Layout]] = {
    "transposed": ((6, 4), lambda x: x.t()),
    "every second": ((6, 8), lambda x: x[:, ::2]),
    "a slice": ((9, 5), lambda x: x[2:7, 1:4]),
    "channels last": ((2, 3, 4, 5), lambda x: x.to(memory_format=torch.channels_last)),
    "permuted": ((3, 4, 5), lambda x: x.permute(2, 0, 1)),
}


def laid_out(shape: tuple[int, ...], layout: Layout, seed: int) -> Tensor:
    return layout(parameters((shape,), torch.float64, seed)[0].detach().clone()).requires_grad_()


@pytest.mark.parametrize("grads", ["of the same layout", "contiguous", "expanded"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_any_strides_of_parameter_and_gradient(name: str, layout: str, grads: str) -> None:
    shape, lay = LAYOUTS[layout]
    p, q = (laid_out(shape, lay, seed=1) for _ in range(2))
    options = rich(name)
    mine, yours = getattr(door, name)([p], **options), getattr(torch.optim, name)([q], **options, foreach=False)
    before = p.detach().clone()
    for step in range(4):
        g = gradient(shape, torch.float64, step)
        for x in (p, q):
            x.grad = lay(g.clone())
            if grads == "contiguous":
                x.grad = x.grad.contiguous()
            elif grads == "expanded":
                x.grad = x.grad.select(0, 0).expand(x.shape)
        mine.step()
        yours.step()
        assert_same_state(mine, yours, f"step {step}")
    assert not torch.equal(p, before)
    assert p.stride() == q.stride()


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_on_what_no_kernel_takes(name: str) -> None:
    p, q = (laid_out((6, 8), LAYOUTS["every second"][1], seed=1) for _ in range(2))
    options = rich(name)
    with default_dtype(torch.float64):
        mine, yours = getattr(door, name)([p], **options), getattr(torch.optim, name)([q], **options, foreach=False)
        for step in range(6):
            for x in (p, q):
                x.grad = gradient((6, 4), torch.float64, step).clone()
            mine.step()
            yours.step()
            assert_same_state(mine, yours, f"step {step}")


def test_what_lies_between_the_elements_of_a_parameter_stays() -> None:
    whole = torch.zeros(4, 6)
    p = whole[:, ::2].requires_grad_()
    p.grad = torch.ones(4, 3)
    door.SGD([p], lr=1.0, weight_decay=0.1).step()
    assert torch.equal(whole[:, 1::2], torch.zeros(4, 3))
    assert torch.equal(whole[:, ::2], -torch.ones(4, 3))


def test_a_gradient_whose_layout_changes_between_steps() -> None:
    pair = named_pair("Adam", sizes=((4, 4),))
    for step in range(6):
        g = gradient((4, 4), torch.float64, step)
        for x in (pair.ps[0], pair.qs[0]):
            x.grad = g.clone() if step % 3 == 0 else g.clone().t() if step % 3 == 1 else g[0].clone().expand(4, 4)
        for optimizer in pair.both:
            optimizer.step()
        assert_same_state(*pair.both, f"step {step}")


class Tagged(Tensor):
    """A tensor subclass, as wrappers of many kinds are."""


def test_subclasses_of_tensor() -> None:
    p = torch.zeros(5).as_subclass(Tagged).requires_grad_()  # pyright: ignore[reportArgumentType]
    p.grad = torch.ones(5).as_subclass(Tagged)  # pyright: ignore[reportArgumentType]
    door.SGD([p], lr=0.5).step()
    assert torch.equal(p.detach().as_subclass(Tensor), torch.full((5,), -0.5))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", NAMES)
def test_without_a_compiler_the_numbers_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "usable", lambda: False)
    options = rich(name)
    assert_same_training(
        lambda params: getattr(door, name)(params, **options),
        lambda params: getattr(torch.optim, name)(params, **options, foreach=False),
        sizes=(0, *SMALL),
        dtype=torch.float64,
    )


# --- half precision

HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
HALF_RULES: dict[str, tuple[dict[str, Any], Any, dict[str, str], dict[str, float]]] = {
    "SGD": ({"lr": 0.1, "momentum": 0.9}, rules.momentum, {"v": "momentum_buffer"}, {"lr": 0.1, "beta": 0.9}),
    "Adam": ({"lr": 0.01}, rules.adam, {"m": "exp_avg", "v": "exp_avg_sq"},
             {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
}  # fmt: skip


def halves(dtype: torch.dtype, seed: int, scale: float = 1.0) -> Tensor:
    """Numbers around 1, exactly representable in half precision."""
    return (scale * torch.randn(4099, generator=torch.Generator().manual_seed(seed))).to(dtype)


def ulp(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The distance of neighbours in half precision around each number, in double precision."""
    digits = {torch.float16: 10, torch.bfloat16: 7}[dtype]
    tiny = torch.finfo(dtype).smallest_normal
    return 2.0 ** (x.double().abs().clamp(min=tiny).log2().floor() - digits)


def assert_rounded_once(actual: Tensor, expected: Tensor, dtype: torch.dtype, what: str, units: float) -> None:
    """Within `units` of the last place; more only where operands of the size of the tensor cancelled."""
    allowed = units * ulp(expected, dtype) + 2e-7 * expected.abs().max()
    wrong = (actual.double() - expected.double()).abs() > allowed
    assert not wrong.any(), f"{what}: {actual[wrong][:3].tolist()} ≠ {expected[wrong][:3].tolist()}"


@HALVES
@pytest.mark.parametrize("name", HALF_RULES)
def test_half_precision_is_computed_in_single_and_rounded_once(name: str, dtype: torch.dtype) -> None:
    """Each step from the same state as exact arithmetic: half a unit in the last place."""
    options, rule, names, hyper = HALF_RULES[name]
    p = halves(dtype, 0).requires_grad_()
    optimizer = getattr(door, name)([p], **options)
    for step in range(1, 5):
        p.grad = halves(dtype, step, 10.0 ** (step - 3))
        state = {k: optimizer.state[p][n].double().numpy() for k, n in names.items() if n in optimizer.state[p]}
        arrays = {"p": p.detach().double().numpy(), "g": p.grad.double().numpy(), **state}
        arrays |= {k: np.zeros(p.numel()) for k in names if k not in state}
        exact = eager.step(rule, arrays, {**hyper, "t": float(step)})
        before = p.detach().clone()
        optimizer.step()
        assert (p != before).double().mean() > 0.1
        for key, tensor in {"p": p.detach(), **{k: optimizer.state[p][n] for k, n in names.items()}}.items():
            assert tensor.dtype == dtype
            assert_rounded_once(tensor, torch.from_numpy(exact[key]), dtype, f"step {step}, {key}", units=0.501)


@HALVES
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "maximize": True}], ids=["plain", "decayed"])
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_half_precision_is_that_of_torchs_fused_step(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    """From the same state; results on the edge between two neighbours may round apart, one in a hundred at most.

    Torch's fused Adagrad rounds more than once, and its fused SGD leaves whole vectors of half precision where they
    were (2.13), so neither can judge.
    """
    p, q = halves(dtype, 0).requires_grad_(), halves(dtype, 0).requires_grad_()
    options = options | {"lr": 0.05}
    mine, yours = getattr(door, name)([p], **options), getattr(torch.optim, name)([q], **options, fused=True)
    for step in range(1, 5):
        p.grad = halves(dtype, step, 10.0 ** (step - 3))
        q.grad = p.grad.clone()
        mine.step()
        yours.step()
        pairs = {"p": (p.detach(), q.detach())}
        pairs |= {k: (mine.state[p][k], v) for k, v in yours.state[q].items() if k != "step"}
        for key, (a, b) in pairs.items():
            assert_rounded_once(a, b, dtype, f"step {step}, {key}", units=1.001)
            assert (a != b).double().mean() < 0.01, (step, key)
            a.copy_(b)


@HALVES
def test_half_precision_without_a_kernel_rounds_once_too(dtype: torch.dtype) -> None:
    whole = halves(dtype, 0)
    p, q = whole.clone().requires_grad_(), torch.stack([whole, whole], 1)[:, 0].requires_grad_()
    left, right = door.Adam([p], weight_decay=0.1), door.Adam([q], weight_decay=0.1)
    for step in range(4):
        p.grad, q.grad = (halves(dtype, step, 10.0 ** (step - 3)) for _ in range(2))
        left.step()
        right.step()
        assert (p != q).double().mean() < 0.01
        for x, y in [(p.detach(), q.detach()), *((left.state[p][k], right.state[q][k]) for k in left.state[p])]:
            y.copy_(x)
    assert not torch.equal(p, whole)
