"""A traced program as a JavaScript function in double precision: what a page steps with, printed from the same trace.

The function takes `at`, an object with a Float64Array for each array and for each scalar state, by name; `t`, the step
counted from 1; and `h`, an array of the program's scalars in their order. It makes one step of one row, in place: a
scalar state and one that has one number a row are arrays of length 1. Operations mean what they mean in
`stepwell.kernels.source`; where JavaScript's own power differs from C's, `PRELUDE` has C's.

>>> from stepwell import rules
>>> from stepwell.kernels import Stages
>>> from stepwell.kernels.trace import trace
>>> print(step_source(trace(rules.gradient_descent, Stages())))
(at, t, h) => {
  const s_lr = h[0];
  const {p: at_p, g: at_g} = at;
  const n = at_g.length;
  for (let j = 0; j < n; j++) {
    const r_p = at_p[j], r_g = at_g[j];
    const r__x0 = s_lr * r_g;
    const r__x1 = r_p - r__x0;
    at_p[j] = r__x1;
  }
}
"""

import math
from collections.abc import Collection, Iterable, Sequence

from stepwell.kernels.trace import Operation, Program
from stepwell.rule import Rule
from stepwell.symbolic import COMPARISONS

PRELUDE = """\
// C's power: 1 to any power is 1, and so is -1 to an infinite one.
const power = (x, y) => x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : Math.pow(x, y);"""
"""What printed functions call."""

_INFIX = {"+", "-", "*", "/", *COMPARISONS}
_CALLS = {
    "neg": "-{0}", "abs": "Math.abs({0})", "where": "{0} ? {1} : {2}", "**": "power({0}, {1})",
    "sqrt": "Math.sqrt({0})", "exp": "Math.exp({0})", "log": "Math.log({0})", "tanh": "Math.tanh({0})",
    "maximum": "{0} > {1} || {0} !== {0} ? {0} : {1}",
    "minimum": "{0} < {1} || {0} !== {0} ? {0} : {1}",
    "sign": "{0} > 0 ? 1 : {0} < 0 ? -1 : {0}",
}  # fmt: skip


def step_source(program: Program) -> str:
    """The step as an arrow function.

    Errors: NotImplementedError for an operation that has no JavaScript here.
    """
    arrays = dict.fromkeys([*program.arrays, *program.outputs, *program.scalar_state])
    lines = [f"const {_scalar(name)} = h[{k}];" for k, name in enumerate(program.scalars)]
    lines += [f"const {{{', '.join(f'{name}: at_{name}' for name in arrays)}}} = at;", "const n = at_g.length;"]
    lines += [f"const {_scalar(name)} = at_{name}[0];" for name in program.scalar_state]
    printer = _Printer({*program.scalars, *program.scalar_state, "t", *(o.target for o in program.prologue)})
    lines += map(printer.line, program.prologue)
    lines += _row(program, printer)
    lines += [f"at_{name}[0] = {printer.value(program.outputs[name])};" for name in program.scalar_state]
    inner = "\n".join(f"  {line}" for line in lines)
    return f"(at, t, h) => {{\n{inner}\n}}"


def start_source(rule: Rule, program: Program) -> str:
    """The state before the first step as an arrow function of n, the length of the row, and `h`: an object of arrays.

    >>> from stepwell import rules
    >>> from stepwell.kernels import Stages
    >>> from stepwell.kernels.trace import trace
    >>> print(start_source(rules.adagrad, trace(rules.adagrad, Stages())))
    (n, h) => ({s: new Float64Array(n).fill(h[2])})
    """
    single = {*program.scalar_state, *program.row_state}

    def first(state: str) -> str:
        start = rule.start[state]
        return f"h[{program.scalars.index(start)}]" if isinstance(start, str) else literal(start)

    made = [f"{s}: new Float64Array({1 if s in single else 'n'}).fill({first(s)})" for s in rule.state]
    return f"(n, h) => ({{{', '.join(made)}}})"


