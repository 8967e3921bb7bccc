"""The kernel where arrays are kept in fewer bits than a float32: by segments of elements, each with noise of its own.

As `source`'s, but for the columns of the table: after the arrays come those that `beside` names, then the scalar state.
"""

from collections.abc import Mapping, Sequence

from stepwell.kernels.codes import SEGMENT
from stepwell.kernels.scaled import scaled
from stepwell.kernels.source import BLOCK, CHUNK, SIZES, assignment, blocks, indent, prefetchers, prefetches, value
from stepwell.kernels.source import narrow as computed
from stepwell.kernels.trace import Program

STOCHASTIC, HALVES = "bfloat16, stochastic", "float32, in halves"
SIGNED, UNSIGNED = "8 bits, signed", "8 bits"
CODES = (SIGNED, UNSIGNED)
LOSSY = (STOCHASTIC, HALVES, *CODES)
BESIDE = {SIGNED: "exponents", UNSIGNED: "exponents", HALVES: "low"}  # what an array has beside it

_KERNEL = '''\
"""{title}"""

import math

import numpy as np
from numba import float32, float64, int16

from stepwell.kernels.dither import NOISE, RARE, draw, place, word
from stepwell.kernels.memory import accessors, prefetching
from stepwell.kernels.narrow import codes, dithered, exponent_of, halves, integers, noise, widest

{accessors}


def kernel(table, clock, groups, low, high):
    widest()
    at_noise = (NOISE.ctypes.data + 63) & -64
    at_rare = (RARE.ctypes.data + 63) & -64
    room = np.empty({room} + 32, np.int16)
    at_room = (room.ctypes.data + 63) & -64
{blocks}
        for first in range(start, stop, {SEGMENT}):
            count = min({SEGMENT}, stop - first)
            segment = first // {SEGMENT}
            bits = draw(clock[tensor, 0], block * {per_block} + segment % {per_block})
{before}
            whole = first + count // {CHUNK} * {CHUNK}
            for chunk in range(first, whole, {CHUNK}):  # its length is known: what takes long is computing
{prefetches}
                for k in range({CHUNK}):
                    j = chunk + k
                    i = j - first
{body}
            for j in range(whole, first + count):
                i = j - first
{rest}
{after}
'''


def beside(arrays: Sequence[str], storage: Sequence[str]) -> list[str]:
    """The names of what lies beside arrays of these kinds, in the order of the table."""
    return [f"{name}_{BESIDE[kind]}" for name, kind in zip(arrays, storage, strict=True) if kind in BESIDE]


def lossy_source(title: str, program: Program, storage: Sequence[str], zero: bool) -> str:
    """The source of `kernel` for `program`; see `source.kernel_source`. One of `storage` at least is in LOSSY."""
    program = scaled(program) if set(storage) & {STOCHASTIC, *CODES} else program  # two halves lose nothing
    kinds = dict(zip(program.arrays, storage, strict=True))
    pointers = [*program.arrays, *beside(program.arrays, storage), *program.scalar_state]
    outputs = program.outputs | ({"g": 0.0} if zero else {})
    before, after = _segment(kinds)
    body = _element(program, kinds, outputs)
    sizes = {name: SIZES.get(kind, 2) for name, kind in kinds.items() if kind not in CODES}  # these are short
    return _KERNEL.format(
        title=title,
        accessors="\n".join([*prefetchers(sizes), *_accessors(pointers, kinds)]),
        room=max(1, sum(kind in CODES for kind in storage)) * SEGMENT,
        blocks=blocks(program, pointers, "float32"),
        before=indent(before, 12),
        prefetches=indent(prefetches(sizes), 16),
        body=indent(body, 20),
        rest=indent(body, 16),
        after=indent(after, 12),
        SEGMENT=SEGMENT, CHUNK=CHUNK,
        per_block=BLOCK // SEGMENT,
    )  # fmt: skip


