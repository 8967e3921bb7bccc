"""The sums over all tensors against NumPy in float64, and what clipping makes of them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stepwell.kernels import cpu, norm
from stepwell.kernels.source import ADDRESSES
from tests.kernels.harness import SIZES

DTYPES = ["float32", "float64", "float16"]


def table_of(*columns: list[np.ndarray]) -> np.ndarray:
    """A table whose address columns are these arrays'."""
    table = cpu.layout([x.size for x in columns[0]], [0] * len(columns[0]), ADDRESSES + len(columns))
    for k, arrays in enumerate(columns):
        table[:, ADDRESSES + k] = [x.__array_interface__["data"][0] for x in arrays]
    return table


def squares(arrays: list[np.ndarray], threads: int = 1) -> float:
    return norm.sum_of_squares(table_of(arrays), 0, arrays[0].dtype.name, threads)


def finite(arrays: list[np.ndarray], threads: int = 1) -> bool:
    return norm.all_finite(table_of(arrays), 0, arrays[0].dtype.name, threads)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sum_of_squares_is_numpys_in_double_precision(dtype):
    rng = np.random.default_rng(0)
    arrays = [(rng.standard_normal(n) * 10.0 ** (k - 3)).astype(dtype) for k, n in enumerate(SIZES[:8])]
    exact = math.fsum(float(x) ** 2 for a in arrays for x in a)
    assert squares(arrays) == pytest.approx(exact, rel=1e-14)
    assert finite(arrays)


def test_small_squares_survive_beside_large_ones():
    """2²⁴ + 1 + … in float32 would lose every 1."""
    ones = np.ones(100_003, np.float32)
    ones[0] = 4096.0
    assert squares([ones]) == 4096.0**2 + 100_002


def test_the_column_is_the_one_asked_for():
    one, two = [np.full(5, 1.0), np.full(3, 1.0)], [np.full(5, 2.0), np.full(3, 3.0)]
    table = table_of(one, two)
    assert norm.sum_of_squares(table, 0, "float64", 1) == 8
    assert norm.sum_of_squares(table, 1, "float64", 1) == 5 * 4 + 3 * 9


def test_nothing_and_emptiness():
    assert squares([np.zeros(0)]) == 0.0
    assert finite([np.zeros(0)])
    nothing = cpu.layout([], [], ADDRESSES + 1)
    assert norm.sum_of_squares(nothing, 0, "float64", 2) == 0.0
    assert norm.all_finite(nothing, 0, "float64", 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 7, 16383, 16384, 40_000])
def test_one_odd_element_is_seen(dtype, odd, place):
    arrays = [np.ones(17, dtype), np.ones(40_001, dtype), np.zeros(0, dtype)]
    arrays[1][place] = odd
    assert not finite(arrays)
    total = squares(arrays)
    assert math.isnan(total) if math.isnan(odd) else total == math.inf


def test_nan_wins_over_infinity():
    assert math.isnan(squares([np.array([np.inf, np.nan])]))
    assert math.isnan(squares([np.array([np.inf]), np.array([np.nan])]))


def test_finite_numbers_whose_squares_are_not():
    huge = np.full(3, 1e200)
    assert squares([huge]) == math.inf
    assert finite([huge])
    assert finite([np.full(3, np.finfo(np.float32).max, np.float32), np.full(3, 1e-45, np.float32)])


def test_a_sum_of_finite_blocks_may_be_infinite():
    """Two tensors of 1.3e154 have squares of 1.7e308 each: together beyond the largest number."""
    assert squares([np.array([1.3e154])]) == 1.3e154**2
    assert squares([np.array([1.3e154]), np.array([1.3e154])]) == math.inf


@given(st.floats(0, 1e300), st.floats(1e-6, 1e6))
def test_clipping_is_torchs(size, limit):
    factor = norm.clip_factor(size, limit)
    parameter = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    parameter.grad = torch.tensor([size], dtype=torch.float64)
    torch.nn.utils.clip_grad_norm_([parameter], limit)
    assert factor * size == pytest.approx(parameter.grad.item(), rel=1e-14)
    assert 0 <= factor <= 1
    assert factor * size <= limit * (1 + 1e-15)


def test_clipping_what_is_not_finite():
    assert norm.clip_factor(math.inf, 1.0) == 0.0
    assert math.isnan(norm.clip_factor(math.nan, 1.0))
    assert norm.clip_factor(0.0, 1.0) == 1.0
