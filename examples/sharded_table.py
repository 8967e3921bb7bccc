"""A table of embeddings that no process holds whole: each has a block of its rows, and answers for it.

The table's weight is a DTensor, `Shard(0)`. A process sends the indices that it needs to those that have the rows, and
gets the rows back; the gradients go the other way, and each process steps the rows of its own that were read. The net
over them is replicated by DistributedDataParallel. One optimizer steps both: its `clip_norm` is over all of it, and
`torch.distributed.checkpoint` saves the table for any number of processes.

    torchrun --standalone --nproc-per-node 2 examples/sharded_table.py
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from stepwell import schedules
from stepwell.torch import Adam
from stepwell.torch.sharding import gradient_of_share


class ShardedEmbedding(nn.Module):
    """Rows of a table by index, each process having a block of them.

    Args:
        table: the rows, the same on each process; a process keeps its block.
        mesh: the processes, on one axis.

    Attributes:
        catch_up: called with the weight and the rows of this block that are about to be read; for an optimizer with
            `sparse="exact"`, its `catch_up`.
    """

    def __init__(self, table: Tensor, mesh: Any):
        super().__init__()
        self.count, self.mesh = len(table), mesh
        self.block = -(-len(table) // mesh.size())
        self.weight = nn.Parameter(distribute_tensor(table, mesh, [Shard(0)]))
        own: Any = self.weight.detach()
        self.rows = own.to_local().requires_grad_()  # over the same memory; autograd adds up their sparse gradient
        self.rows.register_post_accumulate_grad_hook(self._hand_over)
        self.catch_up: Callable[[Tensor, Tensor], None] = lambda weight, rows: None

    def forward(self, indices: Tensor) -> Tensor:
        """Rows of shape (*indices.shape, width); every process must call it, if only with no indices."""
        flat = indices.reshape(-1)
        if flat.numel() and not 0 <= int(flat.min()) <= int(flat.max()) < self.count:
            raise IndexError(f"indices must be from 0 to {self.count - 1}; got {int(flat.min())} to {int(flat.max())}")
        owner = flat // self.block
        order = owner.argsort(stable=True)
        asked = torch.bincount(owner, minlength=self.mesh.size())
        group = self.mesh.get_group()
        answered = torch.empty_like(asked)
        dist.all_to_all_single(answered, asked, group=group)
        sizes, back = answered.tolist(), asked.tolist()
        mine = exchanged(flat[order], sizes, back, group) - self.block * self.mesh.get_local_rank()
        self.catch_up(self.weight, mine)
        found = nn.functional.embedding(mine, self.rows, sparse=True)
        return Exchange.apply(found, back, sizes, group)[order.argsort()].reshape(*indices.shape, -1)

    def _hand_over(self, rows: Tensor) -> None:
        """Each process has the loss of its own batch; the gradient is that of their mean, as DDP's is."""
        assert rows.grad is not None
        grad, rows.grad = rows.grad / self.mesh.size(), None
        if self.weight.grad is not None:
            grad = grad + self.weight.grad.to_local()  # pyright: ignore[reportAttributeAccessIssue]
        self.weight.grad = gradient_of_share(self.weight, grad)


def exchanged(x: Tensor, received: list[int], sent: list[int], group: Any) -> Tensor:
    """What the others send, in their order, for so many rows to each of `x`."""
    out = x.new_empty(sum(received), *x.shape[1:])
    dist.all_to_all_single(out, x.contiguous(), received, sent, group=group)
    return out


class Exchange(torch.autograd.Function):
    """`exchanged`, and the gradients back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, received: list[int], sent: list[int], group: Any) -> Tensor:
        ctx.back = sent, received, group
        return exchanged(x, received, sent, group)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return exchanged(grads[0], *ctx.back), None, None, None


def train(rows: int, steps: int, sparse: str) -> list[float]:
    """The losses of a training, on whatever processes there are."""
    rank, count = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    table = ShardedEmbedding(0.01 * torch.randn(rows, 8), init_device_mesh("cpu", (count,)))
    net = DistributedDataParallel(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)))
    rate = schedules.warmup(10, 0.01).then(schedules.cosine(steps, 0.01))
    optimizer = Adam([table.weight, *net.parameters()], lr=rate, clip_norm=1.0, sparse=sparse)
    table.catch_up = optimizer.catch_up
    generator, losses = torch.Generator().manual_seed(rank), []
    for _ in range(steps):
        indices = (rows * torch.rand(64, 4, generator=generator) ** 4).long()  # low ones often
        wanted = torch.sin(indices.float()).mean(1, keepdim=True)
        optimizer.zero_grad()
        loss = (net(table(indices).mean(1)) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    optimizer.flush()
    print(f"process {rank}: {len(table.rows)} of {rows} rows, loss {losses[0]:.4f} → {losses[-1]:.4f}", flush=True)
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the table")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--sparse", choices=["lazy", "exact"], default="exact")
    given = parser.parse_args()
    dist.init_process_group("gloo")
    train(given.rows, given.steps, given.sparse)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
