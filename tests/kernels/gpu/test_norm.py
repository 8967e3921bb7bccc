"""Sums of gradients on the device: exact to double precision, the same at every run, blind to what rests."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from stepwell import rules
from stepwell.kernels import Stages, gpu
from stepwell.kernels.gpu import norm
from stepwell.kernels.norm import clip_factor
from tests.kernels.gpu.harness import BLOCK, SIZES, STORED, Launched, on_device


def total(tensors: Sequence[torch.Tensor], dtype: str, term: str, resting: int | None = None) -> float:
    kernel = gpu.kernel(rules.gradient_descent, Stages(), (dtype, dtype), BLOCK)
    launched = Launched(kernel, [[x, x] for x in tensors], [0] * len(tensors), [[1.0]], [0] * len(tensors))
    if resting is not None:
        launched.gradients[resting] = -1
    sums = on_device(np.full(len(launched.which), math.nan))
    norm.block_sums(dtype, term)[(len(sums),)](
        launched.table,
        launched.gradients,
        launched.which,
        sums,
        COLUMNS=launched.table.shape[1],
        BLOCK=BLOCK,
        **gpu.OPTIONS,
    )
    return float(sums.sum())


def gradients(dtype: str) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, generator=generator).to(STORED[dtype]).to(on_device(0).device) for n in SIZES]


@pytest.mark.parametrize("dtype", STORED)
def test_the_sum_of_squares_is_exact(dtype):
    given = gradients(dtype)
    expected = math.fsum(float(x) ** 2 for g in given for x in g.double().cpu())
    assert total(given, dtype, "squares") == pytest.approx(expected, rel=1e-14)
    assert total(given, dtype, "squares") == total(given, dtype, "squares")
    without = expected - math.fsum(float(x) ** 2 for x in given[3].double().cpu())
    assert total(given, dtype, "squares", resting=3) == pytest.approx(without, rel=1e-14)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", STORED)
def test_one_element_that_is_not_finite_is_seen(dtype, value):
    given = gradients(dtype)
    assert total(given, dtype, "finite") == 0.0
    given[5][2 * BLOCK + 2] = value
    assert math.isnan(total(given, dtype, "finite"))
    assert total(given, dtype, "finite", resting=5) == 0.0


def test_squares_beyond_single_precision():
    assert total([on_device(np.full(3, 1e30, np.float32))], "float32", "squares") == pytest.approx(3e60, rel=1e-6)


@pytest.mark.parametrize("norm", [0.0, 1e-9, 0.5, 0.999999, 1.0, 2.0, 1e300, math.inf, math.nan])
def test_a_factor_of_tensors_is_that_of_numbers(norm):
    found = float(clip_factor(torch.tensor(norm, dtype=torch.float64), 1.0))
    expected = 1.0 if 1.0 / (norm + 1e-6) > 1.0 else 1.0 / (norm + 1e-6)
    np.testing.assert_equal(found, expected)
    np.testing.assert_equal(clip_factor(norm, 1.0), expected)
