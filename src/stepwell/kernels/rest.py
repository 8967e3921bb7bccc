"""What steps with a zero gradient do to a row: nothing, a closed form, or the rule again and again.

The step is traced with 0 for the gradient and simplified: 0·x is 0, for rows are taken to be finite.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stepwell.kernels.closing import Closed, Closing
from stepwell.kernels.cpu import program as program_of
from stepwell.kernels.simplify import ZERO, simplified
from stepwell.kernels.stages import Stages, whole_step
from stepwell.kernels.trace import Program, names_in, numbered, symbols_of
from stepwell.rule import Rule
from stepwell.symbolic import Expr, symbol


@dataclass(frozen=True)
class Rest:
    """A step with a zero gradient: the program that makes it, and the closed form of many, if there is one."""

    program: Program
    closed: Closed | None

    @property
    def moves(self) -> bool:
        """Whether such a step changes any array at all."""
        return any(self.program.outputs[name] != name for name in self.program.arrays if name != "g")


@functools.cache
def rest(rule: Rule, stages: Stages, lazy: bool) -> Rest:
    """What a step does to the rows that it does not touch: with `lazy` nothing but to average the weights."""
    symbols = symbols_of(rule, stages)
    program = program_of(rule, stages)
    numbers = program.scalar_state
    step = whole_step(rule, stages)
    full, new = step(symbols, symbols), step({**symbols, "g": ZERO}, symbols)
    if lazy:
        new |= {"p": symbols["p"]} | {s: symbols[s] for s in rule.state if s not in numbers}
        if stages.ema:
            new["ema"] = symbols["ema_decay"] * symbols["ema"] + (1 - symbols["ema_decay"]) * symbols["p"]
    new = {name: Expr.of(value) for name, value in new.items()}
    known: dict[Expr, Expr] = {}
    outputs = {name: simplified(expr, known) for name, expr in new.items()}
    held = {} if lazy else {new[s]: (symbols[s], symbols[r]) for s, r in _largest(rule, full, outputs)}
    known = {expr: symbol for expr, (symbol, _) in held.items()}
    arrays = {
        name: simplified(new[name], known) for name in ("p", *rule.state, "ema") if name in new and name not in numbers
    }
    closing = Closing({*rule.hyperparameters, *stages.scalars, *numbers, "t"})
    closed = closing.closed(arrays, [r.args[0] for _, r in held.values()])
    if closed is not None and program.row_state and (closed.scales or closed.drift is not None):
        closed = None  # it goes element by element
    return Rest(numbered(rule, stages, outputs | closing.numbers, numbers, program.row_state), closed)


def _largest(rule: Rule, full: Mapping[str, Any], new: Mapping[str, Expr]) -> Iterator[tuple[str, str]]:
    """States that are the largest value another state ever had, and that one; both start at 0.

    So they are never below 0, nor below the other, and do not change while it shrinks.
    """
    for name, expr in full.items():
        if isinstance(expr, Expr) and expr.op == "maximum" and any(repr(a) == repr(symbol(name)) for a in expr.args):
            others = [s for s, value in full.items() if s != name and any(a is value for a in expr.args)]
            from_zero = others and rule.start.get(name) == rule.start.get(others[0]) == 0.0
            if from_zero and names_in(new[others[0]]) & full.keys() == {others[0]}:
                yield name, others[0]
