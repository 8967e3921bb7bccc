"""Rows are brought up to date: the source of the kernel that settles them by the book (`advance`).

By the closed form where a row's entry is good; else by the steps themselves, one after the other.
"""

from collections.abc import Sequence

from stepwell.kernels import advance
from stepwell.kernels.closing import Closed, Form
from stepwell.kernels.rest import Rest
from stepwell.kernels.rows import by_row, prefetches
from stepwell.kernels.source import (
    ADDRESSES,
    accessors,
    assignment,
    indent,
    narrow,
    scalars_of_body,
    truths_of,
    value,
)  # fmt: skip
from stepwell.kernels.trace import Numbering, names_in
from stepwell.symbolic import Expr

SIGNATURE = f"void(int64[:, ::1], {advance.BOOKS}, int64[::1], int64[::1], int64, int64, int64, int64)"

_SETTLE = '''\
"""{title}: rows are brought up to date."""

import math

from numba import float32, float64

from stepwell.kernels.memory import accessors, prefetch

{accessors}


def settle(table, entries, since, history, rows, slots, width, count, low, high):
    tensor = 0
{addresses}
    for k in range(low, high):
        if k + {ahead} < high:
            ahead = rows[k + {ahead}] * width
{prefetches}
        first = rows[k] * width
        slot = slots[k]
{flag}
        start = slot
{faint}
        while slot < count and {more}:
{idle}
{scalars}
{row}
            for j in range(first, first + width):
{element}
{stores}
            slot += 1
{next_flag}
{closed}
'''

_FLAG = """\
flag = max(entries[{FLAG}, slot], since[{FLAG}, slot // {BLOCK}]) if slot < count else {GOOD}
"""

_FAINT = """\
if slot < count:
    fade = entries[{row}, slot] * since[{since}, slot // {BLOCK}]
    for j in range(first, first + width):
        size = abs(float64(load_{state}(at_{state}, j)))
        faint = faint or (size > 0.0 and size * fade < {tiny})
"""

_MORE = "({faint}flag == {IRREGULAR} or (flag == {COARSE} and slot - start < entries[{REACH}, start]))"

_IDLE = """\
if flag == {COARSE}:
    idle = True
    for j in range(first, first + width):
{top}
        idle = idle and not ({name} != 0.0)
    if idle:
        break
"""

_CLOSING = """\
if slot < count:
    block = slot // {BLOCK}
    r_keep = {real}(entries[{KEEP}, slot] * since[{KEEP}, block])
    r_mass = {real}(entries[{MASS}, slot] * since[{KEEP}, block] if flag == {GOOD} else 0.0)
{numbers}
    for j in range(first, first + width):
{element}
"""


def source(title: str, rest: Rest, storage: Sequence[str]) -> str:
    """The kernel's source; `storage` as for the kernel of rows."""
    program, closed = rest.program, rest.closed
    real = "float64" if "float64" in storage else "float32"
    stored = dict(zip(program.arrays, storage, strict=True))
    element, row, stores = by_row(program, program.outputs, real)
    truths = truths_of(program)
    scalars = [
        f"{narrow(name)} = history[slot, {i}] != 0.0" if name in truths else
        f"{narrow(name)} = {real}(history[slot, {i}])"
        for i, name in enumerate(scalars_of_body(program))
    ]  # fmt: skip
    flag = [] if closed is None else advance.filled(_FLAG).splitlines()
    faint = _faint(closed, real)
    more = "True" if closed is None else advance.filled(_MORE, faint="faint or " if faint else "")
    return _SETTLE.format(
        title=title, ahead=8, more=more,
        accessors="\n".join(accessors(program.arrays, storage)),
        addresses=indent([f"at_{a} = table[tensor, {ADDRESSES + i}]" for i, a in enumerate(program.arrays)], 4),
        prefetches=indent(prefetches(program, stored), 12),
        faint=indent(faint, 8), flag=indent(flag, 8), next_flag=indent(flag, 12),
        idle=indent(_idle(closed, real), 12),
        scalars=indent(scalars, 12), row=indent(row, 12), element=indent(element, 16), stores=indent(stores, 12),
        closed=indent([] if closed is None else _closing(rest, closed, real), 8),
    )  # fmt: skip


