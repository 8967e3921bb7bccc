"""Operations of a traced program as Triton's expressions, rounded as the kernel for the CPU rounds them.

Triton's own division and root of float32 are approximations on a GPU; `div_rn` and `sqrt_rn` round to nearest, as the
CPU does. Powers, exponentials, logarithms and hyperbolic tangents are made in float64 and rounded once. bfloat16 is
widened and rounded (to nearest even) by its bits.
"""

import math
from collections.abc import Mapping, Sequence

from stepwell.kernels.source import narrow, wide
from stepwell.kernels.trace import Operation, Program
from stepwell.symbolic import COMPARISONS

POINTERS = {"float32": "float32", "float64": "float64", "float16": "float16", "bfloat16": "uint16"}

_INFIX = {"+", "-", "*", *COMPARISONS}
_CALLS = {
    "neg": "{0} * {minus_one}", "abs": "tl.abs({0})", "where": "tl.where({0}, {1}, {2})",
    "maximum": "tl.where({0} > {1}, {0}, tl.where({0} != {0}, {0}, {1}))",
    "minimum": "tl.where({0} < {1}, {0}, tl.where({0} != {0}, {0}, {1}))",
    "sign": "tl.where({0} > {zero}, {one}, tl.where({0} < {zero}, {minus_one}, {0}))",
}  # fmt: skip
_EXACT = {
    ("/", "float32"): "tl.div_rn({0}, {1})", ("/", "float64"): "{0} / {1}",
    ("sqrt", "float32"): "tl.sqrt_rn({0})", ("sqrt", "float64"): "tl.sqrt({0})",
}  # fmt: skip
_IN_DOUBLE = {"exp": "tl.exp({0})", "log": "tl.log({0})", "tanh": "tanh({0})", "**": "power({0}, {1})"}

FUNCTIONS = '''\
@triton.jit
def power(x, y):
    """x to the power y in float64, as C has it."""
    x = tl.where(y == y, x, x)  # of one shape: Triton's interpreter makes floats of a single truth that it spreads
    y = tl.where(x == x, y, y)
    one, zero = tl.full((), 1.0, tl.float64), tl.full((), 0.0, tl.float64)
    size = tl.where(tl.abs(x) == one, one, tl.exp2(y * tl.log2(tl.abs(x))))
    whole = tl.floor(y) == y
    odd = whole & (tl.floor(y * 0.5) * 2.0 != y)
    real = whole | (x == zero) | (tl.abs(x) == float("inf"))
    signed = tl.where(odd, -size, tl.where(real, size, tl.full((), float("nan"), tl.float64)))
    made = tl.where((x < zero) | (one / x < zero), signed, size)
    return tl.where((y == zero) | (x == one), one, tl.where(y == one, x, made))


@triton.jit
def tanh(x):
    """The hyperbolic tangent in float64: its series near 0, where the formula would lose digits."""
    square = x * x
    near = 1.0 - square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * (17.0 / 315.0 - square * (62.0 / 2835.0))))
    size = tl.abs(x)
    far = 1.0 - 2.0 / (tl.exp(2.0 * size) + 1.0)
    return tl.where(size < 0.02, x * near, tl.where(x < 0.0, -far, far))
'''
"""What printed kernels call; those that need it."""


class Printer:
    """Prints values in one precision, and the numbers that they name."""

    def __init__(self, real: str, names: Mapping[str, str] | None = None):
        self.real, self.names = real, names or {}
        self.numbers: dict[str, str] = {}

    def name(self, name: str) -> str:
        """A value's name in the printed source."""
        return self.names.get(name) or narrow(name)

    def value(self, given: str | float) -> str:
        """A name or a number."""
        return self.name(given) if isinstance(given, str) else self.number(given)

    def number(self, number: float) -> str:
        """The name of a number, which `constants` defines: a literal would be a number of Triton's choice."""
        text = repr(float(number)) if math.isfinite(number) else f'float("{number}")'
        return self.numbers.setdefault(text, f"number_{self.real}_{len(self.numbers)}")

    def constants(self) -> list[str]:
        """The numbers that were named so far."""
        return [f"{name} = tl.full((), {text}, tl.{self.real})" for text, name in self.numbers.items()]

    def line(self, operation: Operation) -> str:
        """An operation.

        Errors: NotImplementedError for an operation that has no kernel here.
        """
        return f"{self.name(operation.target)} = {self._expression(operation)}"

    def _expression(self, operation: Operation) -> str:
        op, args, power = operation.op, [self.value(a) for a in operation.args], operation.args[-1]
        if op == "**" and power in (1.0, 2.0, 3.0, 4.0):
            return " * ".join([args[0]] * int(power))
        if op == "**" and power == 0.5:
            op = "sqrt"
        if op in _INFIX:
            return f"{args[0]} {op} {args[1]}"
        if form := _EXACT.get((op, self.real)):
            return form.format(*args)
        if op in _IN_DOUBLE:
            doubles = args if self.real == "float64" else [f"({a}).to(tl.float64)" for a in args]
            made = _IN_DOUBLE[op].format(*doubles)
            return made if self.real == "float64" else f"{made}.to(tl.{self.real})"
        if op not in _CALLS:
            raise NotImplementedError(f"no kernel for a GPU has the operation {op!r}")
        numbers = {"zero": 0.0, "one": 1.0, "minus_one": -1.0}
        return _CALLS[op].format(*args, **{k: self.number(x) for k, x in numbers.items() if f"{{{k}}}" in _CALLS[op]})


def in_double(program: Program) -> Printer:
    """A printer of the scalars."""
    names = {*program.scalars, *program.scalar_state, "t", *(o.target for o in program.prologue)}
    return Printer("float64", {name: wide(name) for name in names})


def functions(lines: Sequence[str]) -> str:
    """The functions that these lines call."""
    wanted = ("power(", "tanh(")
    parts = FUNCTIONS.split("\n\n\n")
    return "".join(
        part.rstrip() + "\n\n\n" for part, call in zip(parts, wanted, strict=True) if call in "\n".join(lines)
    )


def loaded(dtype: str, pointer: str, mask: str | None) -> str:
    """What lies at a pointer, in float64 where it is stored so, else in float32."""
    guard = "" if mask is None else f", mask={mask}, other=0"
    if dtype == "bfloat16":
        return f"(tl.load({pointer}{guard}).to(tl.uint32) << 16).to(tl.float32, bitcast=True)"
    return f"tl.load({pointer}{guard})" + (".to(tl.float32)" if dtype == "float16" else "")


def stored(dtype: str, pointer: str, value: str, mask: str | None) -> list[str]:
    """Put a value at a pointer."""
    guard = "" if mask is None else f", mask={mask}"
    if dtype != "bfloat16":
        return [f"tl.store({pointer}, ({value}).to(tl.{dtype}){guard})"]
    return [
        f"bits = ({value}).to(tl.uint32, bitcast=True)",
        "rounded = (bits + ((bits >> 16) & 1) + 0x7FFF) >> 16",
        f"rounded = tl.where(({value}) != ({value}), (bits >> 16) | 0x40, rounded)",
        f"tl.store({pointer}, rounded.to(tl.uint16){guard})",
    ]
