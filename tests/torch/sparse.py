"""Sparse gradients for the comparisons of the harness, and what they should do, said with dense ones."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tests.torch.harness import DECADES, Pair, absent, default_dtype, size_of

Form = Callable[[Tensor], Tensor]
FORMS: dict[str, Form] = {
    "uncoalesced": lambda g: g,
    "coalesced": lambda g: g.coalesce(),
    "accumulated": lambda g: 0.25 * g + 0.75 * g,
    "expanded": lambda g: coo(g._indices(), g._values()[:1].expand(g._values().shape), g.shape),
}


def coo(indices: Any, values: Any, shape: Sequence[int], check: bool = True) -> Tensor:
    """A sparse gradient; without `check`, with any indices at all."""
    return torch.sparse_coo_tensor(torch.as_tensor(indices), values, tuple(shape), check_invariants=check)


def gradient(shape: Sequence[int], dtype: torch.dtype, step: int, k: int = 0, dims: int = 1) -> Tensor:
    """Normal numbers in the decade of that step, for places that repeat; at every seventh step for none."""
    generator = torch.Generator().manual_seed(1000 * k + step)
    count = 0 if step % 7 == 4 else 12
    places = [(length * torch.rand(count, generator=generator) ** 2).long() for length in shape[:dims]]
    values = torch.randn((count, *shape[dims:]), dtype=dtype, generator=generator)
    return coo(torch.stack(places), values * 10.0 ** DECADES[step % len(DECADES)], shape)


class SparsePair(Pair):
    """A pair whose gradients are sparse; parameters lack them at times."""

    def __init__(self, *args: Any, dims: int = 1, form: Form = FORMS["uncoalesced"], **more: Any):
        super().__init__(*args, **more)
        self.dims, self.form = dims, form

    def give(self) -> None:
        for k, (p, q) in enumerate(zip(self.ps, self.qs, strict=True)):
            for side in (p, q):
                g = gradient(p.shape, p.dtype, self.steps, k, self.dims)
                side.grad = None if absent(self.steps, k) else self.form(g)


class OnTouchedRows:
    """A dense optimizer that is let at the rows which a sparse gradient names: what "lazy" means.

    The rest of every table and of its state is put back after the step; numbers of state stay new.
    """

    def __init__(self, optimizer: torch.optim.Optimizer):
        self.optimizer = optimizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.optimizer, name)

    def step(self) -> None:
        """A step of the dense optimizer on the dense gradients, but for what is put back."""
        before = []
        for p in self.parameters():
            if p.grad is not None and p.grad.is_sparse:
                state = {name: x.clone() for name, x in self.state.get(p, {}).items() if isinstance(x, Tensor)}
                before.append((p, p.detach().clone(), state, untouched(p.grad)))
                p.grad = p.grad.to_dense()
        self.optimizer.step()
        for p, old, state, rest in before:
            p.detach()[rest] = old[rest]
            for name, x in self.state[p].items():
                if isinstance(x, Tensor) and x.shape == p.shape:
                    x[rest] = state.get(name, torch.zeros_like(p))[rest]

    def parameters(self) -> Iterator[Tensor]:
        """Those of all groups."""
        return (p for group in self.param_groups for p in group["params"])


def untouched(g: Tensor) -> Tensor:
    """The places that a gradient does not name, as a mask over the axes that it names."""
    rest = torch.ones(g.shape[: g.sparse_dim()], dtype=torch.bool)
    rest[tuple(g._indices())] = False
    return rest


def error(actual: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest element."""
    return size_of(actual.detach() - expected.detach()) / (size_of(expected.detach()) or 1.0)


def assert_models_agree(mine: torch.nn.Module, yours: torch.nn.Module, tolerance: float) -> None:
    """Every entry of the state dicts of two models, to `tolerance` of its largest element."""
    left, right = mine.state_dict(), yours.state_dict()
    assert left.keys() == right.keys()
    for name, expected in right.items():
        assert error(left[name], expected) <= tolerance, f"{name}: {error(left[name], expected):.2g}"


Written = list[tuple[Tensor, dict[str, Any]]]


def written(optimizer: torch.optim.Optimizer) -> Written:
    """Copies of all parameters and their states as they stand in memory, rows that are behind and all."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    return [(p.detach().clone(), {k: x.clone() for k, x in optimizer.state.get(p, {}).items()}) for p in params]


def assert_unchanged(optimizer: torch.optim.Optimizer, before: Written) -> None:
    """Not a bit has changed, nor is there state that was not."""
    for (p, state), (q, old) in zip(written(optimizer), before, strict=True):
        assert torch.equal(p, q)
        assert state.keys() == old.keys()
        assert all(torch.equal(state[name], old[name]) for name in old)


@contextmanager
def double() -> Iterator[None]:
    """Modules and numbers in double precision."""
    with default_dtype(torch.float64):
        yield


ROWS, WIDTH = 60, 4
Batch = tuple[Tensor, ...]  # what a layer is called with


class Net(torch.nn.Module):
    """Tables that are read, and dense layers over what they give."""

    def __init__(self, *tables: torch.nn.Module):
        super().__init__()
        self.tables = torch.nn.ModuleList(tables)
        self.head = torch.nn.Linear(len(tables) * WIDTH, 1)

    def forward(self, batches: Sequence[Batch]) -> Tensor:
        read = [table(*batch) for table, batch in zip(self.tables, batches, strict=True)]
        return self.head(torch.cat([x if x.dim() == 2 else x.mean(1) for x in read], 1)).tanh()


def rows(step: int, k: int = 0, shape: tuple[int, ...] = (6, 3)) -> Tensor:
    """Rows of the k-th table for a step: some nearly always, some hardly ever."""
    generator = torch.Generator().manual_seed(1000 * k + step)
    return (ROWS * torch.rand(shape, generator=generator) ** 4).long()


def flat(step: int, k: int, ends: bool = False) -> Batch:
    """The same with offsets: six bags, one of them empty."""
    offsets = [0, 3, 5, 5, 9, 12]
    return rows(step, k, (18,)), torch.tensor([*offsets, 18] if ends else offsets)


LAYERS: dict[str, tuple[Callable[[], torch.nn.Module], Callable[[int, int], Batch]]] = {
    "Embedding": (lambda: torch.nn.Embedding(ROWS, WIDTH, sparse=True), lambda step, k: (rows(step, k),)),
    "Embedding with padding": (
        lambda: torch.nn.Embedding(ROWS, WIDTH, padding_idx=0, sparse=True),
        lambda step, k: (rows(step, k).int(),),
    ),
    "Embedding with max_norm": (
        lambda: torch.nn.Embedding(ROWS, WIDTH, max_norm=1.5, sparse=True),
        lambda step, k: (rows(step, k, (6,)),),
    ),
    "EmbeddingBag of sums": (
        lambda: torch.nn.EmbeddingBag(ROWS, WIDTH, mode="sum", sparse=True),
        lambda step, k: (rows(step, k),),
    ),
    "EmbeddingBag of weighted sums": (
        lambda: torch.nn.EmbeddingBag(ROWS, WIDTH, mode="sum", sparse=True),
        lambda step, k: (*flat(step, k), torch.linspace(-1, 1, 18)),
    ),
    "EmbeddingBag of means with offsets": (
        lambda: torch.nn.EmbeddingBag(ROWS, WIDTH, mode="mean", padding_idx=1, sparse=True),
        lambda step, k: flat(step, k),
    ),
    "EmbeddingBag with the last offset": (
        lambda: torch.nn.EmbeddingBag(ROWS, WIDTH, mode="sum", max_norm=1.5, include_last_offset=True, sparse=True),
        lambda step, k: flat(step, k, ends=True),
    ),
}  # EmbeddingBag has no sparse gradients for mode="max"


class Trained:
    """Two equal networks: one with sparse gradients, one with dense ones, each with its optimizer."""

    def __init__(self, kinds: Sequence[str], mine: Callable[..., Any], yours: Callable[..., Any] | None = None):
        torch.manual_seed(0)
        self.kinds = kinds
        self.net = Net(*(LAYERS[kind][0]() for kind in kinds))
        self.dense = densified(self.net)
        self.mine: Any = mine(self.net)
        self.yours: Any = (yours or mine)(self.dense)
        self.steps, self.apart = 0, 0.0

    def batches(self) -> list[Batch]:
        """What the tables are read with at this step."""
        return [LAYERS[kind][1](self.steps, k) for k, kind in enumerate(self.kinds)]

    def train(self, steps: int) -> "Trained":
        """Steps of both on the gradients of the first: on each one's own, differences of rounding would grow."""
        for _ in range(steps):
            losses = [self.loss(net) for net in (self.net, self.dense)]
            self.apart = max(self.apart, error(*losses))
            self.mine.zero_grad()
            losses[0].backward()
            for p, q in zip(self.net.parameters(), self.dense.parameters(), strict=True):
                q.grad = None if p.grad is None else p.grad.to_dense().clone()
            self.mine.step()
            self.yours.step()
            self.steps += 1
        return self

    def loss(self, net: torch.nn.Module) -> Tensor:
        """What a network's own forward pass finds at this step, by rows that it reads."""
        return (net(self.batches()) - 0.3).square().mean()

    def assert_agree(self, tolerance: float) -> None:
        """Parameters and states are equal, and so was every loss."""
        assert_models_agree(self.net, self.dense, tolerance)
        assert self.apart <= tolerance, f"losses: {self.apart:.2g}"
        self.mine.flush()
        for p, q in zip(self.net.parameters(), self.dense.parameters(), strict=True):
            expected = self.yours.state.get(q, {})
            assert self.mine.state[p].keys() - {"step"} == expected.keys() - {"step"}
            for name, y in expected.items():
                x, y = torch.as_tensor(self.mine.state[p][name]), torch.as_tensor(y)
                assert error(x, y) <= tolerance, f"{name} of shape {tuple(y.shape)}: {error(x, y):.2g}"


def densified(net: torch.nn.Module) -> torch.nn.Module:
    """A copy whose gradients are dense."""
    twin = copy.deepcopy(net)
    for module in twin.modules():
        if isinstance(module, (torch.nn.Embedding, torch.nn.EmbeddingBag)):
            module.sparse = False
    return twin
