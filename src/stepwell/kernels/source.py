"""A traced program as Python source that Numba compiles: a loop over blocks of tensors given by address.

The printed kernel takes `table`, one int64 row a tensor (first block, length, group, then the addresses of its arrays
and of its scalar state); `clock`, one float64 row a tensor (t, then the scalar state); `groups`, one float64 row a
parameter group (the scalars); and the range of blocks to do.
"""

import math
from collections.abc import Mapping, Sequence

from stepwell.kernels.trace import Operation, Program
from stepwell.symbolic import COMPARISONS

BLOCK = 1 << 14  # elements; every tensor is cut at the same places, so threads cannot change a result
CHUNK, AHEAD = 64, 2048  # elements: so many are asked for at a time, so far before their turn
SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}  # bytes of a number
FIRST_BLOCK, LENGTH, GROUP, ADDRESSES = range(4)  # columns of the table
RESTING = -1  # in place of its length: a tensor that is left as it is this time

_INFIX = {"+", "-", "*", "/", *COMPARISONS}
_CALLS = {
    "neg": "-{0}", "abs": "abs({0})", "where": "{1} if {0} else {2}",
    "sqrt": "math.sqrt({0})", "exp": "math.exp({0})", "log": "math.log({0})", "tanh": "math.tanh({0})",
    "maximum": "{0} if ({0} > {1}) | ({0} != {0}) else {1}",
    "minimum": "{0} if ({0} < {1}) | ({0} != {0}) else {1}",
    "round": "round_to({0})",
    "sign": "{one} if {0} > {zero} else (-{one} if {0} < {zero} else {0})",
}  # fmt: skip

_KERNEL = '''\
"""{title}"""

import math

from numba import float32, float64

from stepwell.kernels.memory import accessors, prefetching

{accessors}


def kernel(table, clock, groups, low, high):
{blocks}
        for chunk in range(start, stop, {CHUNK}):
{prefetches}
            for j in range(chunk, min(chunk + {CHUNK}, stop)):
{body}
'''

_BLOCKS = """\
    tensor, last = 0, -1
    for block in range(low, high):
        while tensor + 1 < table.shape[0] and table[tensor + 1, {FIRST_BLOCK}] <= block:
            tensor += 1
        if tensor != last:
            if last < 0 or table[tensor, {GROUP}] != table[last, {GROUP}] or {clock_differs}:
                group = table[tensor, {GROUP}]
{prologue}
            last = tensor
{addresses}
        start = (block - table[tensor, {FIRST_BLOCK}]) * {BLOCK}
        stop = min(start + {BLOCK}, table[tensor, {LENGTH}])"""


def kernel_source(title: str, program: Program, storage: Sequence[str], zero: bool) -> str:
    """The source of `kernel` for `program`.

    Args:
        title: what the file says it is.
        program: the traced rule and stages.
        storage: the dtype of each of `program.arrays` in memory; all float64, or none.
        zero: whether the pass also zeroes the gradient.
    """
    real = "float64" if "float64" in storage else "float32"
    pointers = [*program.arrays, *program.scalar_state]
    dtypes = [*storage, *["float64"] * len(program.scalar_state)]
    outputs = program.outputs | ({"g": 0.0} if zero else {})
    sizes = {name: SIZES[dtype] for name, dtype in zip(program.arrays, storage, strict=True)}
    return _KERNEL.format(
        title=title,
        accessors="\n".join([*prefetchers(sizes), *accessors(pointers, dtypes)]),
        blocks=blocks(program, pointers, real),
        prefetches=indent(prefetches(sizes), 12),
        body=indent(body(program, program.body, outputs, real), 16),
        CHUNK=CHUNK,
    )


def blocks(program: Program, pointers: Sequence[str], real: str) -> str:
    """The loop over blocks of tensors, down to where a block starts and stops."""
    clocks = range(1 + len(program.scalar_state))
    return _BLOCKS.format(
        clock_differs=" or ".join(f"clock[tensor, {k}] != clock[last, {k}]" for k in clocks),
        prologue=indent(prologue(program, real), 16),
        addresses=indent(addresses(program, pointers), 12),
        FIRST_BLOCK=FIRST_BLOCK, LENGTH=LENGTH, GROUP=GROUP, BLOCK=BLOCK,
    )  # fmt: skip


def prefetches(sizes: Mapping[str, int]) -> list[str]:
    """Ask for elements of the arrays of `sizes`, in bytes an element, before the turn of their `chunk`.

    A processor looks ahead no further than the page that it reads: without this, half the bytes take as long as all.
    """
    return [
        f"ahead = chunk + {AHEAD}",
        f"if ahead + {CHUNK} <= table[tensor, {LENGTH}]:",
        *(f"    prefetch_{size}(at_{name} + ahead * {size})" for name, size in sizes.items()),
    ]


