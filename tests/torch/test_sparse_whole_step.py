"""The whole step on sparse gradients: clipping, checking, zeroing, closures, loss scales, and several processes."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

import stepwell.torch as door
from tests.torch.harness import parameters, twins
from tests.torch.processes import found_by, needs_processes
from tests.torch.sparse import Net, Trained, assert_unchanged, coo, double, error, gradient, rows, written

MODES = pytest.mark.parametrize("mode", ["lazy", "exact"])
TWO = ("Embedding", "EmbeddingBag of sums")
LARGE = 3e38  # near the largest number of single precision


def give(ps: list[Tensor], step: int, *, dense: bool = False, factor: float = 1.0) -> None:
    """Sparse gradients for the tables, a dense one for what has a single axis."""
    for k, p in enumerate(ps):
        g = gradient(p.shape, p.dtype, step, k) * factor
        p.grad = g.to_dense() if dense or p.dim() == 1 else g


# --- clipping, checking, zeroing


@pytest.mark.parametrize("limit", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("strided", [False, True], ids=["kernel", "no kernel"])
def test_clip_norm_counts_merged_rows(strided: bool, limit: float) -> None:
    """As clipping the dense gradients does: values of one row are added before they are squared."""
    ps = parameters([(9, 4), (5, 3), (6,)], torch.float64)
    qs = twins(ps)
    if strided:
        ps[0] = ps[0].detach().t().contiguous().t().requires_grad_()
    mine, yours = door.SGD(ps, lr=0.1, clip_norm=limit), torch.optim.SGD(qs, lr=0.1, foreach=False)
    clipped = 0
    for step in range(10):
        give(ps, step)
        give(qs, step, dense=True)
        clipped += float(torch.nn.utils.clip_grad_norm_(qs, limit)) > limit
        mine.step()
        yours.step()
    assert all(error(p, q) <= 1e-12 for p, q in zip(ps, qs, strict=True))
    assert 0 < clipped < 10 or limit != 1.0


@MODES
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("steps", [0, 3])
def test_check_finite_refuses_before_anything_changes(steps: int, value: float, mode: str) -> None:
    ps = parameters([(6,), (9, 4), (5, 3)], torch.float64)
    groups: list[dict[str, Any]] = [{"params": ps[:2]}, {"params": ps[2:], "lr": 0.1}]
    mine = door.Adam(groups, check_finite=True, weight_decay=0.1, ema=0.5, sparse=mode)
    for step in range(steps):
        give(ps, step)
        mine.step()
    before = written(mine)
    give(ps, 5)
    assert ps[2].grad is not None
    ps[2].grad._values()[7, 1] = value
    with pytest.raises(FloatingPointError, match="a gradient has a NaN or an infinity; nothing was changed"):
        mine.step()
    assert_unchanged(mine, before)
    give(ps, 6)
    mine.step()


def test_check_finite_sees_the_sum_of_a_row() -> None:
    (p,) = parameters([(5, 2)], torch.float32)
    p.grad = coo([[1, 1]], torch.full((2, 2), LARGE), p.shape)
    before = p.detach().clone()
    with pytest.raises(FloatingPointError):
        door.SGD([p], check_finite=True).step()
    assert torch.equal(p, before)


@MODES
def test_zero_grad_leaves_gradients_empty_that_accumulate(mode: str) -> None:
    with double():
        both = Trained(TWO, lambda net: door.Adam(net.parameters(), zero_grad=True, sparse=mode))
        twin = Trained(TWO, lambda net: door.Adam(net.parameters(), sparse=mode))
        for step in range(10):
            both.steps = twin.steps = step
            for one, keeps in ((both, True), (twin, False)):
                for _ in range(2):
                    one.net(one.batches()).square().mean().backward()
                one.mine.step()
                if not keeps:
                    one.mine.zero_grad()
        grads = [p.grad for p in both.net.parameters()]
        assert [g._nnz() for g in grads if g is not None and g.is_sparse] == [0, 0]
        assert not any(g.to_dense().any() for g in grads if g is not None)
        for one in (both, twin):
            one.mine.flush()
        assert all(map(torch.equal, both.net.parameters(), twin.net.parameters()))


def test_a_gradient_that_two_tables_share_is_zeroed_when_both_have_read_it() -> None:
    p, q = (torch.nn.Parameter(torch.zeros(3, 2)) for _ in range(2))
    p.grad = q.grad = coo([[1, 1]], torch.ones(2, 2), (3, 2))
    door.SGD([p, q], lr=1.0, zero_grad=True).step()
    assert p.tolist() == q.tolist() == [[0, 0], [-2, -2], [0, 0]]


@MODES
def test_a_closure(mode: str) -> None:
    both = Trained(TWO, lambda net: door.Adam(net.parameters(), sparse=mode))

    def closure() -> Tensor:
        both.mine.zero_grad()
        loss = both.net(both.batches()).square().mean()
        loss.backward()
        return loss

    losses = [both.mine.step(closure).item() for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]


# --- loss scales


@MODES
@pytest.mark.parametrize("unscale", [False, True], ids=["direct", "unscaled"])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_scaled_training_is_training(clip: float | None, unscale: bool, mode: str) -> None:
    """Steps whose gradients overflow are left out, and no others."""
    ps = parameters([(9, 4), (5, 3), (6,)], torch.float32)
    qs = twins(ps)
    options: Any = {"clip_norm": clip, "ema": 0.5, "zero_grad": True, "sparse": mode}
    mine, yours = door.AdamW(ps, lr=0.1, **options), door.AdamW(qs, lr=0.1, **options)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    for step in range(12):
        give(ps, step, factor=scaler.scale(torch.ones(())).item())
        give(qs, step)
        spoilt = step in (0, 5)
        if spoilt:
            assert ps[0].grad is not None
            ps[0].grad = ps[0].grad + coo([[2]], torch.full((1, 4), float("inf")), (9, 4))
        if unscale:
            scaler.unscale_(mine)
        scaler.step(mine)
        scaler.update()
        if not spoilt:
            yours.step()
        assert not any(p.grad.to_dense().any() for p in ps if p.grad is not None)
    assert scaler.get_scale() == 2.0 ** (10 - 2 + 3)
    for optimizer in (mine, yours):
        optimizer.flush()
    assert all(error(p, q) <= 2e-6 for p, q in zip(ps, qs, strict=True))
    assert all(error(mine.state[p]["ema"], yours.state[q]["ema"]) <= 2e-6 for p, q in zip(ps, qs, strict=True))


@MODES
@pytest.mark.parametrize("strided", [False, True], ids=["kernel", "no kernel"])
def test_finite_values_that_add_up_to_infinity_skip_the_step(strided: bool, mode: str) -> None:
    ps = parameters([(6,), (9, 4)], torch.float32)
    if strided:
        ps[1] = ps[1].detach().t().contiguous().t().requires_grad_()
    mine = door.SGD(ps, lr=0.1, momentum=0.9, zero_grad=True, sparse=mode)
    give(ps, 2)
    mine.step()
    mine.flush()
    before = written(mine)
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    scaler.scale(torch.ones(()))
    ps[0].grad, ps[1].grad = torch.ones(6), coo([[3, 1, 3]], torch.full((3, 4), LARGE), (9, 4))
    scaler.step(mine)
    scaler.update()
    assert_unchanged(mine, before)
    assert not any(p.grad.to_dense().any() for p in ps if p.grad is not None)


# --- several processes


def half_of(step: int, rank: int | None) -> list[tuple[Tensor]]:
    """What a process reads at a step; all of it for the one that is alone."""
    whole = [rows(step, k, (8, 3)) for k in range(2)]
    return [(x if rank is None else x[4 * rank : 4 * rank + 4],) for x in whole]


def train(net: Any, rank: int | None, mode: str) -> None:
    optimizer = door.Adam(net.parameters(), lr=0.05, weight_decay=0.1, clip_norm=0.1, sparse=mode)
    for step in range(10):
        optimizer.zero_grad()
        (net(half_of(step, rank)) - 0.3).square().mean().backward()
        optimizer.step()
    optimizer.flush()


def network() -> Net:
    torch.manual_seed(0)
    return Net(torch.nn.Embedding(60, 4, sparse=True), torch.nn.EmbeddingBag(60, 4, mode="sum", sparse=True))


def process(rank: int, mode: str) -> Any:
    with double():
        net = network()
        train(DistributedDataParallel(net), rank, mode)
    return [p.detach().numpy() for p in net.parameters()]


@MODES
@needs_processes
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_two_processes_are_one_on_the_joined_batch(mode: str) -> None:
    results = found_by(2, process, mode)
    with double():
        alone = network()
        train(alone, None, mode)
    for result in results:
        assert all(error(torch.from_numpy(x), p) <= 1e-12 for x, p in zip(result, alone.parameters(), strict=True))
