"""Wrong rules made from a right one: each has one operation, number or argument of its formula changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any

import numpy as np

from stepwell.kernels.interpret import apply
from stepwell.kernels.trace import names_in
from stepwell.rule import Rule
from stepwell.symbolic import COMPARISONS, Expr, symbol

Formula = tuple[Expr, ...]  # the step, then the new state

_STRICTER = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_FORGETFUL = ("sqrt", "abs", "neg", "sign", "tanh", "exp", "log", "row_mean")


@dataclass(frozen=True)
class Mutant:
    """A wrong rule, and what is wrong with it."""

    what: str
    rule: Rule


def mutants(right: Rule) -> Iterator[Mutant]:
    """The wrong rules that are one slip away from a right one.

    A term dropped or its sign flipped, a factor or a function left out, a maximum become a minimum, a branch always
    taken, a comparison with its edge on the other side, a constant or hyperparameter of another size, two of them
    exchanged, the step count off by one, a state that is never updated or is read before its update, no step at all, a
    step uphill. Some compute the same numbers as the right rule; whether one does is for the caller to find out.

        >>> from stepwell import rules
        >>> for mutant in list(mutants(rules.gradient_descent))[:3]:
        ...     print(mutant.what, mutant.rule(2.0, lr=0.5))
        lr * g without g (0.5,)
        lr * g without lr (2.0,)
        lr halved (0.5,)
    """
    formula = right.trace
    for what, wrong in (*_operations(formula), *_arguments(right, formula), *_states(right, formula)):
        yield Mutant(what, _rule(right, wrong))


def _operations(formula: Formula) -> Iterator[tuple[str, Formula]]:
    for node in _nodes(formula):
        for what, other in _slips(node):
            yield what, _with(formula, {node: other})


def _slips(node: Expr) -> Iterator[tuple[str, Expr]]:
    """What an author might have written instead of one operation."""
    op, args, text = node.op, node.args, _text(node)
    if op == "constant":
        yield f"{text} + 1 for a {text}", Expr("constant", (args[0] + 1,))
    if op in _FORGETFUL:
        yield f"{text} without its {op}", args[0]
    if op in ("+", "-", "*", "/", "**", "maximum", "minimum"):
        yield f"{text} without {_text(args[1])}", args[0]
    if op in ("+", "*", "maximum", "minimum"):
        yield f"{text} without {_text(args[0])}", args[1]
    if op in ("+", "-"):
        other = "-" if op == "+" else "+"
        yield f"{text} with {other}", Expr(other, args)
    if op in ("maximum", "minimum"):
        other = "minimum" if op == "maximum" else "maximum"
        yield f"{text} as a {other}", Expr(other, args)
    if op == "where":
        yield f"{text}: always the first", args[1]
        yield f"{text}: always the second", args[2]
    if op in COMPARISONS:
        yield f"{text} with {_STRICTER[op]}", Expr(_STRICTER[op], args)


def _arguments(right: Rule, formula: Formula) -> Iterator[tuple[str, Formula]]:
    """Hyperparameters of another size, or exchanged; the step count off by one."""
    half, one = Expr("constant", (0.5,)), Expr("constant", (1.0,))
    read = set().union(*map(names_in, formula))
    for name in right.hyperparameters:
        if name in read:
            yield f"{name} halved", _replaced(formula, {name: Expr("*", (half, symbol(name)))})
    for a, b in combinations(right.hyperparameters, 2):
        if a in read or b in read:
            yield f"{a} and {b} exchanged", _replaced(formula, {a: symbol(b), b: symbol(a)})
    if right.reads_time:
        yield "t a step ahead", _replaced(formula, {"t": Expr("+", (symbol("t"), one))})
        yield "t a step behind", _replaced(formula, {"t": Expr("-", (symbol("t"), one))})


def _states(right: Rule, formula: Formula) -> Iterator[tuple[str, Formula]]:
    """A state that is forgotten, or read too early; a step that is none, or uphill."""
    step, *new = formula
    yield "no step", (Expr("*", (Expr("constant", (0.0,)), step)), *new)
    yield "a step uphill", (Expr("neg", (step,)), *new)
    for k, name in enumerate(right.state):
        yield f"{name} is never updated", (step, *new[:k], symbol(name), *new[k + 1 :])
        if new[k].op not in ("symbol", "constant"):
            early, *_ = _with((step,), {new[k]: symbol(name)})
            yield f"the step reads {name} before its update", (early, *new)


def _nodes(formula: Formula) -> list[Expr]:
    """Every node but the arguments, once, the outermost first."""
    found: dict[Expr, None] = {}
    stack = list(formula[::-1])
    while stack:
        node = stack.pop()
        if node not in found and node.op != "symbol":
            found[node] = None
            stack.extend(node.args[::-1] if node.op != "constant" else ())
    return list(found)


def _with(formula: Formula, others: Mapping[Expr, Expr]) -> Formula:
    """The formula with some nodes replaced, wherever they are used."""
    made: dict[Expr, Expr] = dict(others)

    def again(node: Expr) -> Expr:
        if node.op in ("symbol", "constant"):
            return made.get(node, node)
        if node not in made:
            made[node] = Expr(node.op, tuple(map(again, node.args)))
        return made[node]

    return tuple(map(again, formula))


def _replaced(formula: Formula, others: Mapping[str, Expr]) -> Formula:
    """The formula with other expressions for some of its arguments."""
    leaves: dict[Expr, Expr] = {}
    stack, seen = list(formula), set()
    while stack:
        node = stack.pop()
        if node.op == "symbol" and node.args[0] in others:
            leaves[node] = others[node.args[0]]
        elif node.op not in ("symbol", "constant") and node not in seen:
            seen.add(node)
            stack.extend(node.args)
    return _with(formula, leaves)


def _rule(right: Rule, wrong: Formula) -> Rule:
    """A rule with the arguments and starts of the right one."""
    function = _function(right, wrong)
    function.__name__ = function.__qualname__ = right.name
    parameters = right.__signature__.parameters.values()
    domains = {name: Annotated[float, h.domain] for name, h in right.hyperparameters.items()}
    function.__signature__ = right.__signature__.replace(
        parameters=[p.replace(annotation=domains.get(p.name, p.annotation)) for p in parameters]
    )
    return Rule(function, right.start)


def _function(right: Rule, formula: Formula) -> Any:
    def wrong(*arrays: Any, **hyper: Any) -> tuple[Any, ...]:
        values = dict(zip(right.arguments, arrays, strict=True)) | hyper
        known: dict[Expr, Any] = {}
        with np.errstate(all="ignore"):
            return tuple(_value(node, values, known) for node in formula)

    return wrong


def _value(node: Expr, values: Mapping[str, Any], known: dict[Expr, Any]) -> Any:
    if node.op == "symbol":
        return values[node.args[0]]
    if node.op == "constant":
        return node.args[0]
    if node not in known:
        known[node] = apply(node.op, [_value(arg, values, known) for arg in node.args])
    return known[node]


def _text(node: Expr, depth: int = 2) -> str:
    """An expression for people; what lies deep in it is left out."""
    if node.op == "symbol":
        return str(node.args[0])
    if node.op == "constant":
        return f"{node.args[0]:g}"
    if not depth:
        return "…"
    parts = [_text(arg, depth - 1) for arg in node.args]
    if len(parts) == 2 and not node.op.isalpha():
        return f"{parts[0]} {node.op} {parts[1]}"
    return f"{node.op}({', '.join(parts)})"
