"""Training on several processes: DistributedDataParallel, and parameters sharded as FSDP2 shards them."""

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import stepwell.torch as door
from tests.torch.harness import gradient
from tests.torch.processes import found_by_two

pytestmark = pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="torch without gloo")
LIMIT = 60  # seconds after which a process counts as hung


@pytest.fixture
def alone() -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("views", [False, True], ids=["copies", "gradients as bucket views"])
def test_under_distributed_data_parallel(views: bool) -> None:
    def train(cls: Any) -> list[torch.Tensor]:
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1))
        model = DistributedDataParallel(net, gradient_as_bucket_view=views)
        optimizer, x = cls(model.parameters(), lr=0.05), torch.randn(8, 5)
        for _ in range(5):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
        return list(model.parameters())

    for p, q in zip(train(door.Adam), train(torch.optim.Adam), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=2e-6 * q.abs().max().item())


def sharded(rank: int, folder: str, pipe: Any) -> None:
    from torch.distributed.tensor import DeviceMesh, Shard, distribute_tensor

    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    mesh = DeviceMesh("cpu", [0, 1])
    shapes = [(6, 3), (5,)]
    ps = [torch.nn.Parameter(distribute_tensor(torch.ones(shape), mesh, [Shard(0)])) for shape in shapes]
    optimizer = door.Adam(ps, lr=0.1, clip_norm=0.5, weight_decay=0.1, ema=0.5, check_finite=True)
    for step in range(3, 7):
        for k, p in enumerate(ps):
            p.grad = distribute_tensor(gradient(shapes[k], torch.float32, step, k), mesh, [Shard(0)])
        optimizer.step()
    whole = [p.full_tensor().detach().numpy() for p in ps]  # pyright: ignore[reportAttributeAccessIssue]
    refused = torch.ones(6, 3)
    refused[0, 0] = float("nan")  # lies on the first process; both must refuse it
    ps[0].grad = distribute_tensor(refused, mesh, [Shard(0)])
    try:
        optimizer.step()
    except FloatingPointError:
        pipe.send(whole)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_sharded_parameters_are_clipped_and_checked_as_a_whole(tmp_path: Any) -> None:
    results = found_by_two(sharded, str(tmp_path), limit=LIMIT)
    qs = [torch.nn.Parameter(torch.ones(6, 3)), torch.nn.Parameter(torch.ones(5))]
    optimizer = torch.optim.Adam(qs, lr=0.1, weight_decay=0.1, foreach=False)
    for step in range(3, 7):
        for k, q in enumerate(qs):
            q.grad = gradient(q.shape, q.dtype, step, k).clone()
        torch.nn.utils.clip_grad_norm_(qs, 0.5)
        optimizer.step()
    for result in results:
        for p, q in zip(result, qs, strict=True):
            torch.testing.assert_close(torch.from_numpy(p), q.detach(), rtol=0, atol=3e-6)
