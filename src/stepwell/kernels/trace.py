"""A rule and its stages, traced: which names are numbers and which arrays, and every operation once, in order.

What depends only on hyperparameters, the step count and other numbers is a scalar: it is computed once a tensor, in
double precision. A state whose next value is such a scalar is one number, not an array (NAdam's product of momenta).
The rest is the body, computed for every element in the arrays' precision. A state whose next value reads elements only
inside `row_mean` is one number a row (row-wise Adagrad's sum).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

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
    """The traced step. `outputs` says which name holds the new value of each array and scalar state.

    `row_state` names those of `arrays` that have one number a row, a row being what lies along the last axis.
    """

    arrays: tuple[str, ...]
    scalar_state: tuple[str, ...]
    row_state: tuple[str, ...]
    scalars: tuple[str, ...]
    prologue: tuple[Operation, ...]
    body: tuple[Operation, ...]
    outputs: dict[str, str | float]

    @cached_property
    def by_rows(self) -> bool:
        """Whether an element's step depends on the others of its row."""
        return any(o.op == "row_mean" for o in self.body)

    def shape_of(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a state, or of another array, beside a parameter of this shape."""
        if name in self.scalar_state:
            return ()
        return (*shape[:-1], 1)[: len(shape)] if name in self.row_state else shape


def trace(rule: Rule, stages: Stages) -> Program:
    """The step of `rule` with `stages` as a `Program`."""
    return _traced(rule, stages, whole_step(rule, stages))


@cache
def updates(rule: Rule) -> Program:
    """The rule alone, for frameworks that add its outcome to the parameter themselves: `update`, and the new state."""

    def step(arrays: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        change, *state = rule.bind(arrays, scalars)
        return {"update": -change, **dict(zip(rule.state, state, strict=True))}

    return _traced(rule, Stages(), step)


def _traced(rule: Rule, stages: Stages, step: Callable[..., dict[str, Any]]) -> Program:
    symbols = symbols_of(rule, stages)
    new = {name: Expr.of(value) for name, value in step(symbols, symbols).items()}
    scalar_state = _state_without(rule, new, rule.state)
    rest = tuple(s for s in rule.state if s not in scalar_state)
    return numbered(rule, stages, new, scalar_state, _state_without(rule, new, rest, {"row_mean"}))


def symbols_of(rule: Rule, stages: Stages) -> dict[str, Expr]:
    """What a step is called with to be traced."""
    names = ("p", "g", *rule.state, "ema", "t", *rule.hyperparameters, *stages.scalars)
    return {name: symbol(name) for name in names}


def numbered(
    rule: Rule, stages: Stages, new: Mapping[str, Expr], scalar_state: tuple[str, ...], row_state: tuple[str, ...] = ()
) -> Program:
    """A step as a `Program`: the new arrays and state as expressions in `symbols_of` the rule and stages."""
    scalars = (*rule.hyperparameters, *stages.scalars)
    known_scalars = {*scalars, "t", *scalar_state}
    numbering = Numbering(known_scalars)
    outputs = {name: numbering.name(expr) for name, expr in new.items()}
    arrays = ("p", "g", *(s for s in rule.state if s not in scalar_state), *(("ema",) if stages.ema else ()))
    lines = tuple(numbering.prologue), tuple(numbering.body)
    return Program(arrays, scalar_state, row_state, scalars, *lines, outputs)


def _state_without(
    rule: Rule, new: Mapping[str, Expr], among: Iterable[str], within: Collection[str] = ()
) -> tuple[str, ...]:
    """The largest set of these states whose next values read no array, but inside the operations `within`."""
    kept = set(among)
    while True:
        arrays = {"p", "g", "ema", *(set(among) - kept)}
        grown = {name for name in kept if arrays & names_in(new[name], within)}
        if not grown:
            return tuple(name for name in rule.state if name in kept)
        kept -= grown


def names_in(expr: Expr, within: Collection[str] = ()) -> set[str]:
    """The arguments that an expression reads, other than inside the operations `within`."""
    seen: set[int] = set()
    names: set[str] = set()
    stack = [expr]
    while stack:
        node = stack.pop()
        if node.op == "symbol":
            names.add(node.args[0])
        elif node.op not in ("constant", *within) and id(node) not in seen:
            seen.add(id(node))
            stack.extend(node.args)
    return names


class Numbering:
    """Names every distinct operation once (common-subexpression elimination) and sorts it into prologue or body."""

    def __init__(self, scalars: Iterable[str], prefix: str = ""):
        self.scalar: set[str | float] = set(scalars)
        self.prefix = prefix
        self.prologue: list[Operation] = []
        self.body: list[Operation] = []
        self._targets: dict[tuple[str, tuple[str | float, ...]], str] = {}
        self._done: dict[Expr, str | float] = {}

    def name(self, expr: Expr) -> str | float:
        """The name of an expression's value, or its number."""
        if expr.op in ("symbol", "constant"):
            return expr.args[0]
        if expr not in self._done:
            self._done[expr] = self._operation(expr.op, tuple(map(self.name, expr.args)))
        return self._done[expr]

    def _operation(self, op: str, args: tuple[str | float, ...]) -> str | float:
        if (op, args) not in self._targets:
            scalar = all(isinstance(a, float) or a in self.scalar for a in args)
            if op == "row_mean" and scalar:
                return args[0]  # a number is its own mean
            lines, letter = (self.prologue, "s") if scalar else (self.body, "x")
            target = f"_{self.prefix}{letter}{len(lines)}"
            lines.append(Operation(target, op, args))
            self._targets[op, args] = target
            if scalar:
                self.scalar.add(target)
        return self._targets[op, args]
