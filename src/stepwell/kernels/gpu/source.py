"""A traced program as Triton source: one launch counts a step and computes the scalars of every tensor, another makes
the step of all of them.

What the printed kernels read lies on the device, so nothing is compiled again, and the host need not wait:

- `table`, one int64 row a tensor, as the kernels for the CPU have it (first block, length, group, addresses of the
  arrays, of the scalar state, of the step); that of the gradient is not in it but in `gradients`, one a tensor,
  RESTING for one that has none;
- `which`, for each block of elements its tensor;
- `groups`, one float64 row a parameter group; `factor`, one float64 number by which `grad_scale` is multiplied;
- `found`, one number: other than 0, there is no step, and nothing is written but the zeros of `zero`;
- `scalars`, one float64 row a tensor: what the first kernel leaves for the second.
"""

from collections.abc import Sequence

from stepwell.kernels.gpu.expressions import POINTERS, Printer, functions, in_double, loaded, stored
from stepwell.kernels.source import (
    ADDRESSES,
    FIRST_BLOCK,
    GROUP,
    LENGTH,
    RESTING,
    indent,
    scalars_of_body,
    truths_of,
    wide,
)
from stepwell.kernels.trace import Program

GRADIENT = ADDRESSES + 1

_CLOCK = '''\
"""{title}"""

import triton
import triton.language as tl


{functions}@triton.jit(do_not_specialize=["tensors"])
def clock(table, gradients, groups, factor, found, scalars, tensors, LANES: tl.constexpr):
    tensor = tl.program_id(0) * LANES + tl.arange(0, LANES)
    inside = tensor < tensors
    live = inside & (tl.load(gradients + tensor, mask=inside, other={RESTING}) != {RESTING})
    live = live & (tl.load(found + tensor * 0) == 0)
    row = table + tensor.to(tl.int64) * {columns}
    group = groups + tl.load(row + {GROUP}, mask=inside, other=0) * {group_columns}
    at_step = tl.load(row + {step}, mask=inside, other=0).to(tl.pointer_type(tl.float32))
    wide_t = tl.load(at_step, mask=live, other=0).to(tl.float64) + 1.0
{prologue}
    tl.store(at_step, wide_t.to(tl.float32), mask=live)
{kept}
'''

_STEP = """\
@triton.jit
def step(table, gradients, which, scalars, found, BLOCK: tl.constexpr):
    block = tl.program_id(0)
    tensor = tl.load(which + block).to(tl.int64)
    row = table + tensor * {columns}
    at_g = tl.load(gradients + tensor)
    start = (block - tl.load(row + {FIRST_BLOCK})) * BLOCK
    here = tl.minimum(tl.load(row + {LENGTH}) - start, BLOCK)
    here = tl.where(at_g == {RESTING}, 0, here).to(tl.int32)
    taken = tl.where(tl.load(found) == 0, here, 0)
{addresses}
{scalars}
    j = tl.arange(0, BLOCK)
    if (taken == BLOCK) & (({together}) % 16 == 0):
{whole}
    else:
        inside = j < taken
{part}
"""


def kernel_source(title: str, program: Program, storage: Sequence[str], zero: bool) -> str:
    """The source of `clock` and `step` for `program`.

    Args:
        title: what the file says it is.
        program: the traced rule and stages; none that reads whole rows.
        storage: the dtype of each of `program.arrays` in memory; all float64, or none.
        zero: whether the pass also zeroes the gradient.
    """
    real = "float64" if "float64" in storage else "float32"
    dtypes = dict(zip(program.arrays, storage, strict=True))
    printer = Printer(real)
    whole, part = (_elements(program, dtypes, zero, printer, mask) for mask in (None, "inside"))
    pointers = [f"p_{n} = at_{n}.to(tl.pointer_type(tl.{POINTERS[t]})) + start" for n, t in dtypes.items()]
    at = [f"at_{name} = tl.load(row + {ADDRESSES + k})" for k, name in enumerate(program.arrays) if name != "g"]
    aligned = [f"p_{name} = tl.multiple_of(p_{name}, 16)" for name in program.arrays]
    step = _STEP.format(
        columns=columns(program),
        addresses=indent([*at, *pointers], 4),
        scalars=indent([*scalars(program, real, "tensor"), *printer.constants()], 4),
        together=" | ".join(f"at_{name}" for name in program.arrays),
        whole=indent([*aligned, *whole], 8), part=indent(part, 8),
        FIRST_BLOCK=FIRST_BLOCK, LENGTH=LENGTH, RESTING=RESTING,
    )  # fmt: skip
    return clock_source(title, program, whole) + "\n\n" + step


