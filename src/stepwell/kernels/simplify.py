"""Expressions without what a zero makes vanish."""

from stepwell.symbolic import Expr

ZERO, ONE = Expr.of(0.0), Expr.of(1.0)


def simplified(expr: Expr, done: dict[Expr, Expr]) -> Expr:
    """The expression without what a zero makes vanish."""
    if expr.op in ("symbol", "constant"):
        return expr
    if expr not in done:
        args = tuple(simplified(a, done) for a in expr.args)
        shorter = _without_zeros(expr.op, args)
        done[expr] = Expr(expr.op, args) if shorter is None else shorter
    return done[expr]


def _without_zeros(op: str, args: tuple[Expr, ...]) -> Expr | None:
    zero = [is_constant(a, 0.0) for a in args]
    if op in ("*", "/") and (zero[0] or (op == "*" and zero[1])):
        return ZERO
    if op == "+" and any(zero):
        return args[zero.index(True) - 1]
    if op == "-" and any(zero):
        return args[0] if zero[1] else -args[1]
    if op in ("neg", "abs", "sqrt", "sign", "tanh", "row_mean") and zero[0]:
        return ZERO
    if op == "**" and zero[0] and args[1].op == "constant" and args[1].args[0] > 0:
        return ZERO
    if (op == "*" and is_constant(args[0], 1.0)) or (op == "where" and repr(args[1]) == repr(args[2])):
        return args[1]
    return args[0] if op in ("*", "/", "**") and is_constant(args[1], 1.0) else None


def is_constant(expr: Expr, number: float) -> bool:
    """Whether an expression is this number."""
    return expr.op == "constant" and expr.args[0] == number
