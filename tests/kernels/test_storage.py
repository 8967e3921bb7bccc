"""Half precision in memory: widened on load and rounded on store exactly as torch does, bit for bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from stepwell import rules
from stepwell.kernels import cpu, eager
from stepwell.kernels.cache import compiled
from stepwell.kernels.source import ADDRESSES
from tests.kernels.harness import SMALL, Work, address

HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
SOURCE = """
from stepwell.kernels.memory import accessors

load, _ = accessors({source!r}, 0, 2)
_, store = accessors({target!r}, 1, 2)


def convert(source, target, n):
    for i in range(n):
        store(target, i, load(source, i))
"""


def converter(source: str, target: str) -> Callable[..., Any]:
    return compiled(SOURCE.format(source=source, target=target), "convert", "void(int64, int64, int64)")


def widened(bits: np.ndarray, dtype: str) -> np.ndarray:
    wide = np.empty(bits.size, np.float32)
    converter(dtype, "float32")(address(bits), address(wide), bits.size)
    return wide


def narrowed(values: np.ndarray, dtype: str) -> np.ndarray:
    bits = np.empty(values.size, np.uint16)
    converter("float32", dtype)(address(values), address(bits), values.size)
    return bits


def torch_of(bits: np.ndarray, dtype: str) -> torch.Tensor:
    return torch.from_numpy(bits.view(np.int16)).view(HALVES[dtype])


EVERY_PATTERN = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)


@pytest.mark.parametrize("dtype", HALVES)
def test_every_pattern_is_widened_as_torch_does(dtype):
    ours, theirs = widened(EVERY_PATTERN, dtype), torch_of(EVERY_PATTERN, dtype).float().numpy()
    numbers = ~np.isnan(theirs)
    assert numbers.sum() == (1 << 16) - {"float16": 2 * 1023, "bfloat16": 2 * 127}[dtype]
    np.testing.assert_array_equal(ours.view(np.uint32)[numbers], theirs.view(np.uint32)[numbers])
    assert np.isnan(ours[~numbers]).all()


@pytest.mark.parametrize("dtype", HALVES)
def test_every_pattern_comes_back(dtype):
    back = narrowed(widened(EVERY_PATTERN, dtype), dtype)
    numbers = ~np.isnan(widened(EVERY_PATTERN, dtype))
    np.testing.assert_array_equal(back[numbers], EVERY_PATTERN[numbers])
    assert np.isnan(widened(back[~numbers], dtype)).all()


def hard_floats(dtype: str) -> np.ndarray:
    """Random bit patterns, every number between two neighbours, and those one unit to its sides."""
    random = np.random.default_rng(0).integers(0, 1 << 32, 1_000_000, dtype=np.uint32)
    exact = widened(EVERY_PATTERN, dtype).view(np.uint32)
    lost = {"float16": 13, "bfloat16": 16}[dtype]  # bits of float32's significand that do not fit
    ties = exact + np.uint32(1 << (lost - 1))
    subnormal_ties = (EVERY_PATTERN[:1024].astype(np.float32) + 0.5) * np.float32(2.0**-24)  # of float16
    around = np.concatenate([ties, subnormal_ties.view(np.uint32)])
    patterns = np.concatenate([random, around, around - np.uint32(1), around + np.uint32(1), exact])
    return np.concatenate([patterns, patterns | np.uint32(1 << 31)]).view(np.float32)


@pytest.mark.parametrize("dtype", HALVES)
def test_rounding_is_torchs_to_nearest_even(dtype):
    values = hard_floats(dtype)
    ours = narrowed(values, dtype)
    theirs = torch.from_numpy(values).to(HALVES[dtype]).view(torch.int16).numpy().view(np.uint16)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(ours[numbers], theirs[numbers])
    assert np.isnan(widened(ours[~numbers], dtype)).all()
    infinite = np.isinf(widened(ours[numbers], dtype))
    assert infinite.sum() > 2  # some were too large, and one by a rounding up
    assert np.isfinite(values[numbers][infinite]).any()


STORAGES = [
    ("float16",) * 4,
    ("bfloat16",) * 4,
    ("bfloat16", "bfloat16", "float32", "float32"),
    ("float16", "float32", "float32", "bfloat16"),
]


@pytest.mark.parametrize("storage", STORAGES, ids="-".join)
def test_steps_are_made_in_float32_and_rounded_once(storage):
    """Adam on p, g, m, v stored in these dtypes, against the eager engine and torch's rounding; equal but for a few
    elements where the two float32 results lie on the two sides of a tie."""
    kernel = cpu.kernel(rules.adam, Work(rules.adam).stages, storage)
    dtypes = [HALVES.get(name, torch.float32) for name in storage]
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(50_001, generator=generator).abs().to(dtype) for dtype in dtypes]
    tensors = [x.clone() for x in start]
    table = kernel.table([50_001], [0])
    table[0, ADDRESSES:] = [x.data_ptr() for x in tensors]
    hyper = rules.adam.complete({"lr": 0.1})
    kernel.run(table, np.full((1, 1), 3.0), np.array([[hyper[name] for name in kernel.program.scalars]]), 1)
    wide: dict[str, Any] = dict(zip(("p", "g", "m", "v"), (x.float() for x in start), strict=True))
    expected = eager.step(rules.adam, wide, {**hyper, "t": 3})
    assert torch.equal(tensors[1], start[1])
    for name, found in zip(("p", "m", "v"), (tensors[0], *tensors[2:]), strict=True):
        rounded = expected[name].to(found.dtype)
        if found.dtype == torch.float32:
            torch.testing.assert_close(found, rounded, rtol=1e-6, atol=1e-7)
        else:
            assert (found != rounded).float().mean() < 5e-3
            torch.testing.assert_close(
                found, rounded, rtol=2.0 ** (-7 if found.dtype == torch.bfloat16 else -10), atol=1e-7
            )


@pytest.mark.parametrize("sizes", [SMALL, (16383, 16384, 16385)], ids=str)
def test_neighbours_of_a_half_precision_tensor_are_not_touched(sizes):
    """Elements of two bytes beside one another: the bytes before and after each tensor stay as they are."""
    kernel = cpu.kernel(rules.momentum, Work(rules.momentum).stages, ("float16",) * 3)
    for n in sizes:
        buffers = [np.full(n + 64, 7.0, np.float16) for _ in range(3)]
        table = kernel.table([n], [0])
        table[0, ADDRESSES:] = [address(b[32:]) for b in buffers]
        kernel.run(table, np.ones((1, 1)), np.array([[0.5, 0.5]]), 1)
        for buffer, inside in zip(buffers, (7 - 0.5 * 10.5, 7.0, 10.5), strict=True):
            assert (buffer[:32] == 7).all()
            assert (buffer[32 + n :] == 7).all()
            assert (buffer[32 : 32 + n] == inside).all()
