"""A rule as LaTeX: the new state line by line, then the parameter."""

import functools
from typing import TYPE_CHECKING, Any

from stepwell.symbolic import Expr

if TYPE_CHECKING:
    from stepwell.rule import Rule

_GREEK = {"eps": "epsilon", "lr": "eta", "mu_product": "pi", "weight_decay": "lambda", "dampening": "delta"}


def _symbol(name: str, time: str = "") -> Any:
    import sympy

    stem = _GREEK.get(name, name)
    return sympy.Symbol(f"{{{sympy.latex(sympy.Symbol(stem))}}}_{{{time}}}" if time else stem, real=True)


def _functions() -> dict[str, Any]:
    import operator

    import sympy

    return {
        "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
        "<": sympy.StrictLessThan, "<=": sympy.LessThan, ">": sympy.StrictGreaterThan, ">=": sympy.GreaterThan,
        "neg": operator.neg, "abs": sympy.Abs, "sign": sympy.sign, "sqrt": sympy.sqrt, "exp": sympy.exp,
        "log": sympy.log, "tanh": sympy.tanh, "maximum": sympy.Max, "minimum": sympy.Min,
        "where": lambda c, a, b: sympy.Piecewise((a, c), (b, True)),
    }  # fmt: skip


def to_sympy(expr: Expr, known: dict[Expr, Any]) -> Any:
    """`expr` as a SymPy expression; a node found in `known` is replaced by what stands there."""
    import sympy

    functions = _functions()

    @functools.cache
    def convert(node: Expr) -> Any:
        if node in known:
            return known[node]
        if node.op == "constant":
            return sympy.nsimplify(node.args[0], rational=True)
        return functions[node.op](*map(convert, node.args))

    return convert(expr)


def latex(rule: "Rule") -> str:
    """One line a state array, then the update of p; new values carry the index t, old ones t-1."""
    import sympy

    step, *new = rule.trace
    old = dict(zip(rule.state, new, strict=True))
    leaves: dict[Expr, Any] = {}
    for node in _leaves(rule.trace):
        name = node.args[0]
        time = "t-1" if name in old or name == "p" else "t" if name == "g" else ""
        leaves[node] = _symbol(name, time)
    lines = []
    for name, expr in old.items():
        now = _symbol(name, "t")
        lines.append(f"{sympy.latex(now)} &= {sympy.latex(to_sympy(expr, leaves))}")
        leaves[expr] = now
    lines.append(f"p_{{t}} &= p_{{t-1}} - {sympy.latex(to_sympy(step, leaves), mul_symbol=None)}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _leaves(roots: tuple[Expr, ...]) -> list[Expr]:
    found: dict[Expr, None] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.op == "symbol":
            found[node] = None
        elif node.op != "constant":
            stack.extend(node.args)
    return list(found)
