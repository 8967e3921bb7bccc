"""What a search could change by a detour, and what of it is put back: the model's own numbers, the loader's state."""

import functools
import itertools
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, TensorDataset, default_collate

from stepwell.lab.rates.untouched import untouched

ROWS = 100
X = torch.arange(ROWS, dtype=torch.float32)
GLOBAL = np.random.default_rng(7)
State = tuple[Any, Callable[[], object]]  # a loader, and what reads all that is to be the same


class Shuffled(Sampler[int]):
    """An order that is kept, and shuffled anew in place for each pass."""

    def __init__(self, order: Any, shuffle: Callable[[Any], object]):
        self.order, self.shuffle = order, shuffle

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[int]:
        self.shuffle(self.order)
        return iter([int(k) for k in self.order])


class Stream(IterableDataset[Any]):
    def __init__(self) -> None:
        self.order, self.times = list(range(ROWS)), dict.fromkeys(range(ROWS), 0)

    def __iter__(self) -> Iterator[Any]:
        random.shuffle(self.order)
        for k in self.order:
            self.times[k] += 1
            yield X[k]


class Transformed(Dataset[Any]):
    def __init__(self, transform: Callable[[Any], Any]):
        self.transform = transform

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, k: int) -> Any:
        return self.transform(X[k])


class Slotted(Dataset[Any]):
    __slots__ = ("asked", "empty", "rng")

    def __init__(self) -> None:
        self.rng, self.asked = np.random.default_rng(1), 1000

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, k: int) -> Any:
        self.asked += 1
        return X[k] + self.rng.normal()


class Noise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(1)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls += 1  # pyright: ignore
        return x + self.rng.normal()


class Collating:
    def __init__(self) -> None:
        self.rng, self.last, self.cache = random.Random(3), deque([0.0], maxlen=2), OrderedDict(a=1, b=2)

    def batch(self, rows: Any) -> Any:
        self.last.append(self.rng.random())
        self.cache.move_to_end("a")
        return default_collate(rows)


def _list() -> State:
    sampler = Shuffled(list(range(ROWS)), random.shuffle)
    return DataLoader(TensorDataset(X), 8, sampler=sampler), lambda: list(sampler.order)


def _array() -> State:
    sampler = Shuffled(np.arange(ROWS), np.random.shuffle)
    return DataLoader(TensorDataset(X), 8, sampler=sampler), lambda: sampler.order.tolist()


def _tensor() -> State:
    sampler = Shuffled(torch.arange(ROWS), lambda x: x.copy_(x.roll(1)))
    return DataLoader(TensorDataset(X), 8, sampler=sampler), lambda: sampler.order.tolist()


def _stream() -> State:
    data = Stream()
    return DataLoader(data, 8), lambda: (list(data.order), dict(data.times))


def _module() -> State:
    noise = Noise()
    data = Transformed(nn.Sequential(nn.Sequential(nn.Identity(), noise)))
    return DataLoader(data, 8), lambda: (repr(noise.rng.bit_generator.state), float(noise.calls))  # pyright: ignore


def _closure() -> State:
    rng, count = np.random.default_rng(2), 0

    def transform(x: Any) -> Any:
        nonlocal count
        count += 1
        return x + rng.normal()

    return DataLoader(Transformed(transform), 8), lambda: (repr(rng.bit_generator.state), count)


def _global() -> State:
    def transform(x: Any) -> Any:
        return sum((lambda: x + GLOBAL.normal())() for _ in range(2))

    return DataLoader(Transformed(transform), 8), lambda: repr(GLOBAL.bit_generator.state)


def _partial() -> State:
    rng = np.random.default_rng(2)
    draw = functools.partial(lambda x, rng: x + rng.normal(), rng=rng)
    return DataLoader(Transformed(draw), 8), lambda: repr(rng.bit_generator.state)


def _default() -> State:
    rng = np.random.default_rng(2)
    return DataLoader(Transformed(lambda x, rng=rng: x + rng.normal()), 8), lambda: repr(rng.bit_generator.state)


def _built_in() -> State:
    rng = np.random.default_rng(2)
    return DataLoader(Transformed(rng.normal), 8), lambda: repr(rng.bit_generator.state)


def _bound() -> State:
    own = Collating()
    loader = DataLoader(TensorDataset(X), 8, collate_fn=own.batch)
    return loader, lambda: (own.rng.getstate(), list(own.last), list(own.cache))


