"""The rule on single rows of arrays, for sparse gradients: a kernel over any rows, wherever they lie.

The printed kernel takes the table, clock and groups of a tensor as the dense kernel does (the address of `g` is that of
one merged gradient after the other), the rows, their width, and the range of rows to do. A rule that reads a whole row
(`row_mean`) has its sums made before, in a loop of their own.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from stepwell.kernels import cache, pool
from stepwell.kernels.cpu import ALONE, program
from stepwell.kernels.source import SIZES, accessors, addresses, assignment, body, indent, narrow, prologue, value
from stepwell.kernels.stages import Stages
from stepwell.kernels.trace import Operation, Program
from stepwell.rule import Rule

SIGNATURE = "void(int64[:, ::1], float64[:, ::1], float64[:, ::1], int64[::1], int64, int64, int64)"
SUMS = cache.OPTIONS | {"fastmath": {"contract", "nsz", "arcp", "reassoc"}}  # reassoc lets a row's sum use vectors
_AHEAD = 16  # rows; what a row needs is on its way before its turn

_KERNEL = '''\
"""{title}"""

import math

from numba import float32, float64

from stepwell.kernels.memory import accessors, prefetch

{accessors}


def kernel(table, clock, groups, rows, width, low, high):
    tensor, group = 0, 0
{prologue}
{addresses}
    gradients = at_g
    for k in range(low, high):
        if k + {ahead} < high:
            ahead = rows[k + {ahead}] * width
{prefetches}
        first = rows[k] * width
        at_g = gradients + (k * width - first) * {size}
{row}
        for j in range(first, first + width):
{element}
{stores}
'''


@functools.cache
def kernel(rule: Rule, stages: Stages, storage: tuple[str, ...]) -> Callable[..., None]:
    """The compiled step of rows; `storage` has the dtype of p, of the merged gradient, of the state, of the EMA."""
    traced = program(rule, stages)
    options = SUMS if traced.by_rows else None
    return cache.compiled(
        source(f"{rule.name}, by rows, {stages}, {storage}", traced, storage), "kernel", SIGNATURE, options
    )


def source(title: str, traced: Program, storage: Sequence[str]) -> str:
    """The kernel's source."""
    real = "float64" if "float64" in storage else "float32"
    pointers = [*traced.arrays, *traced.scalar_state]
    stored = dict(zip(traced.arrays, storage, strict=True))
    elements, rows, stores = by_row(traced, traced.outputs, real)
    return _KERNEL.format(
        title=title,
        accessors="\n".join(accessors(pointers, [*storage, *["float64"] * len(traced.scalar_state)])),
        prologue=indent(prologue(traced, real), 4),
        addresses=indent(addresses(traced, pointers), 4),
        prefetches=indent(prefetches(traced, stored), 12),
        ahead=_AHEAD,
        size=SIZES[stored["g"]],
        row=indent(rows, 8),
        element=indent(elements, 12),
        stores=indent(stores, 8),
    )


def prefetches(traced: Program, stored: dict[str, str]) -> list[str]:
    """Ask for the arrays of the row that starts at element `ahead`."""
    lines = []
    for name in traced.arrays:
        if name != "g" and name not in traced.row_state:
            size = SIZES[stored[name]]
            lines += [f"for j in range(0, width, {64 // size}):", f"    prefetch(at_{name} + (ahead + j) * {size})"]
    return lines


def by_row(traced: Program, outputs: dict[str, str | float], real: str) -> tuple[list[str], list[str], list[str]]:
    """What is done for every element of a row; before that, once a row; and after it: the row's own state stored."""
    once: set[str | float] = set(traced.row_state)
    row = [f"{narrow(s)} = load_{s}(at_{s}, rows[k])" for s in traced.row_state]
    scalar = {a for o in traced.body for a in o.args} - {o.target for o in traced.body} - set(traced.arrays)
    each: list[Operation] = []
    for o in traced.body:
        if o.op == "row_mean":
            row += _mean(traced, o, needed(each, o.args), real)
        elif once.intersection(o.args) and all(a in once or a in scalar for a in o.args):
            row.append(assignment(o, real))
        else:
            each.append(o)
            continue
        once.add(o.target)
    of_elements = {name: new for name, new in outputs.items() if name not in traced.row_state}
    wanted = [new for name, new in of_elements.items() if new != name]
    elements = body(traced, needed(each, wanted), of_elements, real)
    return (
        elements,
        row,
        [f"store_{s}(at_{s}, rows[k], {value(outputs[s], real)})" for s in traced.row_state if outputs[s] != s],
    )


def _mean(traced: Program, mean: Operation, operations: list[Operation], real: str) -> list[str]:
    (x,) = mean.args
    outputs: dict[str, str | float] = {x: x} if isinstance(x, str) else {}
    loop = [*body(traced, operations, outputs, real), f"total += {value(x, real)}"]
    head = ["total = 0.0", "for j in range(first, first + width):"]
    return [*head, *("    " + line for line in loop), f"{narrow(mean.target)} = {real}(total / max(width, 1))"]


def needed(operations: list[Operation], wanted: Sequence[str | float]) -> list[Operation]:
    """Those operations that the wanted values rest on."""
    found, names = [], set(wanted)
    for o in reversed(operations):
        if o.target in names:
            found.append(o)
            names.update(a for a in o.args if isinstance(a, str))
    return found[::-1]


def run(
    function: Callable[..., None], table: np.ndarray, clock: np.ndarray, groups: np.ndarray, rows: np.ndarray,
    width: int, threads: int,
) -> None:  # fmt: skip
    """The step of these rows, in place, on several threads where that pays."""
    work = functools.partial(function, table, clock, groups, rows, width)
    if threads > 1 and rows.size * width > ALONE // 2:
        pool.run(work, rows.size, threads, grain=max(1, rows.size // (threads * 8)))
    else:
        work(0, rows.size)
