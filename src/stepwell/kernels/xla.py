"""A traced program as a function that XLA calls on the CPU, through its foreign function interface: no C is compiled.

XLA hands over a frame of 64-bit words: <https://openxla.org/xla/custom_call>, laid out as in `xla/ffi/api/c_api.h`. The
operands are the body's scalars in double precision, then the arrays that the body reads; the results are those that it
makes. A state's result lies where its operand does. With leading axes over the scalars, each row of them has its part
of the arrays.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stepwell.kernels import cache
from stepwell.kernels.source import accessors, body, indent, narrow, scalars_of_body, truths_of
from stepwell.kernels.trace import Program

EXTENSION, API, OPERANDS, RESULTS = 8, 16, 72, 112  # bytes into the frame
METADATA, OF_EXTENSION, VERSION, OF_API = 1, 24, 24, 32  # a question's kind; where its answer lies, and what it is
DATA, RANK, SHAPE = 24, 32, 40  # bytes into what describes an array

_HANDLER = '''\
"""{title}"""

import math

from numba import float32, float64

from stepwell.kernels.memory import accessors, load_word, store_word

{accessors}
load_scalar, _ = accessors("float64", 0, 1)


def handler(frame):
    question = load_word(frame + {EXTENSION})
    if question and load_word(question + 8) & 0xFFFFFFFF == {METADATA}:
        store_word(load_word(question + {OF_EXTENSION}) + {VERSION}, load_word(load_word(frame + {API}) + {OF_API}))
        return 0
    operands, results = load_word(frame + {OPERANDS}), load_word(frame + {RESULTS})
    scalars = load_word(load_word(operands) + {DATA})
    rows, width = 1, 1
    for axis in range(load_word(load_word(operands) + {RANK}) - 1):
        rows *= load_word(load_word(load_word(operands) + {SHAPE}) + 8 * axis)
    for axis in range(load_word(load_word(operands + 8) + {RANK})):
        width *= load_word(load_word(load_word(operands + 8) + {SHAPE}) + 8 * axis)
    width //= max(rows, 1)
{addresses}
    for row in range(rows):
        at = scalars + row * {stride}
{prologue}
        for j in range(row * width, (row + 1) * width):
{body}
    return 0
'''


def arrays_of(program: Program) -> tuple[str, ...]:
    """The arrays that the body reads, in the order of the operands."""
    read = {a for operation in program.body for a in operation.args} | set(program.outputs.values())
    return tuple(name for name in program.arrays if name in read)


def results_of(program: Program) -> tuple[str, ...]:
    """What the body makes, in the order of the results: the update, then each state."""
    return ("update", *(name for name in program.arrays if name in program.outputs))


def scalars_in(program: Program) -> tuple[str, ...]:
    """The scalars that the body reads, in the order of the first operand."""
    return tuple(scalars_of_body(_whole(program)))


def _whole(program: Program) -> Program:
    """The program with its update as one more array, which is only written."""
    touched = [name for name in program.arrays if name in arrays_of(program) or name in program.outputs]
    return replace(program, arrays=(*touched, "update"), outputs={name: name for name in touched} | program.outputs)


def handler_source(program: Program, dtype: str) -> str:
    """The source of `handler` for arrays of float32 or float64."""
    whole, given = _whole(program), arrays_of(program)
    places = {name: f"operands + {8 * k}" for k, name in enumerate(given, 1)}
    places |= {name: f"results + {8 * k}" for k, name in enumerate(results_of(program))}
    names, truths = scalars_in(program), truths_of(program)
    loads = [f"load_scalar(at, {k})" for k in range(len(names))]
    return _HANDLER.format(
        title=f"{program}, {dtype}",
        accessors="\n".join(accessors(whole.arrays, [dtype] * len(whole.arrays))),
        addresses=indent([f"at_{name} = load_word(load_word({place}) + {DATA})" for name, place in places.items()], 4),
        prologue=indent(
            [f"{narrow(n)} = {x} != 0.0" if n in truths else f"{narrow(n)} = {dtype}({x})"
             for n, x in zip(names, loads, strict=True)], 8,
        ),
        body=indent(body(whole, program.body, whole.outputs, dtype), 12),
        stride=8 * max(len(names), 1),
        EXTENSION=EXTENSION, API=API, OPERANDS=OPERANDS, RESULTS=RESULTS, METADATA=METADATA, OF_EXTENSION=OF_EXTENSION,
        VERSION=VERSION, OF_API=OF_API, DATA=DATA, RANK=RANK, SHAPE=SHAPE,
    )  # fmt: skip


@functools.cache
def handler(source: str) -> Callable[[], Any]:
    """The compiled handler; calling what is returned gives its address, which is good while that is kept."""
    from numba import cfunc

    compiled = cache.compiled(source, "handler", "int64(int64)")

    @cfunc("int64(int64)", nogil=True)
    def entry(frame):  # type: ignore[no-untyped-def]
        return compiled(frame)

    return lambda: entry.address


COSTLY = {"/", "sqrt", "exp", "log", "tanh", "**"}  # what XLA would rather keep than compute twice


def keeps_between(program: Program) -> bool:
    """Whether several outputs are made of one costly value that is no output itself: XLA then keeps that as an array.

    XLA computes each output in a pass of its own, and again what passes share, unless that is costly.
    """
    made = {o.target: o for o in program.body}
    new = {x for x in program.outputs.values() if isinstance(x, str)}

    def costly(output: str | float) -> set[str]:
        """The costly values that an output is made of, not through another output."""
        found: set[str] = set()
        stack = [made[output]] if output in made else []
        while stack:
            each = stack.pop()
            if each.op in COSTLY and not (each.op == "**" and isinstance(each.args[1], float)):
                found.add(each.target)
            stack.extend(made[a] for a in each.args if a in made and a not in new)
        return found

    found = [each for output in new for each in costly(output)]
    return len(set(found)) < len(found)