def _faint(closed: Closed | None, real: str) -> list[str]:
    """A state whose sign counts and that fades to nothing: only the steps themselves know when its sign is lost."""
    lines: list[str] = []
    for k, state in enumerate(closed.scales if closed is not None else ()):
        if closed is not None and state in closed.signs:
            given = {"row": advance.SCALES + k, "since": 2 + k, "state": state, "tiny": advance.TINY[real]}
            lines += advance.filled(_FAINT, **given).splitlines()
    return ["faint = False", *lines] if lines else []


def _idle(closed: Closed | None, real: str) -> list[str]:
    """Rows whose drift is zero everywhere need no steps."""
    if closed is None or closed.drift is None or closed.drift.sum is None:
        return []
    lines, (top,) = _elements([closed.drift.top], real)
    loads = [_load(s) for s in sorted(names_in(closed.drift.top))]
    return advance.filled(_IDLE, top=indent([*loads, *lines], 8), name=top).splitlines()


def _load(state: str) -> str:
    return f"{narrow(state)} = load_{state}(at_{state}, j)"


def _closing(rest: Rest, closed: Closed, real: str) -> list[str]:
    numbers = [
        f"r_scale_{s} = {real}(entries[{advance.SCALES + i}, slot] * since[{2 + i}, block])"
        for i, s in enumerate(closed.scales)
    ]
    element, change, read = [], "", {*closed.scales}
    if closed.drift is not None:
        element, change = _drift(closed.drift, real)
        read |= _states(closed.drift)
        if closed.drift.sum is not None:
            numbers += _fraction(real)
    loads = [_load(s) for s in ("p", *sorted(read))]
    stores = [f"store_p(at_p, j, r_keep * r_p{change})"] if change or rest.program.outputs["keep"] != 1.0 else []
    stores += [f"store_{s}(at_{s}, j, r_scale_{s} * {narrow(s)})" for s in closed.scales]
    return advance.filled(
        _CLOSING, real=real, numbers=indent(numbers, 4), element=indent([*loads, *element, *stores], 8)
    ).splitlines()


def _fraction(real: str) -> list[str]:
    """The coefficients of an entry's continued fraction; plain ones where it has none to trust."""
    rows = [(f"r_centre{k}", advance.CENTRES + k, "1.0") for k in range(advance.LEVELS)]
    rows += [(f"r_spread{k}", advance.SPREADS + k, "0.0") for k in range(advance.LEVELS)]
    good = advance.GOOD
    return [f"{name} = {real}(entries[{row}, slot] if flag == {good} else {other})" for name, row, other in rows]


def _drift(drift: Form, real: str) -> tuple[list[str], str]:
    """The operations of an element's drift, and what is added to it for them."""
    parts = [drift.top] if drift.sum is None else [drift.top, drift.sum.first, drift.sum.second]
    lines, names = _elements(parts, real)
    if drift.sum is None:
        return lines, f" - r_mass * {names[0]}"
    last = advance.LEVELS - 1
    lines += [f"x, y = {names[1]}, {names[2]}", f"level = x + r_centre{last} * y"]
    for level in reversed(range(last)):  # all levels times y, which may be 0
        lines.append(f"level = x + r_centre{level} * y - r_spread{level} * (y * y) / level")
    return lines, f" - r_mass * {names[0]} / level"


def _states(form: Form) -> set[str]:
    parts = [form.top] if form.sum is None else [form.top, form.sum.first, form.sum.second]
    return set().union(*map(names_in, parts))


def _elements(wanted: Sequence[Expr], real: str) -> tuple[list[str], list[str]]:
    """Expressions in what a row holds: the operations, and where their values are."""
    numbering = Numbering((), prefix="c")
    names = [value(numbering.name(expr), real) for expr in wanted]
    return [assignment(o, real) for o in numbering.body], names