def _slots() -> State:
    data = Slotted()
    return DataLoader(data, 8), lambda: (repr(data.rng.bit_generator.state), data.asked)


@pytest.mark.parametrize(
    "make",
    [_list, _array, _tensor, _stream, _module, _closure, _global, _partial, _default, _built_in, _bound, _slots],
)
def test_what_a_loader_leads_to_is_put_back(make: Callable[[], State]) -> None:
    loader, read = make()
    before = read()
    with untouched(nn.Linear(1, 1), loader):
        assert sum(1 for _ in loader) > 10
        assert read() != before
    assert read() == before


def test_data_are_neither_copied_nor_written() -> None:
    large = np.zeros(1 << 21)  # 16 MiB, and a view of it that may not be written
    loader = DataLoader(Transformed(functools.partial(lambda x, a: x, a=large)), 8)
    small = large[:10]
    small.flags.writeable = False
    loader.small = small  # pyright: ignore[reportAttributeAccessIssue]
    with untouched(nn.Linear(1, 1), loader):
        large[0] = 1.0
        loader.small = 3  # pyright: ignore[reportAttributeAccessIssue]
    assert large[0] == 1.0
    assert loader.small is small  # pyright: ignore[reportAttributeAccessIssue]


def _bits(x: torch.Tensor) -> bytes:
    return (x.to_dense() if x.is_sparse else x).detach().contiguous().numpy().tobytes()


def test_sparse_gradients_and_what_comes_after_them() -> None:
    model = nn.Sequential(nn.Embedding(5, 2, sparse=True), nn.Linear(2, 1))
    model(torch.tensor([1, 1, 2])).sum().backward()
    grads = [p.grad for p in model.parameters()]
    before = [_bits(g) for g in grads if g is not None]
    generator = torch.Generator().manual_seed(1)
    state = generator.get_state()
    with untouched(model, [generator]):
        model(torch.tensor([3, 4])).sum().backward()
        for grad in grads:
            assert grad is not None
            grad.mul_(2)
        torch.rand(2, generator=generator)
    assert [p.grad for p in model.parameters()] == grads
    assert [_bits(g) for g in grads if g is not None] == before
    assert torch.equal(generator.get_state(), state)


def test_buffers_that_overlap_and_hold_nan() -> None:
    model = nn.Linear(2, 1)
    model.register_buffer("mask", torch.tensor([float("nan"), 1.0])[:, None].expand(2, 3))
    model.register_buffer("other", torch.arange(6.0)[::2])
    before = {name: _bits(each) for name, each in model.state_dict().items()}
    kept = model.weight.data_ptr(), model.mask
    with untouched(model, []):
        model.mask[:, 0].fill_(2.0)  # pyright: ignore
        model.other = model.other * 2  # pyright: ignore  # another tensor in its place
        model.weight.data = torch.ones(1, 2)
    assert {name: _bits(each) for name, each in model.state_dict().items()} == before
    assert (model.weight.data_ptr(), model.mask) == kept


def test_numbers_that_are_as_they_were_are_not_written() -> None:
    model = nn.Linear(2, 1)
    versions = [p._version for p in model.parameters()]
    with untouched(model, []):
        pass
    assert [p._version for p in model.parameters()] == versions


class Locked(random.Random):
    """A generator that will not be put back."""

    def setstate(self, state: Any) -> None:
        raise OSError("locked")


def test_all_else_is_put_back_where_something_cannot_be() -> None:
    generators = [Locked(1), random.Random(2), Locked(3), torch.Generator()]
    model = nn.Linear(2, 1)
    weight, state = _bits(model.weight), generators[1].getstate()

    def change() -> None:
        with untouched(model, generators):
            model.weight.data.zero_()
            generators[1].random()
            raise KeyError("in the middle")

    with pytest.raises(ExceptionGroup, match="not all put back") as raised:
        change()
    assert [str(each) for each in raised.value.exceptions] == ["locked", "locked"]
    assert isinstance(raised.value.__context__, KeyError)
    assert _bits(model.weight) == weight
    assert generators[1].getstate() == state
    with pytest.raises(OSError, match="locked"), untouched(model, Locked(1)):
        pass


def test_what_goes_round_in_circles_ends() -> None:
    circle: list[Any] = [itertools.count()]
    circle.append(circle)
    with untouched(nn.Linear(1, 1), circle):
        circle.append(1)
    assert len(circle) == 2
