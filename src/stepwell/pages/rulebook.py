"""The family of rules as text and as data, all of it read from the rules themselves."""

import ast
import inspect
import textwrap
from typing import Any

from stepwell.rule import Rule


def formula(rule: Rule) -> list[str]:
    """The lines of a rule's body as its author wrote them, which read as mathematics; without a source, its trace.

    >>> from stepwell import rules
    >>> print("\\n".join(formula(rules.momentum)))
    v = beta * v + g
    return lr * v, v
    """
    try:
        source = textwrap.dedent(inspect.getsource(rule.formula))
    except OSError:
        return ["return " + ", ".join(map(str, rule.trace))]
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    body = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    return textwrap.dedent("\n".join(source.splitlines()[body[0].lineno - 1 :])).splitlines()


def facts(rule: Rule) -> dict[str, Any]:
    """A rule as plain Python that JSON can write."""
    hypers = [{"name": h.name, "default": h.default, "domain": h.domain.words} for h in rule.hyperparameters.values()]
    return {
        "name": rule.name,
        "summary": rule.summary,
        "arguments": list(rule.arguments),
        "formula": formula(rule),
        "state": {name: rule.start[name] for name in rule.state},
        "hyperparameters": hypers,
        "reads_parameter": rule.reads_parameter,
        "reads_time": rule.reads_time,
        "reference": rule.reference,
    }


def entry(rule: Rule) -> str:
    """A rule in a few lines: what it is, its formula, its state, its hyperparameters and where it comes from."""
    known = facts(rule)
    state = ", ".join(f"{name} from {_number(start)}" for name, start in known["state"].items())
    hypers = [(h["name"], _number(h["default"]), h["domain"]) for h in known["hyperparameters"]]
    names, defaults = (max((len(h[i]) for h in hypers), default=0) for i in (0, 1))
    table = [f"{name:<{names}}  {default:<{defaults}}  {words}" for name, default, words in hypers]
    lines = [
        known["summary"],
        "",
        *(f"    {line}" for line in known["formula"]),
        "",
        f"state      {state or 'none'}",
        *(f"{'' if i else 'arguments':<10} {line}" for i, line in enumerate(table)),
        f"reference  {known['reference']}",
    ]
    return "\n".join([known["name"], *(f"  {line}".rstrip() for line in lines)])


def _number(value: float | str | None) -> str:
    return "required" if value is None else value if isinstance(value, str) else f"{value:g}"
