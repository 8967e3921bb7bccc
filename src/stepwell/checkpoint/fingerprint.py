"""A short text that two rules share if and only if they say the same formula."""

import hashlib

from stepwell.rule import Rule
from stepwell.symbolic import Expr


def fingerprint(rule: Rule) -> str:
    """The formula's hash: its operations in the author's order, names of arguments, and where the state starts.

    Defaults, domains, documentation and the rule's own name do not count. It is made from the traced expressions alone,
    so it is the same in every process and version of Python and NumPy.
    """
    known: dict[Expr, str] = {}
    lines = [f"{name} starts at {_number(start)}" for name, start in rule.start.items()]
    lines += [f"{name} = {_digest(expr, known)}" for name, expr in zip(("step", *rule.state), rule.trace, strict=True)]
    return _hash("\n".join(lines))


def _digest(expr: Expr, known: dict[Expr, str]) -> str:
    if expr.op in ("symbol", "constant"):
        return _number(expr.args[0])
    if expr not in known:
        known[expr] = _hash(f"{expr.op}({', '.join(_digest(arg, known) for arg in expr.args)})")
    return known[expr]


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else float(value).hex()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
