"""The closed form of many steps with a zero gradient, found in the expressions of one.

Where every state is kept or scaled by a number, and the parameter changes as

    p ← keep·p - drift·top / (first + spread·second)

with numbers `keep`, `drift` and `spread` that the step alone decides, any number of such steps has a closed form: the
sum of drift / (x + spread) over the steps is that of a measure, which a few levels of its continued fraction give.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from stepwell.kernels.simplify import ONE, ZERO, is_constant, simplified
from stepwell.kernels.trace import names_in
from stepwell.symbolic import Expr, sign, sqrt, symbol

Powers = dict[str, float]  # of each state's own scale


@dataclass(frozen=True)
class Sum:
    """`first + spread·second`; `scale` as a `Form` has it, of the number `spread`."""

    first: Expr
    second: Expr
    spread: Expr
    scale: Powers


@dataclass(frozen=True)
class Form:
    """`factor · scale · top · sum**power`: numbers apart from what a row held at its last step.

    `factor` is a number of the step; `scale` a product of powers of the factors by which states have shrunk since.
    """

    factor: Expr
    scale: Powers
    top: Expr
    sum: Sum | None = None
    power: int = 1


@dataclass(frozen=True)
class Closed:
    """The closed form.

    `scales` names the states that shrink; `divisors`, those of them whose scale must not be 0; `signs`, those whose
    sign moves the parameter.

    Its numbers are outputs of the program. keep, drift, spread: of the formula above. scale_…: of each such state.
    regular_…: what must be true of a step.
    """

    scales: tuple[str, ...]
    divisors: frozenset[str]
    signs: frozenset[str]
    drift: Form | None
    conditions: tuple[str, ...]


class _Open(Exception):
    """There is no closed form."""


class Closing:
    """Looks for the closed form of a step whose numbers are `scalars`."""

    def __init__(self, scalars: set[str]):
        self.scalars = scalars
        self.conditions: list[Expr] = []
        self.numbers: dict[str, Expr] = {}
        self.divisors: set[str] = set()
        self.signs: set[str] = set()
        self.forms: dict[Expr, Form] = {}

    def closed(self, new: Mapping[str, Expr], shrinking: Iterable[str]) -> Closed | None:
        """The closed form, with its numbers in `numbers`; `shrinking` names states whose scale must not be above 1."""
        try:
            scales = {name: self._multiple(name, self._form(new[name])) for name in new if name != "p"}
            keep = ZERO
            forms = [self._form(term, factor) for factor, term in self._terms(new["p"], ONE)]
            for form in forms:
                keep = keep + self._multiple("p", form) if "p" in names_in(form.top) else keep
            drift = self._drift([form for form in forms if "p" not in names_in(form.top)])
        except _Open:
            return None
        scales = {name: scale for name, scale in scales.items() if not is_constant(scale, 1.0)}
        self.conditions += [Expr("<=", (scales[name], ONE)) for name in shrinking if name in scales]
        conditions = {f"regular_{k}": condition for k, condition in enumerate(self.conditions)}
        self.numbers = {"keep": simplified(keep, {}), **{f"scale_{s}": x for s, x in scales.items()}, **conditions}
        if drift is not None:
            self.numbers |= {"drift": drift.factor} | ({"spread": drift.sum.spread} if drift.sum is not None else {})
        return Closed(tuple(scales), frozenset(self.divisors), frozenset(self.signs), drift, tuple(conditions))

    def _multiple(self, name: str, form: Form) -> Expr:
        if repr(form.top) != repr(symbol(name)) or form.sum is not None:
            raise _Open
        return simplified(form.factor, {})

    def _drift(self, forms: list[Form]) -> Form | None:
        if not forms:
            return None
        if len(forms) > 1 or (
            forms[0].sum is not None and (forms[0].power != -1 or "p" in _names_of_sum(forms[0].sum))
        ):
            raise _Open
        if len(names_in(forms[0].top)) > 1:  # a product of states may be too large where the rule's own order is not
            raise _Open
        self.divisors |= {s for s, power in forms[0].scale.items() if power < 0}
        if forms[0].sum is not None:
            self.divisors |= forms[0].sum.scale.keys()
        return replace(forms[0], factor=simplified(-forms[0].factor, {}))

    def _terms(self, expr: Expr, factor: Expr) -> list[tuple[Expr, Expr]]:
        """An expression as a sum of others, each times a number."""
        if expr.op in ("+", "-"):
            first, second = expr.args
            return self._terms(first, factor) + self._terms(second, factor if expr.op == "+" else -factor)
        if expr.op == "neg":
            return self._terms(expr.args[0], -factor)
        if expr.op == "*" and self._is_number(expr.args[0]):
            return self._terms(expr.args[1], factor * _rounded(expr.args[0]))
        if expr.op in ("*", "/") and self._is_number(expr.args[1]):
            return self._terms(expr.args[0], Expr(expr.op, (factor, _rounded(expr.args[1]))))
        return [(factor, expr)]

    def _is_number(self, expr: Expr) -> bool:
        return names_in(expr) <= self.scalars

    def _form(self, expr: Expr, factor: Expr = ONE) -> Form:
        if expr not in self.forms:
            self.forms[expr] = self._whole(expr)
        form = self.forms[expr]
        return replace(form, factor=factor * form.factor)

    def _whole(self, expr: Expr) -> Form:
        if self._is_number(expr):
            return Form(_rounded(expr), {}, ONE)
        if expr.op == "symbol":
            name = expr.args[0]
            return Form(ONE, {} if name == "p" else {name: 1.0}, expr)
        if expr.op == "where" and self._is_number(expr.args[0]):
            return self._either(*expr.args)
        forms = [self._form(a) for a in expr.args]
        if expr.op in ("+", "-"):
            return _sum(expr.op, *forms)
        if expr.op in ("*", "/"):
            return _product(expr.op, *forms)
        if expr.op not in ("neg", "sqrt", "sign", "abs") or forms[0].sum is not None:
            raise _Open
        form = forms[0]
        if expr.op == "neg":
            return replace(form, factor=-form.factor)
        if expr.op == "sqrt":
            self.conditions.append(Expr(">=", (form.factor, ZERO)))
            return Form(sqrt(form.factor), _times(form.scale, 0.5), sqrt(form.top))
        if expr.op == "sign":
            self.divisors |= form.scale.keys()
            self.signs |= form.scale.keys()
            return Form(sign(form.factor), {}, sign(form.top))
        return Form(abs(form.factor), form.scale, abs(form.top))

    def _either(self, condition: Expr, yes: Expr, no: Expr) -> Form:
        """A form times 1 or 0; or the first of two forms, on condition."""
        first = self._form(yes)
        if is_constant(no, 0.0):
            return replace(first, factor=Expr("where", (condition, first.factor, ZERO)))
        self.conditions.append(condition)
        return first


def _sum(op: str, a: Form, b: Form) -> Form:
    if a.sum is not None or b.sum is not None:
        raise _Open
    if repr(a.top) == repr(b.top) and a.scale == b.scale:
        return replace(a, factor=Expr(op, (a.factor, b.factor)))
    if is_constant(a.top, 1.0):
        a, b = b, a
    if op == "-" or not (_is_nonnegative(a.top) and _is_nonnegative(b.top)):
        raise _Open
    return Form(a.factor, a.scale, ONE, Sum(a.top, b.top, b.factor / a.factor, _plus(b.scale, a.scale, -1)))


def _product(op: str, a: Form, b: Form) -> Form:
    if a.sum is not None and b.sum is not None:
        raise _Open
    power = 1 if op == "*" else -1
    top = simplified(Expr(op, (a.top, b.top)), {})
    factor = Expr(op, (a.factor, b.factor))
    return Form(
        factor,
        _plus(a.scale, b.scale, power),
        top,
        b.sum if a.sum is None else a.sum,
        a.power if a.sum is not None else power * b.power,
    )


def _plus(a: Powers, b: Powers, times: float) -> Powers:
    powers = {name: a.get(name, 0.0) + times * b.get(name, 0.0) for name in {**a, **b}}
    return {name: power for name, power in powers.items() if power}


def _times(a: Powers, power: float) -> Powers:
    return {name: power * x for name, x in a.items()}


def _is_nonnegative(expr: Expr) -> bool:
    return expr.op in ("sqrt", "abs") or (expr.op == "constant" and expr.args[0] >= 0)


def _names_of_sum(sum: Sum) -> set[str]:
    return names_in(sum.first) | names_in(sum.second)


def _rounded(expr: Expr) -> Expr:
    """A number as the arrays' precision has it."""
    return expr if expr.op == "constant" else Expr("round", (expr,))