def prefetchers(sizes: Mapping[str, int]) -> list[str]:
    """What `prefetches` calls."""
    return [f"prefetch_{size} = prefetching({CHUNK * size})" for size in sorted(set(sizes.values()))]


def accessors(pointers: Sequence[str], dtypes: Sequence[str]) -> list[str]:
    """A load and a store for each array."""
    return [
        f"load_{name}, store_{name} = accessors({dtype!r}, {k}, {len(pointers)})"
        for k, (name, dtype) in enumerate(zip(pointers, dtypes, strict=True))
    ]


def prologue(program: Program, real: str) -> list[str]:
    """The scalars, in float64, then those the body reads, in its precision."""
    inputs = {name: f"clock[tensor, {k}]" for k, name in enumerate(("t", *program.scalar_state))}
    inputs |= {name: f"groups[group, {k}]" for k, name in enumerate(program.scalars)}
    lines = [f"{wide(name)} = {value}" for name, value in inputs.items()]
    lines += [f"{wide(o.target)} = {_expression(o, [wide(a) for a in o.args], 'float64')}" for o in program.prologue]
    truths = truths_of(program)
    for name in scalars_of_body(program):
        lines.append(f"{narrow(name)} = {wide(name)}" if name in truths else f"{narrow(name)} = {real}({wide(name)})")
    return lines


def truths_of(program: Program) -> set[str]:
    """The scalars that are true or false."""
    return {o.target for o in program.prologue if o.op in COMPARISONS}


def scalars_of_body(program: Program) -> list[str]:
    """The scalars that the body reads, in order."""
    computed = {*program.arrays, *(o.target for o in program.body)}
    read = [a for o in program.body for a in o.args] + [program.outputs[a] for a in program.arrays if a != "g"]
    return list(dict.fromkeys(a for a in read if isinstance(a, str) and a not in computed))


def addresses(program: Program, pointers: Sequence[str]) -> list[str]:
    """Where the arrays of a tensor lie; and its scalar state, stored."""
    lines = [f"at_{name} = table[tensor, {ADDRESSES + k}]" for k, name in enumerate(pointers)]
    stores = [f"    store_{s}(at_{s}, 0, {wide(program.outputs[s])})" for s in program.scalar_state]
    return lines + ([f"if table[tensor, {LENGTH}] != {RESTING}:", *stores] if stores else [])


def body(program: Program, operations: Sequence[Operation], outputs: Mapping[str, str | float], real: str) -> list[str]:
    """One element: what is read is loaded, the operations done, and what `outputs` has anew for an array stored."""
    read = {a for o in operations for a in o.args} | {outputs[a] for a in program.arrays if a in outputs}
    elementwise = [a for a in program.arrays if a not in program.row_state]
    lines = [f"{narrow(a)} = load_{a}(at_{a}, j)" for a in elementwise if a in read]
    lines += [assignment(o, real) for o in operations]
    for name in elementwise:
        new = outputs.get(name, name)
        if new != name:
            lines.append(f"store_{name}(at_{name}, j, {value(new, real)})")
    return lines


def assignment(operation: Operation, real: str) -> str:
    """An operation in the body's precision."""
    return f"{narrow(operation.target)} = {_expression(operation, [value(a, real) for a in operation.args], real)}"


def _expression(operation: Operation, args: list[str], real: str) -> str:
    power = operation.args[-1]
    if operation.op == "**" and power in (1.0, 2.0, 3.0, 4.0):
        return " * ".join([args[0]] * int(power))
    if operation.op == "**" and power == 0.5:
        return f"math.sqrt({args[0]})"  # as NumPy and torch have it; a power would be ∞ at -∞
    if operation.op in _INFIX or operation.op == "**":
        return f"{args[0]} {operation.op} {args[1]}"
    return _CALLS[operation.op].format(*args, one=f"{real}(1.0)", zero=f"{real}(0.0)")


def wide(name: str | float) -> str:
    """A scalar, or a number, in float64."""
    return f"wide_{name}" if isinstance(name, str) else _literal(name)


def narrow(name: str) -> str:
    """A value in the body's precision."""
    return f"r_{name}"


def value(given: str | float, real: str) -> str:
    """A name or a number as the body has it."""
    return narrow(given) if isinstance(given, str) else f"{real}({_literal(given)})"


def _literal(number: float) -> str:
    text = (
        repr(number) if math.isfinite(number) else {"inf": "math.inf", "-inf": "-math.inf"}.get(str(number), "math.nan")
    )
    return f"({text})"


def indent(lines: Sequence[str], columns: int) -> str:
    """Lines of a block; `pass` where there are none."""
    return "\n".join(" " * columns + line for line in lines or ["pass"])
