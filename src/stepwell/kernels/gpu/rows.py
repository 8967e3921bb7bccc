"""The rule on single rows of arrays on a GPU, for sparse gradients: the values of equal rows are added in the order in
which they stand, then each row that was named makes its step.

Positions are sorted by row beforehand. `rows` has the row at each position; `ends`, for the first position of a row,
where that row's positions end, and for every other position itself, where nothing is done; `order`, where the values of
a position stand. So no number of rows needs to be known to the host. bfloat16 values are given as int16.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepwell.kernels.gpu import OPTIONS, WARPS, Clocked, modules, program
from stepwell.kernels.gpu.expressions import POINTERS, Printer, loaded, stored
from stepwell.kernels.gpu.source import clock_source, scalars
from stepwell.kernels.rows import needed
from stepwell.kernels.source import ADDRESSES, indent
from stepwell.kernels.stages import Stages
from stepwell.kernels.trace import Operation, Program
from stepwell.rule import Rule

_MERGE = '''\
"""Sums of equal rows, of values stored as {dtype}, in {real}."""

import triton
import triton.language as tl


@triton.jit
def merge(ends, order, values, merged, width, BLOCK: tl.constexpr):
    position = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < width
    total = tl.full((BLOCK,), 0, tl.{real})
    for q in range(position, tl.load(ends + position)):
        p_g = values + tl.load(order + q) * width
        total += ({load}).to(tl.{real})
    tl.store(merged + position * width + j, total, mask=inside)
'''

_ROWS = """\
@triton.jit
def step(table, rows, ends, merged, scalars, width, BLOCK: tl.constexpr):
    position = tl.program_id(0).to(tl.int64)
    row = tl.load(rows + position)
    stop = tl.where(tl.load(ends + position) > position, width, 0)
    p_g = merged + position * width
{addresses}
{scalars}
{once}
    for column in range(0, stop, BLOCK):
        j = column + tl.arange(0, BLOCK)
        inside = j < stop
{each}
{kept}
"""


@dataclass(frozen=True)
class Kernel(Clocked):
    """A printed step of rows; `clock` is that of a table of one tensor."""

    step: Any

    def run(self, table: Any, rows: Any, ends: Any, merged: Any, scalars: Any, count: int, width: int) -> None:
        """The step of the rows at `count` positions; on the current stream."""
        if count and width:
            block = block_of(width)
            self.step[(count,)](
                table, rows, ends, merged, scalars, width, BLOCK=block, num_warps=warps(block), **OPTIONS
            )


@functools.cache
def kernel(rule: Rule, stages: Stages, storage: tuple[str, ...]) -> Kernel:
    """The kernel of rows; `storage` has the dtype of p, of the merged gradient, of the state, of the EMA."""
    traced = program(rule, stages)
    made = modules.functions(source(f"{rule.name}, by rows, {stages}, {storage}", traced, storage))
    return Kernel(traced, made["clock"], made["step"])


@functools.cache
def merger(dtype: str, real: str) -> Any:
    """The kernel that adds up values stored as `dtype`; a grid of (positions, blocks of columns)."""
    return modules.functions(_MERGE.format(dtype=dtype, real=real, load=loaded(dtype, "p_g + j", "inside")))["merge"]


def merge(ends: Any, order: Any, values: Any, merged: Any, count: int, width: int, dtypes: tuple[str, str]) -> None:
    """Put the sum of the values of each row at its first position in `merged`, and zeros at the others."""
    if count and width:
        block = block_of(width)
        merger(*dtypes)[(count, -(-width // block))](
            ends, order, values, merged, width, BLOCK=block, num_warps=warps(block), **OPTIONS
        )


def block_of(width: int) -> int:
    """How many columns a program takes at a time: a power of two."""
    return min(1 << max(width - 1, 15).bit_length(), 1024)


def warps(block: int) -> int:
    """How many warps share a block of columns."""
    return min(max(block // 128, 1), WARPS)


def source(title: str, traced: Program, storage: Sequence[str]) -> str:
    """The kernels' source."""
    real = "float64" if "float64" in storage else "float32"
    dtypes, printer = dict(zip(traced.arrays, storage, strict=True)), Printer(real)
    once, each, kept = _parts(traced, dtypes, printer)
    at = []
    for k, (name, dtype) in enumerate(dtypes.items()):
        if name != "g":
            place = "row" if name in traced.row_state else "row * width"
            at.append(
                f"p_{name} = tl.load(table + {ADDRESSES + k}).to(tl.pointer_type(tl.{POINTERS[dtype]})) + {place}"
            )
    rows = _ROWS.format(
        addresses=indent(at, 4), scalars=indent([*scalars(traced, real, "0"), *printer.constants()], 4),
        once=indent(once, 4), each=indent(each, 8), kept=indent(kept, 4),
    )  # fmt: skip
    return clock_source(title, traced, [*once, *each]) + "\n\n" + rows


def _parts(traced: Program, dtypes: dict[str, str], printer: Printer) -> tuple[list[str], list[str], list[str]]:
    """What is done once a row, before its elements; for each block of them; and after: the row's own state stored."""
    once: set[str | float] = set(traced.row_state)
    row = [f"{printer.name(s)} = {loaded(dtypes[s], f'p_{s}', None)}" for s in traced.row_state]
    scalar = {a for o in traced.body for a in o.args} - {o.target for o in traced.body} - set(traced.arrays)
    each: list[Operation] = []
    for o in traced.body:
        if o.op == "row_mean":
            row += _mean(traced, dtypes, printer, o, needed(each, o.args))
        elif once.intersection(o.args) and all(a in once or a in scalar for a in o.args):
            row.append(printer.line(o))
        else:
            each.append(o)
            continue
        once.add(o.target)
    new = {name: x for name, x in traced.outputs.items() if x != name and name not in traced.scalar_state}
    elements = {name: x for name, x in new.items() if name not in traced.row_state}
    lines = _block(traced, dtypes, printer, needed(each, [*elements.values()]), [*elements.values()])
    for name, x in elements.items():
        lines += stored(dtypes[name], f"p_{name} + j", printer.value(x), "inside")
    kept = [
        line for s in traced.row_state if s in new
        for line in stored(dtypes[s], f"p_{s}", printer.value(new[s]), "stop > 0")
    ]  # fmt: skip
    return row, lines, kept


def _block(
    traced: Program, dtypes: dict[str, str], printer: Printer, operations: Sequence[Operation],
    wanted: Sequence[str | float],
) -> list[str]:  # fmt: skip
    """Elements of a row: those arrays loaded that are read, and the operations done."""
    read = {*wanted, *(a for o in operations for a in o.args)}
    names = [a for a in traced.arrays if a in read and a not in traced.row_state]
    return [*(f"{printer.name(a)} = {loaded(dtypes[a], f'p_{a} + j', 'inside')}" for a in names),
            *map(printer.line, operations)]  # fmt: skip


def _mean(
    traced: Program, dtypes: dict[str, str], printer: Printer, mean: Operation, operations: Sequence[Operation]
) -> list[str]:
    (x,) = mean.args
    lines = _block(traced, dtypes, printer, operations, [x])
    return [
        "total = tl.full((BLOCK,), 0, tl.float64)",
        "for column in range(0, stop, BLOCK):",
        "    j = column + tl.arange(0, BLOCK)",
        "    inside = j < stop",
        *(f"    {line}" for line in lines),
        f"    total += tl.where(inside, {printer.value(x)}, 0).to(tl.float64)",
        f"{printer.name(mean.target)} = (tl.sum(total, axis=0) / width).to(tl.{printer.real})",
    ]
