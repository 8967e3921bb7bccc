"""A rule and its stages, traced: which names are numbers and which arrays, and every operation once, in order.

What depends only on hyperparameters, the step count and other numbers is a scalar: it is computed once a tensor, in
double precision. A state whose next value is such a scalar is one number, not an array (NAdam's product of momenta).
The rest is the body, computed for every element in the arrays' precision.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from stepwell.kernels.stages import Stages, whole_step
from stepwell.rule import Rule
from stepwell.symbolic import Expr, symbol


@dataclass(frozen=True)
class Operation:
    """`target = op(args)`; an argument is the name of an input or of an earlier target, or a number."""

    target: str
    op: str
    args: tuple[str | float, ...]


@dataclass(frozen=True)
class Program:
    """The traced step. `outputs` says which name holds the new value of each array and scalar state."""

    arrays: tuple[str, ...]
    scalar_state: tuple[str, ...]
    scalars: tuple[str, ...]
    prologue: tuple[Operation, ...]
    body: tuple[Operation, ...]
    outputs: dict[str, str | float]


def trace(rule: Rule, stages: Stages) -> Program:
    """The step of `rule` with `stages` as a `Program`."""
    names = ("p", "g", *rule.state, "ema", "t", *rule.hyperparameters, *stages.scalars)
    symbols = {name: symbol(name) for name in names}
    new = whole_step(rule, stages)(symbols, symbols)
    new = {name: Expr.of(value) for name, value in new.items()}
    scalar_state = _scalar_state(rule, new)
    scalars = (*rule.hyperparameters, *stages.scalars)
    known_scalars = {*scalars, "t", *scalar_state}
    numbering = _Numbering(known_scalars)
    outputs = {name: numbering.name(expr) for name, expr in new.items()}
    arrays = ("p", "g", *(s for s in rule.state if s not in scalar_state), *(("ema",) if stages.ema else ()))
    return Program(arrays, scalar_state, scalars, tuple(numbering.prologue), tuple(numbering.body), outputs)


def _scalar_state(rule: Rule, new: dict[str, Expr]) -> tuple[str, ...]:
    """The states that are numbers: the largest set whose next values read no array."""
    candidates = set(rule.state)
    while True:
        arrays = {"p", "g", "ema", *(set(rule.state) - candidates)}
        grown = {name for name in candidates if arrays & _names(new[name])}
        if not grown:
            return tuple(name for name in rule.state if name in candidates)
        candidates -= grown


def _names(expr: Expr) -> set[str]:
    seen: set[int] = set()
    names: set[str] = set()
    stack = [expr]
    while stack:
        node = stack.pop()
        if node.op == "symbol":
            names.add(node.args[0])
        elif node.op != "constant" and id(node) not in seen:
            seen.add(id(node))
            stack.extend(node.args)
    return names


class _Numbering:
    """Names every distinct operation once (common-subexpression elimination) and sorts it into prologue or body."""

    def __init__(self, scalars: Iterable[str]):
        self.scalar: set[str | float] = set(scalars)
        self.prologue: list[Operation] = []
        self.body: list[Operation] = []
        self._targets: dict[tuple[str, tuple[str | float, ...]], str] = {}
        self._done: dict[Expr, str | float] = {}

    def name(self, expr: Expr) -> str | float:
        if expr.op in ("symbol", "constant"):
            return expr.args[0]
        if expr not in self._done:
            self._done[expr] = self._operation(expr.op, tuple(map(self.name, expr.args)))
        return self._done[expr]

    def _operation(self, op: str, args: tuple[str | float, ...]) -> str:
        if (op, args) not in self._targets:
            scalar = all(isinstance(a, float) or a in self.scalar for a in args)
            lines, letter = (self.prologue, "s") if scalar else (self.body, "x")
            target = f"_{letter}{len(lines)}"
            lines.append(Operation(target, op, args))
            self._targets[op, args] = target
            if scalar:
                self.scalar.add(target)
        return self._targets[op, args]