def _accessors(pointers: Sequence[str], kinds: Mapping[str, str]) -> list[str]:
    coded = [name for name, kind in kinds.items() if kind in CODES]
    scopes = [*pointers, *(f"room_{name}" for name in coded), "noise", "rare"]
    at, total = {name: k for k, name in enumerate(scopes)}, len(scopes)
    lines = [f"noise_at = noise({at['noise']}, {total})", f"rare_at, _ = integers(16, {at['rare']}, {total})"]
    for name in pointers:
        kind = kinds.get(name, "float64")
        if kind in CODES:
            signed, beside_it = kind == SIGNED, f"{name}_exponents"
            lines += [
                f"load_{name}, rough_{name}, larger_{name}, pack_{name} = "
                f"codes({signed}, {at[name]}, {at[f'room_{name}']}, {total})",
                f"load_{beside_it}, store_{beside_it} = integers(8, {at[beside_it]}, {total})",
                f"exponent_{name} = exponent_of({signed})",
            ]
        elif kind == HALVES:
            lines.append(f"load_{name}, store_{name} = halves({at[name]}, {at[f'{name}_low']}, {total})")
        elif kind == STOCHASTIC:
            lines.append(f"load_{name}, _ = accessors('bfloat16', {at[name]}, {total})")
            lines.append(f"store_{name} = dithered({at[name]}, {total})")
        elif name in kinds or name not in beside(list(kinds), list(kinds.values())):
            lines.append(f"load_{name}, store_{name} = accessors({kind!r}, {at[name]}, {total})")
    return lines


def _segment(kinds: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What is done before a segment's elements, and after them."""
    before, larger, exponents, pack = [], [], [], []
    for turn, name in enumerate(name for name, kind in kinds.items() if kind in (*CODES, STOCHASTIC)):
        before += [f"place_{name} = place(bits, {turn})", f"word_{name} = word(bits, {turn})"]
    coded = [name for name, kind in kinds.items() if kind in CODES]
    for k, name in enumerate(coded):
        room, exponent = f"at_room + {2 * k * SEGMENT}", f"{name}_exponent"
        before.append(f"{exponent} = load_{name}_exponents(at_{name}_exponents, segment)")
        exponents.append(f"largest_{name} = int16(0)")
        larger.append(f"    largest_{name} = larger_{name}(largest_{name}, {room}, i)")
        pack += [
            f"    rare = rare_at(at_rare, place_{name} + i)",
            f"    pack_{name}(at_{name}, first + i, {room}, i, {exponent}, rare)",
        ]
    if not coded:
        return before, []
    settled = [
        line
        for name in coded
        for line in (
            f"{name}_exponent = exponent_{name}(largest_{name})",
            f"store_{name}_exponents(at_{name}_exponents, segment, {name}_exponent)",
        )
    ]
    each = "for i in range(count):"
    return before, [*exponents, each, *larger, *settled, each, *pack]


def _element(program: Program, kinds: Mapping[str, str], outputs: Mapping[str, str | float]) -> list[str]:
    """One element, as `source.body`."""
    read = {a for o in program.body for a in o.args} | {outputs[a] for a in program.arrays if a in outputs}
    coded = [name for name, kind in kinds.items() if kind in CODES]
    lines = [f"{computed(name)} = {_loaded(name, kinds[name])}" for name in program.arrays if name in read]
    lines += [assignment(o, "float32") for o in program.body]
    for name in program.arrays:
        new, kind = outputs.get(name, name), kinds[name]
        if new == name and kind not in CODES:
            continue
        number, noise = value(new, "float32"), f"noise_at(at_noise, place_{name} + i, word_{name})"
        if kind in CODES:
            lines.append(f"rough_{name}(at_room + {2 * coded.index(name) * SEGMENT}, i, {number}, {noise})")
        elif kind == STOCHASTIC:
            lines.append(f"store_{name}(at_{name}, j, {number}, {noise})")
        elif kind == HALVES:
            lines.append(f"store_{name}(at_{name}, at_{name}_low, j, {number})")
        else:
            lines.append(f"store_{name}(at_{name}, j, {number})")
    return lines


def _loaded(name: str, kind: str) -> str:
    if kind in CODES:
        return f"load_{name}(at_{name}, j, {name}_exponent)"
    return f"load_{name}(at_{name}, at_{name}_low, j)" if kind == HALVES else f"load_{name}(at_{name}, j)"
