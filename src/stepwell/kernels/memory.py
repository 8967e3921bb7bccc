"""Typed loads and stores at raw addresses, for kernels: what Numba does not offer.

Every array of a kernel is its own alias scope, so LLVM vectorizes a loop over any number of arrays without run-time
overlap checks (it gives up on those beyond a few). Half precision is widened on load and rounded to nearest even on
store, in the loop.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_FLOAT, _DOUBLE, _INT32 = ir.FloatType(), ir.DoubleType(), ir.IntType(32)
CACHE_LINE = 64  # bytes
STORAGE = {"float32": _FLOAT, "float64": _DOUBLE, "float16": ir.HalfType(), "bfloat16": ir.IntType(16)}


def _pointer(builder: Any, dtype: str, address: Any, index: Any) -> Any:
    return builder.gep(builder.inttoptr(address, STORAGE[dtype].as_pointer()), [index])


def mark(builder: Any, access: Any, array: int, arrays: int) -> None:
    """Say of a load or store which of the arrays it reaches, and that it reaches no other."""
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "stepwell kernel")])
    scopes = [module.add_metadata([ir.MetaDataString(module, f"array {k}"), domain]) for k in range(arrays)]
    access.set_metadata("alias.scope", module.add_metadata([scopes[array]]))
    access.set_metadata("noalias", module.add_metadata(scopes[:array] + scopes[array + 1 :]))


def _widen(builder: Any, dtype: str, value: Any) -> Any:
    if dtype == "float16":
        return builder.fpext(value, _FLOAT)
    if dtype == "bfloat16":
        return builder.bitcast(builder.shl(builder.zext(value, _INT32), _INT32(16)), _FLOAT)
    return value


def _narrow(builder: Any, dtype: str, value: Any) -> Any:
    if dtype == "float16":
        return builder.fptrunc(value, STORAGE[dtype])
    if dtype == "bfloat16":
        bits = builder.bitcast(value, _INT32)
        odd = builder.and_(builder.lshr(bits, _INT32(16)), _INT32(1))
        rounded = builder.lshr(builder.add(bits, builder.add(odd, _INT32(0x7FFF))), _INT32(16))
        quiet_nan = builder.or_(builder.lshr(bits, _INT32(16)), _INT32(0x40))
        is_nan = builder.fcmp_unordered("uno", value, value)
        return builder.trunc(builder.select(is_nan, quiet_nan, rounded), STORAGE[dtype])
    return value


def accessors(dtype: str, array: int, arrays: int) -> tuple[Any, Any]:
    """`load(address, index)` and `store(address, index, value)` for array number `array` of a kernel's `arrays`.

    Values are float64 for float64 storage, float32 for every other.
    """
    number = types.float64 if dtype == "float64" else types.float32

    @intrinsic
    def load(typingctx, address, index):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            value = builder.load(_pointer(builder, dtype, *args))
            mark(builder, value, array, arrays)
            return _widen(builder, dtype, value)

        return number(types.int64, types.int64), emit

    @intrinsic
    def store(typingctx, address, index, value):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            address, index, value = args
            access = builder.store(_narrow(builder, dtype, value), _pointer(builder, dtype, address, index))
            mark(builder, access, array, arrays)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, number), emit

    return load, store


def prefetching(size: int) -> Any:
    """`ask(address)`: ask for so many bytes of memory from an address on, which need not be one of ours."""

    @intrinsic
    def ask(typingctx, address):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
            words = ir.FunctionType(ir.VoidType(), [pointer.type, _INT32, _INT32, _INT32])
            function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], words)
            for line in range(0, size, CACHE_LINE):
                there = builder.gep(pointer, [_INT32(line)])
                builder.call(function, [there, _INT32(0), _INT32(2), _INT32(1)])  # for reading, to stay, data
            return context.get_dummy_value()

        return types.void(types.int64), emit

    return ask


prefetch = prefetching(CACHE_LINE)


@intrinsic
def call_address(typingctx, function, argument):  # type: ignore[no-untyped-def]
    """Call the C function `int64 f(int64)` at an address."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        word = ir.IntType(64)
        pointer = builder.inttoptr(args[0], ir.FunctionType(word, [word]).as_pointer())
        return builder.call(pointer, [args[1]])

    return types.int64(types.int64, types.int64), emit


@intrinsic
def call_getter(typingctx, function, argument):  # type: ignore[no-untyped-def]
    """Call the C function `int64 f(int64, int64)` at an address, with 0 for its second argument."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        word = ir.IntType(64)
        pointer = builder.inttoptr(args[0], ir.FunctionType(word, [word, word]).as_pointer())
        return builder.call(pointer, [args[1], word(0)])

    return types.int64(types.int64, types.int64), emit


@intrinsic
def load_word(typingctx, address):  # type: ignore[no-untyped-def]
    """The 64-bit integer at an address."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()))

    return types.int64(types.int64), emit


@intrinsic
def store_word(typingctx, address, value):  # type: ignore[no-untyped-def]
    """Put a 64-bit integer at an address."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        builder.store(args[1], builder.inttoptr(args[0], ir.IntType(64).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit
