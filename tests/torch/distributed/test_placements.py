"""DTensors placed by hand: norms count each element once, gradients may lie otherwise, and refusals reach everyone."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DeviceMesh, DTensor, Partial, Replicate, Shard, distribute_tensor, init_device_mesh

import stepwell.torch as door
from stepwell import checkpoint
from tests.torch.distributed.training import assert_equal, share, whole
from tests.torch.harness import gradient
from tests.torch.processes import found_by, needs_processes

pytestmark = [needs_processes, pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")]

SHAPES = [(6, 3), (5,), (1, 4), (4, 4), (3, 5)]
WAYS: dict[str, tuple[tuple[int, ...], list[Any]]] = {  # a mesh, and how each parameter lies on it; None: plain
    "a line": ((2,), [[Shard(0)], [Shard(0)], [Shard(0)], [Shard(1)], [Replicate()]]),
    "with plain tensors": ((2,), [[Shard(0)], None, [Shard(0)], None, [Replicate()]]),
    "a plane": (
        (2, 2),
        [[Replicate(), Shard(0)], [Shard(0), Replicate()], [Shard(0), Shard(1)], [Shard(0), Shard(0)], None],
    ),
    "two meshes": ((2, 2), [[Shard(0)], [Replicate(), Shard(0)], [Shard(0)], [Shard(1), Shard(0)], [Replicate()]]),
}
Maker = Callable[[Sequence[Tensor]], torch.optim.Optimizer]


def clipped(params: Sequence[Tensor]) -> door.Optimizer:
    return door.Adam(params, lr=0.1, clip_norm=0.5, weight_decay=0.1, ema=0.5, check_finite=True)


def grown(shape: Sequence[int], step: int, k: int) -> Tensor:
    return gradient(shape, torch.float64, step, k).clone()


def placed(x: Tensor, mesh: Any, places: Any) -> Any:
    """A tensor on the mesh, or on its last axis alone where it has but one place; None: as it is."""
    if places is None:
        return x
    return distribute_tensor(x, mesh["b"] if len(places) < mesh.ndim else mesh, places)


def by_hand(rank: int, way: str, steps: int = 8) -> Any:
    shape, places = WAYS[way]
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=("a", "b")[-len(shape) :])
    ps = [torch.nn.Parameter(placed(torch.ones(s).double(), mesh, x)) for s, x in zip(SHAPES, places, strict=True)]
    optimizer = clipped(ps)
    for step in range(steps):
        for k, (p, x) in enumerate(zip(ps, places, strict=True)):
            p.grad = None if (step + k) % 5 == 4 else placed(grown(SHAPES[k], step, k), mesh, x)
        optimizer.step()
    assert not optimizer._plan.loose  # pyright: ignore[reportOptionalMemberAccess]
    return [whole(x).numpy() for p in ps for x in (p, optimizer.state[p]["ema"], optimizer.state[p]["exp_avg"])]


def alone(make: Maker, steps: int = 8, shapes: Sequence[Any] = SHAPES, gaps: bool = True) -> list[Tensor]:
    qs = [torch.nn.Parameter(torch.ones(s).double()) for s in shapes]
    optimizer = make(qs)
    for step in range(steps):
        for k, q in enumerate(qs):
            q.grad = None if gaps and (step + k) % 5 == 4 else grown(q.shape, step, k)
        if not isinstance(optimizer, door.Optimizer):
            torch.nn.utils.clip_grad_norm_(qs, 0.5)
        optimizer.step()
    kept = [(q.detach(), optimizer.state[q].get("ema"), optimizer.state[q]["exp_avg"]) for q in qs]
    return [x for each in kept for x in each if x is not None]


@pytest.mark.parametrize("way", WAYS)
def test_each_element_counts_once(way: str) -> None:
    expected = alone(clipped)
    for found in found_by(torch.Size(WAYS[way][0]).numel(), by_hand, way):
        assert_equal(found, expected)


def on_four_of_five(rank: int) -> Any:
    mesh = DeviceMesh("cpu", [[0, 1], [2, 3]])
    if rank == 4:
        return None
    places = [[Replicate(), Shard(0)], [Shard(0), Replicate()], [Shard(0), Shard(1)], [Shard(0), Shard(0)], None]
    ps = [torch.nn.Parameter(placed(torch.ones(s).double(), mesh, x)) for s, x in zip(SHAPES, places, strict=True)]
    optimizer = clipped(ps)
    for step in range(4):
        for k, (p, x) in enumerate(zip(ps, places, strict=True)):
            p.grad = placed(grown(SHAPES[k], step, k), mesh, x)
        if step == 3 and rank == 1:
            ps[4].grad = ps[4].grad * float("nan")  # pyright: ignore[reportOptionalOperand]
        try:
            optimizer.step()
        except FloatingPointError:
            return [whole(x).numpy() for p in ps for x in (p, optimizer.state[p]["ema"], optimizer.state[p]["exp_avg"])]
    return None


def test_a_mesh_need_not_have_all_processes() -> None:
    expected = alone(clipped, steps=3, gaps=False)
    *found, beside = found_by(5, on_four_of_five)
    assert beside is None
    for each in found:
        assert_equal(each, expected)


def test_one_process_is_torchs_own() -> None:
    theirs = alone(lambda qs: torch.optim.Adam(qs, lr=0.1, weight_decay=0.1, foreach=False))
    assert_equal([x for k, x in enumerate(alone(clipped)) if k % 3 != 1], theirs)


# --- gradients that lie otherwise than their parameters


def otherwise(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2,))
    ps = [torch.nn.Parameter(distribute_tensor(torch.ones(s).double(), mesh, [Shard(0)])) for s in ((6, 3), (5,))]
    optimizer = door.Adam(ps, lr=0.1, clip_norm=0.5, zero_grad=True)
    for step in range(8):
        part = grown((6, 3), step, 0) * (0.25 if rank else 0.75)  # what the two add up to
        ps[0].grad = DTensor.from_local(part, mesh, [Partial()])
        ps[1].grad = distribute_tensor(grown((5,), step, 1), mesh, [Replicate()])
        optimizer.step()
        assert not any(whole(p.grad).any() for p in ps)
    return [whole(p).numpy() for p in ps]


def test_gradients_may_lie_otherwise() -> None:
    expected = alone(lambda qs: door.Adam(qs, lr=0.1, clip_norm=0.5), shapes=((6, 3), (5,)), gaps=False)[::2]
    for found in found_by(2, otherwise):
        assert_equal(found, expected)


# --- rows


def by_rows(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2,))
    p = torch.nn.Parameter(distribute_tensor(torch.ones(5, 3).double(), mesh, [Shard(0)]))
    optimizer = door.AdagradRowwise([p], lr=0.1, clip_norm=0.5)
    for step in range(8):
        p.grad = distribute_tensor(grown((5, 3), step, 0), mesh, [Shard(0)])
        optimizer.step()
    found = [whole(p).numpy(), whole(optimizer.state[p]["s"]).numpy()]
    q = torch.nn.Parameter(distribute_tensor(torch.ones(4, 4), mesh, [Shard(1)]))
    q.grad = distribute_tensor(torch.ones(4, 4), mesh, [Shard(1)])
    with pytest.raises(ValueError, match=r"adagrad_rowwise needs whole rows; the parameter of shape \(4, 4\) is a"):
        door.AdagradRowwise([q], clip_norm=1.0).step()
    return found


def test_rows_stay_whole_or_are_refused() -> None:
    q = torch.nn.Parameter(torch.ones(5, 3).double())
    optimizer = door.AdagradRowwise([q], lr=0.1, clip_norm=0.5)
    for step in range(8):
        q.grad = grown((5, 3), step, 0)
        optimizer.step()
    for found in found_by(2, by_rows):
        assert_equal(found, [q.detach(), optimizer.state[q]["s"]])


# --- what one process refuses, all refuse


def with_one_wrong(rank: int, what: str) -> Any:
    mesh = init_device_mesh("cpu", (2,))
    ps = [torch.nn.Parameter(distribute_tensor(torch.ones(s), mesh, [Shard(0)])) for s in ((6, 3), (4,))]
    optimizer = door.Adam(ps, lr=0.1, clip_norm=0.5, check_finite=True)
    said = []
    for step in range(4):
        for p in ps:
            p.grad = distribute_tensor(torch.ones(p.shape), mesh, [Shard(0)])
        if rank == 1 and step % 2 == 0:
            WRONG[what](ps[1], mesh)
        before = [share(p) for p in ps]
        try:
            optimizer.step()
        except (FloatingPointError, RuntimeError, TypeError, ValueError) as error:
            said.append((type(error).__name__, str(error)))
            assert all(torch.equal(share(p), x) for p, x in zip(ps, before, strict=True))
        else:
            assert step % 2 == 1
            assert not any(torch.equal(share(p), x) for p, x in zip(ps, before, strict=True))
    return said


def not_finite(p: Tensor, mesh: Any) -> None:
    g: Any = p.grad
    g.to_local()[0] = float("nan")


def plain(p: Tensor, mesh: Any) -> None:
    p.grad = torch.ones(p.shape)


def too_short(p: Tensor, mesh: Any) -> None:
    p.grad = DTensor.from_local(torch.ones(1), mesh, [Shard(0)], run_check=False, shape=p.shape, stride=(1,))


WRONG: dict[str, Callable[[Tensor, Any], None]] = {"NaN": not_finite, "plain": plain, "short": too_short}
SAID = {
    "NaN": ("FloatingPointError", "a gradient has a NaN or an infinity"),
    "plain": ("TypeError", "a gradient of shape (4,) is a plain tensor; its parameter is a DTensor with placements"),
    "short": ("ValueError", "a gradient's share does not fit that of its parameter"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_one_process_refuses_all_refuse(what: str) -> None:
    there, here = found_by(2, with_one_wrong, what)
    assert [kind for kind, _ in here] == [SAID[what][0]] * 2
    assert all(text.startswith(SAID[what][1]) for _, text in here)
    if what == "NaN":
        assert there == here
    else:
        assert [kind for kind, _ in there] == ["RuntimeError"] * 2
        assert all(text.startswith("another process refused") for _, text in there)


def impossible(rank: int) -> None:
    mesh = init_device_mesh("cpu", (2,))
    part = torch.nn.Parameter(DTensor.from_local(torch.ones(3), mesh, [Partial()]))
    part.grad = DTensor.from_local(torch.ones(3), mesh, [Partial()])
    with pytest.raises(ValueError, match="what is to be added up cannot be updated"):
        door.Adam([part]).step()
    own = DeviceMesh("cpu", [rank])
    p = torch.nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
    p.grad = DTensor.from_local(torch.ones(4), own, [Replicate()])
    with pytest.raises(ValueError, match=r"a gradient is .* on 1 processes; its parameter is .* on 2 processes"):
        door.Adam([p], clip_norm=1.0).step()
    p.grad = None
    optimizer = door.Adam([p])
    with pytest.raises(TypeError, match=r"a checkpoint holds whole parameters; got a DTensor .*distributed.checkpoint"):
        checkpoint.save("never written", optimizer, {"p": p})
    dist.barrier()


def test_what_cannot_be_stepped_is_said() -> None:
    found_by(2, impossible)


def test_a_parameter_on_meta_is_said() -> None:
    p = torch.nn.Parameter(torch.ones(3, device="meta"))
    q = torch.nn.Parameter(torch.ones(3))
    p.grad, q.grad = torch.ones(3, device="meta"), torch.ones(3)
    with pytest.raises(ValueError, match=r"a parameter of shape \(3,\) is on meta and has no numbers"):
        door.Adam([q, p]).step()
    assert torch.equal(q, torch.ones(3))


# --- scaled losses, and what autograd is told


def scaled(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2,))
    p = torch.nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
    optimizer = door.SGD([p], lr=0.5, clip_norm=100.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale(torch.ones(()))
    found = []
    for large in (1.0, float("inf"), 1.0):
        p.grad = distribute_tensor(torch.tensor([4.0, 4.0, 4.0, 4.0 * large]), mesh, [Shard(0)])
        scaler.step(optimizer)
        scaler.update(4.0)
        found.append(whole(p).tolist())
    return found


def test_all_leave_out_the_step_whose_scaled_gradients_overflow_on_one() -> None:
    assert found_by(2, scaled) == [[[0.5] * 4, [0.5] * 4, [0.0] * 4]] * 2


def saved_for_backward(rank: int) -> None:
    mesh = init_device_mesh("cpu", (2,))
    p = torch.nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
    square = (p * p).sum()
    p.grad = distribute_tensor(torch.ones(4), mesh, [Shard(0)])
    door.SGD([p], lr=0.5).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.backward()


def test_autograd_is_told_of_the_change() -> None:
    found_by(2, saved_for_backward)


def held(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2,))
    p = torch.nn.Parameter(distribute_tensor(torch.zeros(4), mesh, [Shard(0)]))
    p.grad = distribute_tensor(torch.ones(4), mesh, [Shard(0)])
    optimizer = door.SGD([p], lr=1.0, clip_norm=100.0)
    found, plans = [], set()
    for step in range(24):  # the same gradient, written to, then its share replaced, then another object
        if step % 8 == 5:
            p.grad.copy_(2 * p.grad)
        elif step % 8 == 6:
            p.grad._local_tensor = torch.full((2,), -1.0)  # pyright: ignore[reportAttributeAccessIssue]
        elif step % 8 == 7:
            p.grad = distribute_tensor(torch.ones(4), mesh, [Shard(0)])
        optimizer.step()
        plans.add(id(optimizer._plan))
        found.append(whole(p)[rank].item())
    assert len(plans) == 1
    p.grad = DTensor.from_local(torch.ones(2), mesh, [Shard(0)])  # nothing is sent, which might hold it for a while
    optimizer.step()
    share = weakref.ref(p.grad._local_tensor)  # pyright: ignore[reportAttributeAccessIssue]
    p.grad = None
    assert share() is None, "a gradient that the user has let go should be gone"
    return found


def let_go(rank: int) -> None:
    mesh = init_device_mesh("cpu", (2,))
    p: Any = torch.nn.Parameter(distribute_tensor(torch.zeros(4), mesh, [Shard(0)]))
    p.grad = DTensor.from_local(torch.ones(2), mesh, [Shard(0)])
    optimizer = door.SGD([p])
    for _ in range(4):
        optimizer.step()
    assert optimizer._plan is not None
    assert optimizer._plan.held is not None
    share = weakref.ref(p.grad._local_tensor)
    optimizer.zero_grad()
    assert share() is None


def test_gradients_that_stayed_are_let_go() -> None:
    found_by(2, let_go)


def in_another_order(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2,))
    p: Any = torch.nn.Parameter(distribute_tensor(torch.ones(4, 4), mesh, [Shard(1)]))
    optimizer = door.SGD([p], lr=1.0, momentum=0.5)
    buffer = torch.arange(16.0).reshape(4, 4)
    packed = optimizer.state_dict()
    part = buffer.chunk(2, 1)[rank].t().contiguous().t()
    state = DTensor.from_local(part, mesh, [Shard(1)], shape=buffer.shape, stride=(4, 1))
    packed["state"][0] = {"momentum_buffer": state}
    optimizer.load_state_dict(packed)
    p.grad = distribute_tensor(torch.ones(4, 4), mesh, [Shard(1)])
    optimizer.step()
    assert not optimizer._plan.loose  # pyright: ignore[reportOptionalMemberAccess]
    return whole(p).numpy()


def test_state_whose_shares_lie_in_another_order() -> None:
    for found in found_by(2, in_another_order):
        assert_equal([found], [-torch.arange(16.0).reshape(4, 4) / 2])


def replaced(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2,))
    p: Any = torch.nn.Parameter(distribute_tensor(torch.zeros(4), mesh, [Shard(0)]))
    optimizer = door.SGD([p], lr=1.0, momentum=0.5)
    for step in range(4):
        p.grad = distribute_tensor(torch.ones(4), mesh, [Shard(0)])
        if step == 1:
            p._local_tensor = p._local_tensor.clone()  # as FSDP2 does when a model is moved or loaded
        elif step == 2:
            p._local_tensor.data = p._local_tensor.clone()
        optimizer.step()
    return whole(p).tolist()


def test_shares_that_are_replaced_are_found() -> None:
    assert found_by(2, replaced) == [[-6.125] * 4] * 2


def test_gradients_that_stay_are_read_anew() -> None:
    expected, p, g = [], 0.0, 1.0
    for step in range(24):
        g = {5: 2 * g, 6: -1.0, 7: 1.0}.get(step % 8, g)
        p -= g
        expected.append(p)
    assert found_by(2, held) == [expected] * 2
