"""The comparisons must reject every wrong rule, and every wrong thing that a printer could print."""

from typing import Any

import pytest

from stepwell import rules
from stepwell.kernels import Stages, gpu
from stepwell.kernels.gpu import expressions, rows
from tests.kernels.gpu.harness import BLOCK, by_gpu
from tests.kernels.gpu.test_rows import Driver
from tests.kernels.harness import EVERY_STAGE, TOLERANCE, Work, assert_same, by_reference
from tests.kernels.mutants import MUTANTS, mutant
from tests.kernels.sparse import Sparse, assert_close
from tests.kernels.test_rows import by_rows, touching

SIZES = (1, 5, BLOCK + 3, 2 * BLOCK, 7, 9)  # of two groups and three ages

IN_ELEMENTS = {
    "the last element of a tensor left out": ("(row + 1) - start, BLOCK)", "(row + 1) - start - 1, BLOCK)"),
    "a step counted twice": ("tl.float64) + 1.0", "tl.float64) + 2.0"),
    "steps never counted": ("tl.store(at_step, wide_t.to", "tl.store(at_step, (wide_t - 1.0).to"),
    "the first block again and again": ("start = (block - tl.load(row + 0)) * BLOCK", "start = tl.load(row + 0) * 0"),
    "everyone in the first group": ("group = groups + tl.load(row + 2", "group = groups + 0 * tl.load(row + 2"),
    "scalars of the first tensor": ("tl.load(scalars + tensor *", "tl.load(scalars + 0 * tensor *"),
    "whole blocks not stored": ("tl.store(p_p + j, (r__x21).to(tl.float32))", "pass"),
    "parts of blocks not stored": ("tl.store(p_p + j, (r__x21).to(tl.float32), mask=inside)", "pass"),
    "gradients not zeroed": ("tl.full((BLOCK,), 0, tl.float32)", "tl.full((BLOCK,), 1, tl.float32)"),
    "a root for a quotient": ("tl.div_rn(", "tl.maximum("),
    "numbers of the host in single precision": ("tl.store(at_mu_product, ", "tl.store(at_mu_product, 1.001 * "),
    "a power of another number": ("made = tl.where((x < zero)", "made = 0.999 * tl.where((x < zero)"),
    "nothing wrong": ("import triton\n", "import triton\n"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_kernel_is_rejected(name):
    work = Work(MUTANTS[name][0], sizes=(1, 5, 17), steps=4)
    with pytest.raises(AssertionError, match="error"):
        assert_same(work, lambda work: by_gpu(work, rule=mutant(name)), by_reference)


@pytest.mark.parametrize("name", IN_ELEMENTS)
def test_a_wrong_print_is_rejected(name, monkeypatch):
    old, new = IN_ELEMENTS[name]
    right = gpu.functions

    def wrong(text: str) -> Any:
        assert old in text, "nothing to break"
        return right(text.replace(old, new))

    monkeypatch.setattr(gpu, "functions", wrong)
    work = Work(rules.nadam, EVERY_STAGE, sizes=SIZES, steps=3)
    if name == "nothing wrong":
        assert_same(work, lambda work: by_gpu(work, gpu.kernel.__wrapped__), by_reference)
    else:
        with pytest.raises(AssertionError):
            assert_same(work, lambda work: by_gpu(work, gpu.kernel.__wrapped__), by_reference)


WRONG_OPERATIONS = {
    "maximum": ("_CALLS", "maximum", "tl.where({0} > {1}, {1}, {0})", rules.amsgrad),
    "sign": ("_CALLS", "sign", "tl.where({0} > {zero}, {one}, {one}) * {minus_one}", rules.yogi),
    "abs": ("_CALLS", "abs", "{0}", rules.adamax),
    "where": ("_CALLS", "where", "tl.where({0}, {2}, {1})", rules.radam),
    "sqrt": ("_EXACT", ("sqrt", "float32"), "tl.sqrt_rn({0}) * 1.00001", rules.adam),
    "/": ("_EXACT", ("/", "float32"), "tl.div_rn({1}, {0})", rules.adam),
}


@pytest.mark.parametrize("name", WRONG_OPERATIONS)
def test_a_wrong_operation_is_rejected(name, monkeypatch):
    table, key, text, rule = WRONG_OPERATIONS[name]
    monkeypatch.setitem(getattr(expressions, table), key, text)
    work = Work(rule, Stages(), sizes=(16, BLOCK + 3), steps=3)
    with pytest.raises(AssertionError):
        assert_same(work, lambda work: by_gpu(work, gpu.kernel.__wrapped__), by_reference)


COLUMNS = "for column in range(0, stop, BLOCK):"
IN_ROWS = {
    "a step for each position": ("tl.load(ends + position) > position", "tl.load(ends + position) > -1", rules.adam),
    "the first columns alone": (COLUMNS, COLUMNS.replace("stop", "tl.minimum(stop, 1)"), rules.adam),
    "a mean of a block": ("tl.sum(total, axis=0) / width", "tl.sum(total, axis=0) / BLOCK", rules.adagrad_rowwise),
    "the state of row 0": ("tl.float32)) + row\n", "tl.float32)) + row * 0\n", rules.adagrad_rowwise),
    "nothing wrong": ("import triton\n", "import triton\n", rules.adagrad_rowwise),
}


@pytest.mark.parametrize("name", IN_ROWS)
def test_a_wrong_print_of_rows_is_rejected(name, monkeypatch):
    old, new, rule = IN_ROWS[name]
    printed = rows.source

    def wrong(*given: Any) -> str:
        text = printed(*given)
        assert old in text, "nothing to break"
        return text.replace(old, new)

    monkeypatch.setattr(rows, "source", wrong)
    monkeypatch.setattr(rows, "kernel", rows.kernel.__wrapped__)
    work = Sparse(rule, Stages(), "float32", "lazy", rows=24, width=1100)
    driver = Driver(work)
    expected = {name: x.astype("float64") for name, x in driver.arrays.items()}

    def steps() -> None:
        nonlocal expected
        for t in (1, 2):
            gradient = touching(work, t, n=8)
            driver.step(*gradient)
            expected = by_rows(work, expected, gradient, t)
            assert_close(driver.arrays, expected, TOLERANCE["float32"])

    if name == "nothing wrong":
        steps()
    else:
        with pytest.raises(AssertionError):
            steps()


def test_an_operation_that_no_kernel_has_is_refused():
    program = gpu.program(rules.momentum, Stages())
    strange = expressions.Printer("float32")
    with pytest.raises(NotImplementedError, match="no kernel for a GPU has the operation 'round'"):
        strange.line(type(program.body[0])("x", "round", ("g",)))
