"""How each state of a rule is kept when it is to take less memory: read off the rule, not listed.

In 8 bits, a state that cannot be negative needs no sign, and has twice the range instead: one that interval arithmetic
over the traced rule proves so, or that the rule takes the square root of. Where a rule takes the root of a difference
of states (the variance of centered RMSProp), rounding them would make it a root of something negative: they stay as
they are.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

from stepwell.kernels.lossy import HALVES, SIGNED, STOCHASTIC, UNSIGNED
from stepwell.kernels.stages import Stages
from stepwell.kernels.trace import Operation, Program, trace
from stepwell.rule import Rule

STATE_DTYPES = ("float32", "bfloat16", "8bit")
ROUNDINGS = ("nearest", "stochastic", "compensated")
Interval = tuple[float, float]
EVERYTHING, NOT_NEGATIVE = (-math.inf, math.inf), (0.0, math.inf)


def storage(rule: Rule, stages: Stages, parameter: str, state_dtype: str | None, rounding: str) -> tuple[str, ...]:
    """The kind of storage of each array of a step.

    Args:
        rule, stages: the step.
        parameter: the dtype of the parameter and its gradient, "float32" or "bfloat16".
        state_dtype: one of STATE_DTYPES; None: as the parameter.
        rounding: how a bfloat16 parameter is written, one of ROUNDINGS.
    """
    program = trace(rule, stages)
    written = {"nearest": parameter, "stochastic": STOCHASTIC, "compensated": HALVES}[rounding]
    kinds = {"p": written, "g": parameter, "ema": "float32"} | dict.fromkeys(rule.state, state_dtype or parameter)
    if state_dtype in ("bfloat16", "8bit"):
        unsigned, whole = signs(rule)
        for name in rule.state:
            if name in whole or name in program.row_state:
                kinds[name] = "float32"
            elif state_dtype == "bfloat16":
                kinds[name] = STOCHASTIC
            else:
                kinds[name] = UNSIGNED if name in unsigned else SIGNED
    return tuple(kinds[name] for name in program.arrays)


@functools.cache
def signs(rule: Rule) -> tuple[frozenset[str], frozenset[str]]:
    """The states of a rule that are never negative, and those of which it takes the root of a difference.

    >>> from stepwell import rules
    >>> unsigned, whole = signs(rules.amsgrad)
    >>> sorted(unsigned), sorted(whole)
    (['v', 'v_max'], [])
    >>> sorted(signs(rules.rmsprop_centered_momentum)[1])
    ['a', 's']
    """
    program = trace(rule, Stages())
    made = {o.target: o for o in (*program.prologue, *program.body)}
    roots = [o.args[0] for o in program.body if o.op == "sqrt"]
    rooted = {_factor(arg, made, program) for arg in roots}
    sure = {s for s in rule.state if {s, program.outputs[s]} & rooted}
    held = {name: NOT_NEGATIVE for s in sure for name in (s, program.outputs[s])}
    unsigned = {s for s in rule.state if s in program.arrays}
    while True:
        known = _intervals(rule, program, dict.fromkeys(unsigned, NOT_NEGATIVE) | held)
        wrong = {s for s in unsigned - sure if _of(program.outputs[s], known)[0] < 0}
        if not wrong:
            break
        unsigned -= wrong
    negative = [arg for arg in roots if _of(arg, known)[0] < 0]
    return frozenset(unsigned), frozenset(s for arg in negative for s in _states_in(arg, made, rule))


def _factor(name: str | float, made: Mapping[str, Operation], program: Program) -> str | float:
    """What is left of a product when its scalars are taken away."""
    while name in made and made[str(name)].op in ("*", "/"):
        left, right = made[str(name)].args
        arrays = {*program.arrays, *(o.target for o in program.body)}
        if right not in arrays:
            name = left
        elif left not in arrays and made[str(name)].op == "*":
            name = right
        else:
            break
        if name in program.outputs.values():
            break
    return name


def _states_in(name: str | float, made: Mapping[str, Operation], rule: Rule) -> set[str]:
    if name in rule.state:
        return {str(name)}
    return {s for a in made[str(name)].args for s in _states_in(a, made, rule)} if name in made else set()


def _intervals(rule: Rule, program: Program, known: Mapping[Any, Interval]) -> dict[str | float, Interval]:
    found: dict[str | float, Interval] = {h.name: _bounds(h.domain.holds) for h in rule.hyperparameters.values()}
    found |= {"t": (1.0, math.inf), **known}
    for o in (*program.prologue, *program.body):
        if o.target not in found:
            found[o.target] = _result(o, [_of(a, found) for a in o.args])
    return found


def _of(name: str | float, known: Mapping[str | float, Interval]) -> Interval:
    return (name, name) if isinstance(name, float) else known.get(name, EVERYTHING)


def _bounds(holds: object) -> Interval:
    """Of a domain, what matters here: whether it has numbers below 0, and above 1."""
    assert callable(holds)
    return (-math.inf if holds(-0.5) else 0.0, math.inf if holds(1.5) else 1.0)


def _result(operation: Operation, args: list[Interval]) -> Interval:
    """An interval that the operation's value lies in; a coarse one where the sign is all that is asked for."""
    op = operation.op
    if op in ("abs", "sqrt", "exp"):
        return NOT_NEGATIVE
    if op == "where":
        return min(args[1][0], args[2][0]), max(args[1][1], args[2][1])
    if op == "neg":
        return -args[0][1], -args[0][0]
    if op in ("sign", "tanh"):
        return (0.0 if args[0][0] >= 0 else -1.0), 1.0
    if len(args) != 2:
        return args[0] if op == "row_mean" else EVERYTHING
    (a, b), (c, d) = args
    if op == "**" and operation.args[1] in (2.0, 4.0):
        return NOT_NEGATIVE
    corners = {
        "+": lambda: (a + c, b + d),
        "-": lambda: (a - d, b - c),
        "maximum": lambda: (max(a, c), max(b, d)),
        "minimum": lambda: (min(a, c), min(b, d)),
        "**": lambda: (0.0, 1.0 if b <= 1 and c >= 0 else math.inf) if a >= 0 else EVERYTHING,
        "*": lambda: (0.0, 1.0 if b <= 1 and d <= 1 else math.inf) if a >= 0 and c >= 0 else EVERYTHING,
        "/": lambda: NOT_NEGATIVE if a >= 0 and c >= 0 else EVERYTHING,
    }
    return corners[op]() if op in corners else EVERYTHING