def columns(program: Program) -> int:
    """How long a row of the table is."""
    return ADDRESSES + len(program.arrays) + len(program.scalar_state) + 1


def clock_source(title: str, program: Program, body: Sequence[str]) -> str:
    """The source of `clock`, and above it what `body`, which is printed below it, calls."""
    before, kept = _clock_lines(program)
    return _CLOCK.format(
        title=title, functions=functions([*before, *body]), columns=columns(program), step=columns(program) - 1,
        group_columns=len(program.scalars), prologue=indent(before, 4), kept=indent(kept, 4),
        GROUP=GROUP, RESTING=RESTING,
    )  # fmt: skip


def _clock_lines(program: Program) -> tuple[list[str], list[str]]:
    """The scalars in float64, in vectors over tensors; and the new ones, stored."""
    printer, lines, kept = in_double(program), [], []
    first = ADDRESSES + len(program.arrays)
    for k, name in enumerate(program.scalar_state):
        address = f"tl.load(row + {first + k}, mask=inside, other=0).to(tl.pointer_type(tl.float64))"
        lines += [f"at_{name} = {address}", f"{wide(name)} = tl.load(at_{name}, mask=live, other=0)"]
        kept.append(f"tl.store(at_{name}, {printer.value(program.outputs[name])}, mask=live)")
    for k, name in enumerate(program.scalars):
        times = " * tl.load(factor)" if name == "grad_scale" else ""
        lines.append(f"{wide(name)} = tl.load(group + {k}, mask=inside, other=0){times}")
    operations = [printer.line(o) for o in program.prologue]
    wanted = scalars_of_body(program)
    kept.append(f"out = scalars + tensor.to(tl.int64) * {max(len(wanted), 1)}")
    kept += [f"tl.store(out + {k}, ({wide(name)}).to(tl.float64), mask=live)" for k, name in enumerate(wanted)]
    return [*lines, *printer.constants(), *operations], kept


def scalars(program: Program, real: str, tensor: str) -> list[str]:
    """The scalars of a tensor as the body reads them."""
    wanted, yes_or_no = scalars_of_body(program), truths_of(program)
    at = f"scalars + {tensor} * {max(len(wanted), 1)}"
    return [
        f"r_{name} = tl.load({at} + {k})" + (" != 0" if name in yes_or_no else f".to(tl.{real})")
        for k, name in enumerate(wanted)
    ]


def _elements(program: Program, dtypes: dict[str, str], zero: bool, printer: Printer, mask: str | None) -> list[str]:
    """A block: what is read is loaded, the operations done, and what is new stored."""
    outputs = program.outputs
    read = {a for o in program.body for a in o.args} | {outputs[a] for a in program.arrays if a in outputs}
    lines = [f"{printer.name(a)} = {loaded(dtypes[a], f'p_{a} + j', mask)}" for a in program.arrays if a in read]
    lines += map(printer.line, program.body)
    for name in program.arrays:
        new = outputs.get(name, name)
        if new != name:
            lines += stored(dtypes[name], f"p_{name} + j", printer.value(new), mask)
    if zero:
        guard = "" if mask is None else ", mask=j < here"
        lines.append(f"tl.store(p_g + j, tl.full((BLOCK,), 0, tl.{POINTERS[dtypes['g']]}){guard})")
    return lines
