"""Sparse gradients on a GPU: the touched rows through the kernels there, as on the CPU."""

from typing import Any

import pytest
import torch

import stepwell.torch as door
from stepwell import rules
from stepwell.torch.eager import LooseRows
from stepwell.torch.gpu.rows import GpuRows
from tests.kernels.interpreter import DEVICE
from tests.torch.gpu.harness import Pair, engine
from tests.torch.harness import absent
from tests.torch.sparse import coo, gradient

SHAPES = ((30, 1), (30, 17), (40, 3, 5))


class Sparse(Pair):
    """A pair whose gradients are sparse."""

    def __init__(self, *args: Any, dims: int = 1, **more: Any):
        super().__init__(*args, **{"sizes": SHAPES} | more)
        self.dims = dims

    def give(self) -> None:
        for k, (p, q) in enumerate(zip(self.ps, self.qs, strict=True)):
            missing = self.gaps and absent(self.steps, k)
            q.grad = None if missing else gradient(q.shape, q.dtype, self.steps, k, self.dims)
            p.grad = None if q.grad is None else q.grad.to(DEVICE)

    def compare(self) -> None:
        self.theirs.flush()
        super().compare()


def pair(rule: Any, **more: Any) -> Sparse:
    sparse = {k: more.pop(k) for k in ("clip_norm", "ema", "sparse", "maximize", "weight_decay") if k in more}
    make = door.from_rule(rule)
    return Sparse(lambda ps: make(ps, **sparse), lambda qs: make(qs, **sparse), **more)


@pytest.mark.parametrize("rule", [rules.adam, rules.adagrad, rules.nadam, rules.adagrad_rowwise], ids=lambda r: r.name)
def test_touched_rows_are_those_of_the_cpu(rule):
    by_rows = rule is rules.adagrad_rowwise
    made = pair(rule, sizes=SHAPES[:2]) if by_rows else pair(rule)
    made.train(8)
    assert {type(x) for x in made.mine._plan.loose} == {GpuRows}
    assert not made.theirs._plan.loose


def test_the_whole_step():
    made = pair(rules.adam, clip_norm=0.5, ema=0.9, maximize=True, weight_decay=0.1)
    made.train(8)
    assert {type(x) for x in made.mine._plan.loose} == {GpuRows}


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64])
def test_other_dtypes(dtype):
    pair(rules.adam, dtype=dtype).train(4)


def test_gradients_that_name_two_axes():
    pair(rules.adam, dims=2, sizes=((6, 7), (5, 4, 3))).train(6)


def test_rows_where_a_gradient_names_single_numbers():
    """A rule that reads rows needs whole ones; torch makes them."""
    pair(rules.adagrad_rowwise, dims=2, sizes=((6, 7),)).train(4)


@pytest.mark.parametrize(("rule", "kind"), [(rules.gradient_descent, GpuRows), (rules.momentum, LooseRows)],
                         ids=lambda x: getattr(x, "name", ""))  # fmt: skip
def test_exact_where_rows_rest_is_lazy_and_elsewhere_a_dense_step(rule, kind):
    made = pair(rule, sparse="exact")
    made.train(6)
    assert {type(x) for x in made.mine._plan.loose} == {kind}


def test_half_precision_values_for_a_table_in_single():
    p = torch.zeros(5, 3, device=DEVICE, requires_grad=True)
    p.grad = coo([[1, 4, 1]], torch.ones(3, 3), (5, 3)).to(DEVICE)
    with engine():
        optimizer = door.SGD([p], lr=0.5)
        optimizer.step()
    assert p.tolist() == [[0.0] * 3, [-1.0] * 3, [0.0] * 3, [0.0] * 3, [-0.5] * 3]


def test_zeroed_gradients_and_versions():
    p = torch.zeros(5, 3, device=DEVICE, requires_grad=True)
    p.grad = coo([[1]], torch.ones(1, 3), (5, 3)).to(DEVICE)
    before = p._version
    with engine():
        door.SGD([p], lr=0.5, zero_grad=True).step()
    assert not p.grad.to_dense().any()
    assert p._version > before


@pytest.mark.parametrize("index", [-1, 5])
def test_a_row_that_the_table_has_not_is_refused(index):
    p = torch.zeros(5, 3, device=DEVICE, requires_grad=True)
    with engine():
        optimizer = door.SGD([p], lr=0.5)
        p.grad = coo([[1]], torch.ones(1, 3), (5, 3)).to(DEVICE)
        optimizer.step()
        before = p.detach().clone()
        p.grad = coo([[index]], torch.ones(1, 3), (5, 3), check=False).to(DEVICE)
        with pytest.raises(IndexError, match="must be from 0 to 4"):
            optimizer.step()
    assert torch.equal(p, before)


def test_many_values_of_one_row():
    p = torch.zeros(9, 20, device=DEVICE, requires_grad=True)
    p.grad = coo([[3] * 500], torch.ones(500, 20), (9, 20)).to(DEVICE)
    with engine():
        door.SGD([p], lr=1.0).step()
    assert bool((p[3] == -500).all())
    assert not p.detach()[[0, 1, 2, 4, 5, 6, 7, 8]].any()
