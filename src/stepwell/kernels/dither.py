"""Random bits for stochastic rounding: the same for the same step and place, whatever the threads.

A number is rounded up with the probability that makes its expectation right, so that changes smaller than half a unit
in the last place are not lost (Gupta et al., 2015, <https://arxiv.org/abs/1502.02551>). The bits of an element are
those of a short table, at a place that is drawn anew for each segment of elements and each step, and exclusive-or a
word that is too: each element's are uniform over the steps, and cost one load.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from stepwell.kernels.codes import SEGMENT

BITS = 20  # of noise in a word
_PLACES, _STRIDE, _LINE = 128, 32, 64  # a place is where a cache line of words begins
_SIZE = _PLACES * _STRIDE + SEGMENT + _LINE  # with room to begin at a cache line

_generator = np.random.Generator(np.random.PCG64(0))
NOISE = _generator.integers(0, 1 << BITS, _SIZE).astype(np.int32)
RARE = np.minimum(-8 * np.log2(1 - _generator.random(_SIZE)), 190).astype(np.int16)
"""How far, in eighths of a factor of 2, a number may be below the least one that is kept and be taken for that."""

_WORD, _INT32 = ir.IntType(64), ir.IntType(32)
_ODD = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of splitmix64


@intrinsic
def draw(typingctx, step, segment):  # type: ignore[no-untyped-def]
    """64 random bits that belong to a step and a segment: splitmix64 of the two."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        step, segment = builder.fptosi(args[0], _WORD), args[1]
        x = builder.add(builder.mul(step, _WORD(_ODD[0])), builder.mul(segment, _WORD(_ODD[2])))
        for shift, odd in ((30, _ODD[1]), (27, _ODD[2])):
            x = builder.mul(builder.xor(x, builder.lshr(x, _WORD(shift))), _WORD(odd))
        return builder.xor(x, builder.lshr(x, _WORD(31)))

    return types.int64(types.float64, types.int64), emit


@intrinsic
def place(typingctx, bits, turn):  # type: ignore[no-untyped-def]
    """Where in the tables an array begins; `turn` numbers the arrays of a kernel."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        turned = _turned(builder, *args)
        return builder.mul(builder.and_(turned, _WORD(_PLACES - 1)), _WORD(_STRIDE))

    return types.int64(types.int64, types.int64), emit


@intrinsic
def word(typingctx, bits, turn):  # type: ignore[no-untyped-def]
    """What an array's noise is exclusive-or'ed with."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        turned = builder.lshr(_turned(builder, *args), _WORD(64 - BITS))
        return builder.trunc(turned, _INT32)

    return types.int32(types.int64, types.int64), emit


def _turned(builder: Any, bits: Any, turn: Any) -> Any:
    """The bits as the turn-th array has them."""
    x = builder.mul(bits, builder.add(builder.shl(turn, _WORD(1)), _WORD(1)))
    return builder.xor(x, builder.lshr(x, _WORD(33)))
