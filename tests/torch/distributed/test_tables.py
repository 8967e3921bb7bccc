"""Tables with sparse gradients: replicated by DistributedDataParallel, or their rows spread over the processes."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh
from torch.nn.parallel import DistributedDataParallel

import stepwell.torch as door
from stepwell.torch.sharding import gradient_of_share
from tests.torch.distributed.training import RATE, STEPS, assert_equal, share, weights, whole
from tests.torch.processes import found_by, needs_processes
from tests.torch.sparse import coo, double

pytestmark = [needs_processes, pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")]

EXAMPLE = Path(__file__).parents[3] / "examples" / "sharded_table.py"
MODES = pytest.mark.parametrize("mode", ["lazy", "exact"])
COUNTS = pytest.mark.parametrize("count", [2, 4])
ROWS, WIDTH, READ = 50, 3, 16  # READ a step, over all processes


def shown() -> Any:
    """The example's module."""
    spec = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(step: int, rank: int = 0, count: int = 1) -> Tensor:
    """Rows that a process reads, some nearly always, some hardly ever."""
    generator = torch.Generator().manual_seed(step)
    rows = (ROWS * torch.rand(READ, 2, generator=generator) ** 3).long()
    return rows.chunk(count)[rank]


def start() -> tuple[Tensor, torch.nn.Module]:
    torch.manual_seed(0)
    with double():
        return torch.randn(ROWS, WIDTH), torch.nn.Sequential(torch.nn.Linear(WIDTH, 4), torch.nn.Linear(4, 1))


def optimizer_of(params: Any, mode: str) -> door.Optimizer:
    return door.Adam(params, lr=RATE, weight_decay=0.01, clip_norm=0.05, ema=0.9, check_finite=True, sparse=mode)


def train(table: Any, net: Any, optimizer: Any, steps: range = range(STEPS), rank: int = 0, count: int = 1) -> None:
    for step in steps:
        optimizer.zero_grad()
        for part in read(step, rank, count).chunk(2):  # their gradients are added up
            ((net(table(part).mean(1)) - 0.3).square().mean() / 2).backward()
        optimizer.step()


def alone(mode: str) -> list[Any]:
    values, net = start()
    table = torch.nn.Embedding(ROWS, WIDTH, sparse=True, _weight=values)
    optimizer = optimizer_of([table.weight, *net.parameters()], mode)
    train(table, net, optimizer)
    optimizer.flush()
    return [whole(table.weight), *weights(net), *moments(optimizer, table.weight)]


def moments(optimizer: door.Optimizer, p: Tensor) -> list[Any]:
    return [whole(optimizer.state[p][name]).numpy() for name in ("ema", "exp_avg", "exp_avg_sq")]


class Read(torch.nn.Module):
    """A net over the means of a table's rows."""

    def __init__(self, table: torch.nn.Module, net: torch.nn.Module):
        super().__init__()
        self.table, self.net = table, net

    def forward(self, rows: Tensor) -> Tensor:
        return self.net(self.table(rows).mean(1))


def replicated(rank: int, count: int, mode: str) -> Any:
    values, net = start()
    table = torch.nn.Embedding(ROWS, WIDTH, sparse=True, _weight=values)
    model = DistributedDataParallel(Read(table, net))
    optimizer = optimizer_of(model.parameters(), mode)
    for step in range(STEPS):
        optimizer.zero_grad()
        (model(read(step, rank, count)) - 0.3).square().mean().backward()
        optimizer.step()
    packed = model.state_dict()  # settles the rows
    optimizer.flush()
    return [packed["module.table.weight"].numpy(), *weights(net), *moments(optimizer, table.weight)]


@MODES
@COUNTS
def test_replicas_of_a_table_are_one(count: int, mode: str) -> None:
    expected = alone(mode)
    for found in found_by(count, replicated, count, mode):
        assert_equal(found, expected)


def spread(rank: int, count: int, mode: str) -> Any:
    table, net, optimizer = by_blocks(count, mode)
    train(table, net, optimizer, rank=rank, count=count)
    assert len(optimizer._plan.tables) == 1, "the kernel of rows should have taken the table"
    optimizer.flush()
    return [whole(table.weight).numpy(), *weights(net), *moments(optimizer, table.weight)]


def by_blocks(count: int, mode: str) -> Any:
    values, net = start()
    table = shown().ShardedEmbedding(values, init_device_mesh("cpu", (count,)))
    net = DistributedDataParallel(net)
    optimizer = optimizer_of([table.weight, *net.parameters()], mode)
    table.catch_up = optimizer.catch_up
    return table, net, optimizer


@MODES
@COUNTS
def test_rows_that_are_spread_are_one_table(count: int, mode: str) -> None:
    expected = alone(mode)
    for found in found_by(count, spread, count, mode):
        assert_equal(found, expected)


def resumed(rank: int, count: int, folder: Path, steps: range) -> Any:
    table, net, optimizer = by_blocks(count, "exact")
    model = Read(table, net.module)
    weight, state = get_state_dict(model, optimizer)
    if steps.start:
        held = {"weights": weight, "optimizer": state}
        dcp.load(held, checkpoint_id=folder / str(steps.start))
        set_state_dict(model, optimizer, model_state_dict=held["weights"], optim_state_dict=held["optimizer"])
    train(table, net, optimizer, steps, rank, count)
    weight, state = get_state_dict(model, optimizer)  # settles the rows
    dcp.save({"weights": weight, "optimizer": state}, checkpoint_id=folder / str(steps.stop))
    return [whole(table.weight).numpy(), *weights(net), *moments(optimizer, table.weight)]


def test_another_number_of_processes_resumes_a_table(tmp_path: Path) -> None:
    found_by(4, resumed, 4, tmp_path, range(15))
    found_by(2, resumed, 2, tmp_path, range(15, 30))
    (found,) = found_by(1, resumed, 1, tmp_path, range(30, STEPS))
    assert_equal(found, alone("exact"))


# --- what is refused


def outside(rank: int) -> list[str]:
    mesh = init_device_mesh("cpu", (2,))
    p = torch.nn.Parameter(distribute_tensor(torch.ones(6, 2), mesh, [Shard(0)]))
    optimizer = door.SGD([p], lr=1.0, clip_norm=100.0)
    said = []
    for row in (1, 3):  # of the three of each process
        before = share(p)
        p.grad = gradient_of_share(p, coo([[row if rank else 0]], torch.ones(1, 2), (3, 2), check=False))
        try:
            optimizer.step()
        except (IndexError, RuntimeError) as error:
            said.append(str(error))
            assert torch.equal(share(p), before)
        else:
            assert (before - share(p))[rank].tolist() == [1.0, 1.0]
    return said


def test_a_row_that_is_not_there_is_refused_by_all() -> None:
    there, here = found_by(2, outside)
    assert len(there) == len(here) == 1
    assert there[0].startswith("another process refused")
    assert "from 0 to 2; got 3" in here[0]


def overflowing(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2,))
    p = torch.nn.Parameter(distribute_tensor(torch.ones(4, 2), mesh, [Shard(0)]))
    q = torch.nn.Parameter(torch.ones(2))
    optimizer = door.SGD([p, q], lr=1.0)
    large = 3e38 if rank else 1.0  # finite, and infinite where two of one row are added
    p.grad = gradient_of_share(p, coo([[1, 1]], torch.full((2, 2), large), (2, 2)))
    q.grad = torch.ones(2)
    optimizer.grad_scale, optimizer.found_inf = torch.ones(()), torch.zeros(())  # pyright: ignore[reportAttributeAccessIssue]
    optimizer.step()
    return [whole(p).numpy(), whole(q).numpy()]


def test_all_leave_out_the_step_whose_rows_overflow_on_one() -> None:
    for found in found_by(2, overflowing):
        assert_equal(found, [torch.ones(4, 2), torch.ones(2)], 0.0)


def test_a_share_of_another_shape_or_of_nothing_is_said() -> None:
    with pytest.raises(TypeError, match="p must be a DTensor; got a plain tensor"):
        gradient_of_share(torch.ones(3), torch.ones(3))
    found_by(2, _misfit)


def _misfit(rank: int) -> None:
    p = distribute_tensor(torch.ones(6, 2), init_device_mesh("cpu", (2,)), [Shard(0)])
    with pytest.raises(ValueError, match=r"g must have the share's shape, \(3, 2\); got \(6, 2\)"):
        gradient_of_share(p, coo([[1]], torch.ones(1, 2), (6, 2)))


# --- the example


def as_shown(rank: int) -> Any:
    return shown().train(rows=1000, steps=60, sparse="exact")


def test_the_example_trains() -> None:
    for losses in found_by(2, as_shown):
        assert losses[-1] < losses[0] / 2
