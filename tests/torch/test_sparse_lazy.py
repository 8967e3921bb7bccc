"""Sparse gradients, lazily: torch's SparseAdam, and its Adagrad and SGD on them; every other rule on touched rows."""

import copy
import inspect
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import stepwell.torch as door
from stepwell.torch.contract import WholeStep
from tests.torch.harness import Maker, assert_same_state, named_pair, parameters, twins
from tests.torch.options import NAMES, rich
from tests.torch.sparse import FORMS, OnTouchedRows, SparsePair, coo, double, error, gradient

SHAPES = [(40, 6), (7, 1), (9, 17), (5, 1024), (1, 3)]
STEPS = 20
MOMENTS = ("exp_avg", "exp_avg_sq")
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
CASES: list[tuple[str, dict[str, Any]]] = [
    ("SparseAdam", {}),
    ("SparseAdam", {"lr": 0.03, "betas": (0.5, 0.9), "eps": 1e-3, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"eps": 1e-3, "maximize": True}),
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
]
IDS = [f"{name}({', '.join(f'{k}={v}' for k, v in options.items())})" for name, options in CASES]
EVERY_CASE = pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)


def torchs(name: str, options: dict[str, Any]) -> Maker:
    plain = {} if name == "SparseAdam" else {"foreach": False}
    return lambda params: getattr(torch.optim, name)(params, **plain, **options)


def ours(name: str, options: dict[str, Any]) -> Maker:
    return lambda params: getattr(door, name)(params, **options)


def pair(name: str, options: dict[str, Any], sizes: Any = SHAPES, **more: Any) -> SparsePair:
    return SparsePair(ours(name, options), torchs(name, options), sizes, **more)


