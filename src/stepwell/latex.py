"""A rule as LaTeX: the author's own lines, in order, then the parameter."""

import operator
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from stepwell.symbolic import Expr, symbol

if TYPE_CHECKING:
    from stepwell.rule import Rule

_LETTERS = {
    "eps": "epsilon", "lr": "eta", "weight_decay": "lambda", "dampening": "tau", "lr_decay": "kappa",
    "momentum_decay": "psi", "eps_root": "epsilon_root",
}  # fmt: skip


def latex(rule: "Rule") -> str:
    r"""One line for each name the rule gives a value, then the update of p; state carries the index t, old state t-1.

    >>> from stepwell import rules
    >>> print(latex(rules.momentum))
    \begin{aligned}
    v_{t} &= \beta v_{t-1} + g_{t} \\
    p_{t} &= p_{t-1} - \eta v_{t}
    \end{aligned}
    """
    import sympy

    step, new, names = _traced(rule)
    known: dict[Expr, Any] = {}
    for node in _nodes((step, *new.values())):
        if node.op == "symbol":
            name = node.args[0]
            known[node] = letter(name, "t-1" if name in new or name == "p" else "t" if name == "g" else "")
    lines = []
    for node in _nodes((*new.values(), step)):
        states = [name for name, value in new.items() if value is node]
        for name in states or ([names[node]] if node in names and node is not step else []):
            now = letter(name, "t")
            lines.append(f"{sympy.latex(now)} &= {sympy.latex(_sympy(node, known))}")
            if node.op not in _LEAVES:
                known[node] = now
    taken = _sympy(step, known)
    change = sympy.latex(taken)
    if taken.is_Add or change.startswith("-"):
        change = rf"\left({change}\right)"
    lines.append(f"p_{{t}} &= p_{{t-1}} - {change}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _traced(rule: "Rule") -> tuple[Expr, dict[str, Expr], dict[Expr, str]]:
    """The step, the new state, and the author's names for what was computed on the way, rules it calls included."""
    names: dict[Expr, str] = {}
    call = type(rule).__call__.__code__

    def watch(frame: Any, event: str, _: Any) -> None:
        if event == "return" and frame.f_back is not None and frame.f_back.f_code is call:
            names.update({v: k for k, v in frame.f_locals.items() if isinstance(v, Expr) and v not in names})

    symbols = {name: symbol(name) for name in (*rule.arguments, *rule.hyperparameters)}
    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        step, *new = map(Expr.of, rule.bind(symbols, symbols))
    finally:
        sys.setprofile(before)
    return step, dict(zip(rule.state, new, strict=True)), {e: n for e, n in names.items() if e.op not in _LEAVES}


_LEAVES = ("symbol", "constant")


def _nodes(roots: tuple[Expr, ...]) -> Iterator[Expr]:
    """Every node once, arguments before what they make."""
    seen: set[Expr] = set()

    def visit(node: Expr) -> Iterator[Expr]:
        if node not in seen:
            seen.add(node)
            if node.op not in _LEAVES:
                for arg in node.args:
                    yield from visit(arg)
            yield node

    for root in roots:
        yield from visit(root)


def letter(name: str, time: str = "") -> Any:
    """A symbol that prints as the field writes it: beta1 as β₁, m_hat as m with a hat, lr as η."""
    import sympy

    head, *tail = _LETTERS.get(name, name).split("_")
    stem = sympy.latex(sympy.Symbol(head + "".join(t for t in tail if t == "hat")))
    if len(stem) > 1 and stem.isalpha():
        stem = rf"\mathrm{{{stem}}}"
    words = {"inf": r"\infty", "max": r"\max"}
    marks = [words.get(t, rf"\mathrm{{{t}}}") for t in tail if t != "hat"] + ([time] if time else [])
    if not marks:
        return sympy.Symbol(stem, real=True)
    if stem.endswith("}") and "_" in stem:  # beta1 is printed with an index of its own
        stem, own = stem[:-1].split("_{")
        marks.insert(0, own)
    return sympy.Symbol(rf"{stem}_{{{', '.join(marks)}}}", real=True)


def _functions() -> dict[str, Callable[..., Any]]:
    import sympy

    return {
        "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
        "<": sympy.StrictLessThan, "<=": sympy.LessThan, ">": sympy.StrictGreaterThan, ">=": sympy.GreaterThan,
        "neg": operator.neg, "abs": sympy.Abs, "sign": sympy.sign, "sqrt": sympy.sqrt, "exp": sympy.exp,
        "log": sympy.log, "tanh": sympy.tanh, "maximum": sympy.Max, "minimum": sympy.Min,
        "where": lambda c, a, b: sympy.Piecewise((a, c), (b, True)),
        "row_mean": sympy.Function(r"mean_{\mathrm{row}}"),
    }  # fmt: skip


def _sympy(root: Expr, known: dict[Expr, Any]) -> Any:
    """A node as SymPy has it; what lies below a known node is not looked at."""
    import sympy

    functions, done = _functions(), dict(known)

    def convert(node: Expr) -> Any:
        if node not in done:
            if node.op == "constant":
                number = node.args[0]
                done[node] = (
                    sympy.Integer(int(number)) if number % 1 == 0 and abs(number) < 1e6 else sympy.Float(repr(number))
                )
            else:
                done[node] = functions[node.op](*map(convert, node.args))
        return done[node]

    return convert(root)