def literal(number: float) -> str:
    """A number that JavaScript reads as the same double.

    >>> literal(1e-08), literal(-2.0), literal(math.inf)
    ('1e-08', '(-2.0)', 'Infinity')
    """
    if math.isnan(number):
        return "NaN"
    text = repr(float(number)).replace("inf", "Infinity")
    return f"({text})" if text.startswith("-") else text


class _Printer:
    """Names and operations; those of `scalars` are one number for the whole row from the start."""

    def __init__(self, scalars: Collection[str]):
        self.scalars = scalars

    def value(self, given: str | float) -> str:
        if not isinstance(given, str):
            return literal(given)
        return _scalar(given) if given in self.scalars else f"r_{given}"

    def line(self, operation: Operation) -> str:
        return f"const {self.value(operation.target)} = {self.expression(operation)};"

    def expression(self, operation: Operation) -> str:
        args = [self.value(a) for a in operation.args]
        power = operation.args[-1]
        if operation.op == "**" and power in (1.0, 2.0, 3.0, 4.0):
            return " * ".join([args[0]] * int(power))
        if operation.op == "**" and power == 0.5:
            return f"Math.sqrt({args[0]})"
        if operation.op in _INFIX:
            return f"{args[0]} {operation.op} {args[1]}"
        if operation.op not in _CALLS:
            raise NotImplementedError(f"no JavaScript for the operation {operation.op!r}")
        return _CALLS[operation.op].format(*args)


def _scalar(name: str) -> str:
    return "t" if name == "t" else f"s_{name}"


def _row(program: Program, printer: _Printer) -> list[str]:
    """What is done once for the row, in order, each of its means in a loop of its own; then for every element of it."""
    once: set[str | float] = set(program.row_state)
    row = [f"const r_{s} = at_{s}[0];" for s in program.row_state]
    each: list[Operation] = []
    for o in program.body:
        if o.op == "row_mean":
            row += _mean(program, o, each, printer)
        elif once.intersection(o.args) and all(_is_one(a, once, printer) for a in o.args):
            row.append(printer.line(o))
        else:
            each.append(o)
            continue
        once.add(o.target)
    changed = {name: new for name, new in program.outputs.items() if new != name and name not in program.scalar_state}
    elements = {name: new for name, new in changed.items() if name not in program.row_state}
    stores = [f"at_{name}[j] = {printer.value(new)};" for name, new in elements.items()]
    row += _loop(program, each, elements.values(), stores, printer)
    return row + [f"at_{s}[0] = {printer.value(changed[s])};" for s in program.row_state if s in changed]


def _is_one(name: str | float, once: Collection[str | float], printer: _Printer) -> bool:
    return not isinstance(name, str) or name in once or name in printer.scalars


def _mean(program: Program, mean: Operation, each: Sequence[Operation], printer: _Printer) -> list[str]:
    total, (x,) = f"total_{mean.target}", mean.args
    loop = _loop(program, each, [x], [f"{total} += {printer.value(x)};"], printer)
    return [f"let {total} = 0;", *loop, f"const {printer.value(mean.target)} = {total} / Math.max(n, 1);"]


def _loop(
    program: Program, each: Sequence[Operation], wanted: Iterable[str | float], then: Sequence[str], printer: _Printer
) -> list[str]:
    """For every element: what is read is loaded, the operations that `wanted` rests on are done, and `then`."""
    if not then:
        return []
    needed, names = [], {*wanted}
    for o in reversed(each):
        if o.target in names:
            needed.append(o)
            names.update(o.args)
    read = [a for a in program.arrays if a in names and a not in program.row_state]
    loads = [f"const {', '.join(f'r_{a} = at_{a}[j]' for a in read)};"] if read else []
    lines = [*loads, *map(printer.line, needed[::-1]), *then]
    return ["for (let j = 0; j < n; j++) {", *(f"  {line}" for line in lines), "}"]
