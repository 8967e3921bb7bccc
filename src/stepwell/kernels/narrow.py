"""Numbers kept in fewer bits than they are computed with, for kernels; each is widened on load.

- bfloat16, rounded stochastically.
- The two halves of a float32: the upper one, rounded, is a bfloat16 that others read; the lower one says by how much it
  was rounded.
- 8 bits, and an exponent e in a byte for each segment. Unsigned: 5 bits of exponent and 3 of mantissa, a code c being
  2^(e - 127 + c>>3)·(1 + (c&7)/8), so that a segment spans 32 factors of 2 and nothing positive becomes 0. Signed: 4
  bits of exponent, and the code 0 is 0. The upper bits of a float32 are such codes already: one subtraction away.

Codes are made in two passes, for the exponent of a segment is known when its largest number is: `rough` keeps the upper
12 bits of each number, rounded stochastically, and `pack` makes codes of them. A NaN (but one whose bits are all ones)
or an infinity stays what it is, and takes the precision of its segment: the other numbers are lost.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from stepwell.kernels.codes import LEAST, SPAN
from stepwell.kernels.dither import BITS
from stepwell.kernels.memory import mark

_FLOAT, _INT8, _INT16, _INT32 = ir.FloatType(), ir.IntType(8), ir.IntType(16), ir.IntType(32)
_MANTISSA = 3
_CODE = 23 - _MANTISSA  # bits of a float32 below those of a code

assert _CODE == BITS


def _at(builder: Any, kind: Any, address: Any, index: Any) -> Any:
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])


def _load(builder: Any, kind: Any, address: Any, index: Any, array: int, arrays: int) -> Any:
    value = builder.load(_at(builder, kind, address, index))
    mark(builder, value, array, arrays)
    return value


def _store(builder: Any, value: Any, address: Any, index: Any, array: int, arrays: int) -> None:
    mark(builder, builder.store(value, _at(builder, value.type, address, index)), array, arrays)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _less(builder: Any, a: Any, b: Any) -> Any:
    """a - b, or 0 where that is negative."""
    words = ir.FunctionType(a.type, [a.type, a.type])
    return builder.call(builder.module.declare_intrinsic("llvm.usub.sat", [a.type], words), [a, b])


def noise(array: int, arrays: int) -> Any:
    """`noise(address, index, word)`: 20 random bits."""

    @intrinsic
    def load(typingctx, address, index, word):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.xor(_load(builder, _INT32, args[0], args[1], array, arrays), args[2])

        return types.int32(types.int64, types.int64, types.int32), emit

    return load


def integers(bits: int, array: int, arrays: int) -> tuple[Any, Any]:
    """Loads and stores of integers of 8 bits without a sign, or of 16 with one; as 64 bits where they are read."""
    kind = ir.IntType(bits)
    wide = ir.IntType(64)

    @intrinsic
    def load(typingctx, address, index):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            value = _load(builder, kind, args[0], args[1], array, arrays)
            return builder.zext(value, wide) if bits == 8 else builder.sext(value, wide)

        return types.int64(types.int64, types.int64), emit

    @intrinsic
    def store(typingctx, address, index, value):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            _store(builder, builder.trunc(args[2], kind), args[0], args[1], array, arrays)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), emit

    return load, store


def dithered(array: int, arrays: int) -> Any:
    """`store(address, index, value, noise)` of a bfloat16 rounded stochastically."""

    @intrinsic
    def store(typingctx, address, index, value, noise):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            address, index, value, noise = args
            bits = builder.bitcast(value, _INT32)
            moved = builder.add(bits, builder.lshr(noise, _INT32(BITS - 16)))
            quiet_nan = builder.or_(bits, _INT32(0x400000))
            is_nan = builder.fcmp_unordered("uno", value, value)
            upper = builder.lshr(builder.select(is_nan, quiet_nan, moved), _INT32(16))
            _store(builder, builder.trunc(upper, _INT16), address, index, array, arrays)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.float32, types.int32), emit

    return store


def halves(upper: int, lower: int, arrays: int) -> tuple[Any, Any]:
    """`load(upper address, lower address, index)` and `store(…, value)` of a float32 in two halves."""

    @intrinsic
    def load(typingctx, address, below, index):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            address, below, index = args
            high = builder.zext(_load(builder, _INT16, address, index, upper, arrays), _INT32)
            low = builder.sext(_load(builder, _INT16, below, index, lower, arrays), _INT32)
            return builder.bitcast(builder.add(builder.shl(high, _INT32(16)), low), _FLOAT)

        return types.float32(types.int64, types.int64, types.int64), emit

    @intrinsic
    def store(typingctx, address, below, index, value):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            address, below, index, value = args
            bits = builder.bitcast(value, _INT32)
            high = builder.lshr(builder.add(bits, _INT32(0x8000)), _INT32(16))
            _store(builder, builder.trunc(high, _INT16), address, index, upper, arrays)
            _store(builder, builder.trunc(bits, _INT16), below, index, lower, arrays)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64, types.float32), emit

    return load, store


def codes(signed: bool, array: int, scratch: int, arrays: int) -> tuple[Any, Any, Any, Any]:
    """`load(address, index, exponent)`, `rough(scratch, i, value, noise)`, `larger(top, scratch, i)` and
    `pack(address, index, scratch, i, exponent, rare)` of 8 bits."""

    @intrinsic
    def load(typingctx, address, index, exponent):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            address, index, exponent = args
            base = builder.shl(builder.trunc(exponent, _INT32), _INT32(23))
            byte = _load(builder, _INT8, address, index, array, arrays)
            if not signed:
                shifted = builder.shl(builder.zext(byte, _INT32), _INT32(_CODE))
                return builder.bitcast(builder.add(shifted, base), _FLOAT)
            shifted = builder.and_(builder.shl(builder.sext(byte, _INT32), _INT32(_CODE)), _INT32(0x87F00000))
            is_number = builder.icmp_signed("!=", builder.and_(shifted, _INT32(0x07F00000)), _INT32(0))
            return builder.bitcast(builder.add(shifted, builder.select(is_number, base, _INT32(0))), _FLOAT)

        return types.float32(types.int64, types.int64, types.int64), emit

    @intrinsic
    def rough(typingctx, scratch_, i, value, noise):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            at, i, value, noise = args
            upper = builder.lshr(builder.add(builder.bitcast(value, _INT32), noise), _INT32(_CODE))
            _store(builder, builder.trunc(upper, _INT16), at, i, scratch, arrays)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.float32, types.int32), emit

    @intrinsic
    def larger(typingctx, largest, scratch_, i):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            size = builder.and_(_load(builder, _INT16, args[1], args[2], scratch, arrays), _INT16(0x7FF))
            return _larger(builder, args[0], size)

        return types.int16(types.int16, types.int64, types.int64), emit

    @intrinsic
    def pack(typingctx, address, index, scratch_, i, exponent, rare):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            address, index, at, i, exponent, rare = args
            rough = _load(builder, _INT16, at, i, scratch, arrays)
            base = builder.shl(builder.trunc(exponent, _INT16), _INT16(_MANTISSA))
            size = builder.and_(rough, _INT16(0x7FF))
            if signed:  # a number below the least one becomes that, or 0, by chance
                least = builder.add(base, _INT16(1))
                chance = _smaller(builder, builder.add(size, builder.trunc(rare, _INT16)), least)
                size = _larger(builder, size, chance)
            code = _less(builder, size, base)  # and none is too large: the exponent is that of the largest
            if signed:
                code = builder.or_(code, builder.and_(builder.lshr(rough, _INT16(4)), _INT16(128)))
            _store(builder, builder.trunc(code, _INT8), address, index, array, arrays)
            return context.get_dummy_value()

        words = (types.int64, types.int64, types.int64, types.int64, types.int64, types.int64)
        return types.void(*words), emit

    return load, rough, larger, pack


def exponent_of(signed: bool) -> Any:
    """`exponent(largest)`: that of a segment, from the upper bits of its largest number."""

    @intrinsic
    def exponent(typingctx, largest):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            word = ir.IntType(64)
            highest = builder.zext(builder.lshr(args[0], _INT16(_MANTISSA)), word)
            return _larger(builder, builder.sub(highest, word(SPAN[signed] - 1)), word(LEAST[signed]))

        return types.int64(types.int16), emit

    return exponent


@intrinsic
def widest(typingctx):  # type: ignore[no-untyped-def]
    """Let the compiler use the widest vectors there are: these loops compute more than they move."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), emit