@DTYPES
@EVERY_CASE
def test_numbers_are_those_of_torch(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    pair(name, options, dtype=dtype).train(STEPS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["SparseAdam", "Adagrad", "SGD"])
def test_however_a_gradient_says_it(name: str, form: str) -> None:
    pair(name, {}, form=FORMS[form]).train(STEPS)


@pytest.mark.parametrize(("shape", "dims"), [((7, 5), 2), ((4, 3, 5), 1), ((4, 3, 5), 2), ((4, 3, 5), 3), ((9,), 1)])
@pytest.mark.parametrize("name", ["SparseAdam", "Adagrad", "SGD"])
def test_a_row_is_what_lies_along_the_axes_that_are_not_named(name: str, shape: tuple[int, ...], dims: int) -> None:
    pair(name, {}, [shape], dims=dims).train(STEPS)


@given(st.sampled_from(["SparseAdam", "Adagrad", "SGD"]), st.integers(1, 30), st.integers(0, 20), st.data())
@settings(max_examples=60)
def test_any_rows_of_any_table(name: str, rows: int, width: int, data: st.DataObject) -> None:
    (p,) = parameters([(rows, width)], torch.float64)
    (q,) = twins([p])
    mine, yours = ours(name, {})([p]), torchs(name, {})([q])
    for step, places in enumerate(data.draw(st.lists(st.lists(st.integers(0, rows - 1), max_size=40), max_size=4))):
        values = gradient((40, width), torch.float64, step + 5).to_dense()[: len(places)]
        p.grad, q.grad = (coo(torch.tensor([places], dtype=torch.int64), values.clone(), p.shape) for _ in range(2))
        mine.step()
        yours.step()
        assert_same_state(mine, yours, f"step {step}")


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_does_to_touched_rows_what_it_does_to_dense_ones(name: str) -> None:
    """With the step counted globally, and weight decay on touched rows alone."""
    given = rich(name) | ({"dampening": 0.3} if name == "SGD" else {})
    torch_optim: Any = lambda params: OnTouchedRows(torchs(name, given)(params))  # noqa: E731
    SparsePair(ours(name, given), torch_optim, [(30, 4), (5, 3)]).train(STEPS)


def test_an_average_of_the_weights_moves_in_every_row_at_every_step() -> None:
    """Also while the parameter has no gradient; before its first, it is its own average."""
    both = pair("SparseAdam", {})
    mine = door.SparseAdam(both.ps, ema=0.8)
    averages = [q.detach().clone() for q in both.qs]
    for _ in range(STEPS):
        both.give()
        mine.step()
        both.yours.step()
        begun = [q in both.yours.state for q in both.qs]
        for q, average, is_on in zip(both.qs, averages, begun, strict=True):
            average.lerp_(q.detach(), 0.2 if is_on else 1.0)
        both.steps += 1
    mine.flush()
    for p, q, average in zip(both.ps, both.qs, averages, strict=True):
        assert error(p, q) <= 1e-12
        assert error(mine.state[p]["ema"], average) <= 1e-12


def models(dtype: torch.dtype = torch.float64) -> list[torch.nn.Module]:
    torch.manual_seed(0)
    model = torch.nn.Embedding(20, 3, sparse=True, dtype=dtype)
    return [model, copy.deepcopy(model)]


@EVERY_CASE
def test_gradients_of_several_backward_calls(name: str, options: dict[str, Any]) -> None:
    mine, yours = models()
    both = ours(name, options)(list(mine.parameters())), torchs(name, options)(list(yours.parameters()))
    for step in range(STEPS):
        for model, optimizer in zip((mine, yours), both, strict=True):
            optimizer.zero_grad()
            for part in range(1 + step % 3):
                rows = torch.tensor([step % 20, part, part, 3])
                model(rows).sum().backward()  # values expanded from one number
                (model(rows) - 1).square().sum().backward()
            optimizer.step()
        assert_same_state(*both, f"step {step}")


# --- dtypes


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_gradients_of_a_single_precision_table(half: torch.dtype) -> None:
    """They are added up in single precision."""
    (p,) = parameters([(30, 5)], torch.float32)
    (q,) = twins([p])
    p.grad_dtype = None  # pyright: ignore[reportAttributeAccessIssue]
    mine, yours = door.SparseAdam([p], lr=0.1), torch.optim.SparseAdam([q], lr=0.1)
    for step in range(STEPS):
        p.grad = gradient(p.shape, torch.float32, step).to(half)
        q.grad = p.grad.to(torch.float32)
        mine.step()
        yours.step()
    assert error(p, q) <= 2e-6


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_tables_are_computed_in_single_and_rounded_once(half: torch.dtype) -> None:
    (p,) = parameters([(30, 5)], half)
    mine = door.SparseAdam([p], lr=0.1)
    for step in range(5):
        q = p.detach().float().requires_grad_()
        yours = torch.optim.SparseAdam([q], lr=0.1)
        yours.state[q] = {k: v.float() if v.dim() else int(v) for k, v in mine.state.get(p, {}).items()}
        p.grad = gradient(p.shape, torch.float32, step % 4).to(half)
        q.grad = p.grad.float()
        mine.step()
        yours.step()
        for name, x, expected in [("p", p, q), *((k, mine.state[p][k], yours.state[q][k]) for k in MOMENTS)]:
            ulp = 2.0 ** torch.frexp(expected.detach()).exponent * torch.finfo(half).eps / 2
            bound = 0.501 * ulp + (6e-8 if half is torch.float16 else 0)  # half a unit; float16 has no smaller ones
            assert ((x.detach().float() - expected).abs() <= bound).all(), name


@pytest.mark.parametrize("name", ["SparseAdam", "Adagrad", "SGD", "RMSprop"])
def test_a_complex_table_is_one_of_real_and_imaginary_parts(name: str) -> None:
    (p,) = parameters([(30, 4)], torch.complex128)
    q = torch.view_as_real(p.detach()).flatten(1).clone().requires_grad_()
    mine, real = ours(name, {})([p]), ours(name, {})([q])
    for step in range(STEPS):
        g = gradient(p.shape, p.dtype, step)
        p.grad = g.conj() if step % 2 else g
        parts = torch.view_as_real(p.grad._values().resolve_conj()).flatten(1)
        q.grad = coo(p.grad._indices(), parts, q.shape)
        mine.step()
        real.step()
    assert torch.equal(torch.view_as_real(p.detach()).flatten(1), q.detach())
    assert not torch.equal(q.detach(), torch.view_as_real(parameters([(30, 4)], torch.complex128)[0]).flatten(1))


@pytest.mark.parametrize("name", ["SGD", "SparseAdam", "Adagrad", "AdagradRowwise"])
@pytest.mark.parametrize("dims", [1, 2])
def test_a_table_that_no_kernel_takes(name: str, dims: int) -> None:
    """Its elements lie in another order in memory; nothing else is different."""
    (p,) = parameters([(30, 4)], torch.float64)
    q = p.detach().t().contiguous().t().requires_grad_()
    more = {"weight_decay": 0.1} if name == "Adagrad" else {}
    both: list[Any] = [ours(name, {"lr": 0.1, "ema": 0.9} | more)([x]) for x in (p, q)]
    for step in range(STEPS):
        for x, optimizer in zip((p, q), both, strict=True):
            x.grad = gradient(p.shape, p.dtype, step, dims=dims)
            optimizer.step()
    both[0].flush()
    for key in ("ema", *(k for k in both[0].state[p] if k != "ema")):
        assert error(both[1].state[q][key], both[0].state[p][key]) <= 1e-12, key
    assert error(q, p) <= 1e-12


def test_a_gradient_of_single_numbers_under_a_rule_of_rows() -> None:
    """The rows that it touches are those of the dense gradient, however many axes it names."""
    for shape in ((9, 4), (3, 2, 5)):
        (p,) = parameters([shape], torch.float64)
        (q,) = twins([p])
        mine, dense = (door.AdagradRowwise([x], lr=0.1) for x in (p, q))
        for step in range(6):
            p.grad = gradient(shape, p.dtype, step, dims=len(shape))
            q.grad = p.grad.to_dense()
            mine.step()
            dense.step()
        assert error(p, q) <= 1e-12
        assert error(mine.state[p]["s"], dense.state[q]["s"]) <= 1e-12


def test_a_number_can_have_a_sparse_gradient_too() -> None:
    p = torch.nn.Parameter(torch.tensor(1.0))
    p.grad = torch.tensor(2.0).to_sparse()
    door.SGD([p], lr=0.25).step()
    assert p.item() == 0.5


# --- SparseAdam as torch has it


def test_the_signature_is_that_of_torch_and_the_whole_step() -> None:
    mine = list(inspect.signature(door.SparseAdam).parameters.values())
    yours = list(inspect.signature(torch.optim.SparseAdam).parameters.values())
    assert [(p.name, p.kind, p.default) for p in mine[: len(yours)]] == [(p.name, p.kind, p.default) for p in yours]
    assert (
        mine[len(yours) :] == list(inspect.signature(door.Adam).parameters.values())[-len(WholeStep.__annotations__) :]
    )
    (p,) = parameters([(3, 2)], torch.float32)
    args: Any = [p], 0.1, (0.5, 0.9), 1e-3, True
    assert door.SparseAdam(*args).defaults == torch.optim.SparseAdam(*args).defaults


@EVERY_CASE
def test_checkpoints_go_both_ways(name: str, options: dict[str, Any]) -> None:
    both = pair(name, options)
    both.train(9)
    mine, yours = ours(name, options)(both.qs), torchs(name, options)(both.ps)
    theirs, own = copy.deepcopy(both.yours.state_dict()), copy.deepcopy(both.mine.state_dict())
    mine.load_state_dict(theirs)
    yours.load_state_dict(own)
    both.mine, both.yours = yours, mine
    for _ in range(9):
        both.give()
        with double():
            mine.step()
            yours.step()
        both.steps += 1
        assert_same_state(mine, yours, f"step {both.steps}", scales=both.scales)


def test_torchs_steps_are_integers_and_so_are_ours_in_a_checkpoint() -> None:
    both = pair("SparseAdam", {})
    both.train(9)
    kinds = [[type(entry["step"]) for entry in o.state_dict()["state"].values()] for o in both.both]
    assert kinds[0] == kinds[1] == [int] * len(SHAPES)


def test_dense_gradients_are_taken_as_well() -> None:
    """A sparse one that names every row is the same gradient."""
    both = named_pair("Adam", sizes=[(5, 3)])
    mine = [door.SparseAdam([p]) for p in (both.ps[0], both.qs[0])]
    for step in range(5):
        g: Tensor = gradient((5, 3), torch.float64, step).to_dense()
        both.ps[0].grad, both.qs[0].grad = g, coo(torch.arange(5)[None], g, g.shape)
        for optimizer in mine:
            optimizer.step()
    assert error(both.ps[0], both.qs[0]) <= 1e-15
