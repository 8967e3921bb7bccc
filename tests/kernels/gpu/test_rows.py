"""The rule on the rows of a gradient on a GPU: those, as the eager engine has them in float64, and no others."""

import numpy as np
import pytest
import torch

from stepwell import rules
from stepwell.kernels import Stages
from stepwell.kernels.gpu import rows
from stepwell.kernels.source import ADDRESSES
from stepwell.torch.gpu.rows import plain, positions
from tests.kernels.gpu.harness import STORED, on_device
from tests.kernels.harness import PLAIN, TOLERANCE
from tests.kernels.sparse import EVERY_RULE, Sparse, assert_close, bits
from tests.kernels.test_rows import SURROUNDED, by_rows, touching

WIDTHS = (1, 16, 1500)


class Driver:
    """A table on the device, stepped in place."""

    def __init__(self, work: Sparse):
        self.work, self.t = work, work.age
        self.there = {name: on_device(x) for name, x in work.start().items()}
        self.kernel = rows.kernel(work.rule, work.stages, (work.dtype,) * 2 + (work.dtype,) * len(self._others()))
        self.count = on_device(np.float32(work.age))
        program = self.kernel.program
        named = [self.there.get(name) for name in (*program.arrays, *program.scalar_state)] + [self.count]
        table = np.zeros((1, ADDRESSES + len(named)), np.int64)
        table[0, ADDRESSES:] = [0 if x is None else x.data_ptr() for x in named]
        self.table, self.scalars = on_device(table), on_device(np.zeros((1, self.kernel.scalars)))

    def _others(self) -> list[str]:
        program = rows.program(self.work.rule, self.work.stages)
        return [name for name in program.arrays if name not in ("p", "g")]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {name: x.cpu().numpy().copy() for name, x in self.there.items()}

    def step(self, indices: np.ndarray, values: np.ndarray) -> torch.Tensor:
        self.t += 1
        numbers, program = self.work.scalars(self.t), self.kernel.program
        groups = on_device(np.array([[numbers[name] for name in program.scalars]], np.float64))
        named, ends, order = positions(on_device(indices))
        merged = on_device(np.full(values.shape, np.nan, self.work.real))
        count, width = values.shape
        rows.merge(ends, order, on_device(values), merged, count, width, (self.work.real, self.work.real))
        zero, one = on_device(np.zeros(1)), on_device(np.float64(1.0))
        self.kernel.tick(self.table, zero.view(torch.int64), groups, one, zero, self.scalars, 1)
        self.kernel.run(self.table, named, ends, merged, self.scalars, count, width)
        return merged


@pytest.mark.parametrize("stages", [PLAIN, SURROUNDED], ids=["plain", "surrounded"])
@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda r: r.name)
def test_rows_are_stepped_as_the_rule_says(rule, stages):
    dtype = "float32" if stages is SURROUNDED else "float64"
    for width, age in zip(WIDTHS, (0, 1000, 0), strict=True):
        work = Sparse(rule, stages, dtype, "lazy", rows=24, width=width, age=age)
        driver = Driver(work)
        expected = {name: x.astype(np.float64) for name, x in driver.arrays.items()}
        tolerance = TOLERANCE[dtype] * (2 if rule.name.startswith("rmsprop") else 1)
        for t in range(age + 1, age + 3):
            indices, values = touching(work, t, n=6)
            before = driver.arrays
            driver.step(indices, values)
            expected = by_rows(work, expected, (indices, values), t)
            assert_close(driver.arrays, expected, tolerance, f"{work}, width {width}, step {t}")
            others = np.setdiff1d(np.arange(work.rows), indices)
            arrays = [name for name in before if name not in driver.kernel.program.scalar_state]
            after = driver.arrays
            assert bits({name: before[name][others] for name in arrays}) == bits(
                {name: after[name][others] for name in arrays}
            )


@pytest.mark.parametrize("dtype", STORED)
def test_values_of_one_row_are_added_in_the_order_in_which_they_stand(dtype):
    indices = np.array([5, 0, 5, 2, 5, 0, 9])
    values = torch.randn(7, 20, generator=torch.Generator().manual_seed(0)).to(STORED[dtype])
    real = torch.float64 if dtype == "float64" else torch.float32
    named, ends, order = positions(on_device(indices))
    merged = torch.full((7, 20), float("nan"), dtype=real, device=named.device)
    rows.merge(ends, order, plain(values.to(named.device)), merged, 7, 20, (dtype, str(real).removeprefix("torch.")))
    wide = values.to(real)
    nothing = torch.zeros(20, dtype=real)
    expected = [wide[1] + wide[5], nothing, wide[3], wide[0] + wide[2] + wide[4], nothing, nothing, wide[6]]
    assert torch.equal(merged.cpu(), torch.stack(expected))


def test_no_rows_are_a_step_of_the_numbers_alone():
    """NAdam's product of momenta is of the steps, not of the gradients."""
    work = Sparse(rules.nadam, PLAIN, "float64", "lazy", rows=4, width=5)
    driver = Driver(work)
    before = driver.arrays
    driver.step(np.zeros(0, np.int64), np.zeros((0, 5)))
    after = driver.arrays
    assert after["mu_product"] != before["mu_product"]
    assert float(driver.count) == 1
    assert bits({k: x for k, x in before.items() if k != "mu_product"}) == bits(
        {k: x for k, x in after.items() if k != "mu_product"}
    )


@pytest.mark.parametrize(("width", "block", "warps"), [(1, 16, 1), (16, 16, 1), (17, 32, 1), (256, 256, 2),
                                                       (1000, 1024, 4), (1 << 20, 1024, 4)])  # fmt: skip
def test_a_row_is_cut_into_powers_of_two(width, block, warps):
    assert (rows.block_of(width), rows.warps(block)) == (block, warps)


def test_half_precision_tables_are_rounded_as_torch_rounds_them():
    for dtype in ("float16", "bfloat16"):
        kernel = rows.kernel(rules.momentum, Stages(), (dtype, "float32", dtype))
        p, v = (torch.randn(6, 3, generator=torch.Generator().manual_seed(k)).to(STORED[dtype]) for k in range(2))
        p, v = p.to(on_device(0).device), v.to(on_device(0).device)
        g, count = on_device(np.array([[1.0, -2.0, 0.3]], np.float32)), on_device(np.float32(0))
        table = on_device(np.array([[0, 0, 0, p.data_ptr(), 0, v.data_ptr(), count.data_ptr()]]))
        scalars, zero = on_device(np.zeros((1, kernel.scalars))), on_device(np.zeros(1))
        expected_v = (v.float() * 0.9 + g).to(v.dtype)
        wide = v.float() * 0.9 + g
        expected_p = (p.float() - wide * 0.1).to(p.dtype)
        before = p.clone()
        groups = on_device(np.array([[0.1, 0.9]]))
        kernel.tick(table, zero.view(torch.int64), groups, on_device(np.float64(1)), zero, scalars, 1)
        named, ends, _ = positions(on_device(np.array([4])))
        kernel.run(table, named, ends, g, scalars, 1, 3)
        assert torch.equal(p[4], expected_p[4])
        assert torch.equal(v[4], expected_v[4])
        assert torch.equal(p[:4], before[:4])
