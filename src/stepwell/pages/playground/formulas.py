"""Surfaces as JavaScript: value and gradient printed from SymPy's own derivatives, common parts computed once."""

from typing import TYPE_CHECKING, Any

from stepwell.kernels.javascript import literal

if TYPE_CHECKING:
    from stepwell.functions.surfaces import Surface

PRELUDE = """\
const square = (x) => x * x;
const cube = (x) => x * x * x;"""
"""What printed surfaces call."""

_POWERS = {2: "square({})", 3: "cube({})", 4: "square(square({}))"}


def surface_source(surface: "Surface") -> str:
    """An object of two functions of a point, an array: `value(x)`, and `gradient(x, g)`, which fills g.

    >>> from stepwell.functions import surfaces
    >>> print(surface_source(surfaces.ravine))
    {
      value: (x) => {
        const x1 = x[0], x2 = x[1];
        return 0.1*square(x1) + 2*square(x2);
      },
      gradient: (x, g) => {
        const x1 = x[0], x2 = x[1];
        g[0] = 0.2*x1;
        g[1] = 4*x2;
      },
    }
    """
    import sympy

    slopes = [sympy.diff(surface.expression, s) for s in surface.symbols]
    value = _body(surface, [surface.expression], ["return {0};"])
    gradient = _body(surface, slopes, [f"g[{k}] = {{0}};" for k in range(len(slopes))])
    return f"{{\n  value: (x) => {{\n{value}\n  }},\n  gradient: (x, g) => {{\n{gradient}\n  }},\n}}"


def _body(surface: "Surface", expressions: list[Any], statements: list[str]) -> str:
    import sympy

    names = sympy.numbered_symbols("c")
    common, reduced = sympy.cse(expressions, symbols=names)
    printer = _printer()
    loads = ", ".join(f"{s} = x[{k}]" for k, s in enumerate(surface.symbols))
    lines = [f"const {loads.replace('x = x[0]', 'x1 = x[0]')};"]
    lines += [f"const {name} = {printer.doprint(part)};" for name, part in common]
    lines += [s.format(printer.doprint(e)) for s, e in zip(statements, list(reduced), strict=True)]
    return "\n".join(f"    {line}" for line in lines)


def _printer() -> Any:
    from sympy.printing.jscode import JavascriptCodePrinter

    class Printer(JavascriptCodePrinter):
        """SymPy's, with doubles in full, and small powers as products."""

        def _print_Float(self, expr: Any) -> str:
            return literal(float(expr))

        def _print_Symbol(self, expr: Any) -> str:
            return "x1" if expr.name == "x" else expr.name

        def _print_Pow(self, expr: Any) -> str:
            known = _POWERS.get(expr.exp)
            return known.format(self._print(expr.base)) if known else super()._print_Pow(expr)

    return Printer()
