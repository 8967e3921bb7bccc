"""A traced program, run operation by operation on the arrays of any library: what JAX, Keras and the like compile.

Scalars may be Python's numbers or the library's own scalars in double precision, also symbolic ones; either way they
are computed first and in double precision, as in the kernels, and only then brought to the arrays' precision.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stepwell import symbolic
from stepwell.kernels.trace import Operation, Program

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "neg": operator.neg, "abs": abs,
    "sqrt": symbolic.sqrt, "exp": symbolic.exp, "log": symbolic.log, "tanh": symbolic.tanh, "where": symbolic.where,
    "maximum": symbolic.maximum, "minimum": symbolic.minimum, "sign": symbolic.sign, "row_mean": symbolic.row_mean,
}  # fmt: skip


def run(
    program: Program, arrays: Mapping[str, Any], scalars: Mapping[str, Any], narrow: Callable[[Any], Any] = lambda x: x
) -> dict[str, Any]:
    """The program's outputs, by name; nothing is mutated.

    Args:
        program: the traced step.
        arrays: those that `program.arrays` names and the body reads, all of one dtype and one library.
        scalars: `t`, the scalar state, and `program.scalars`, as numbers or as double-precision scalars of the library.
        narrow: brings a scalar of the library to the arrays' dtype; numbers take it by themselves.

        >>> from stepwell import rules
        >>> from stepwell.kernels.trace import updates
        >>> run(updates(rules.momentum), {"g": np.ones(2), "v": np.ones(2)}, {"t": 1, "lr": 0.5, "beta": 0.5})
        {'update': array([-0.75, -0.75]), 'v': array([1.5, 1.5])}
    """
    wide = prologue(program, scalars)
    return body(program, arrays, narrowed(wide, narrow)) | numbers(program, wide)


def prologue(program: Program, scalars: Mapping[str, Any]) -> dict[str, Any]:
    """The scalars, and those that are computed from them, by name."""
    values = dict(scalars)
    with np.errstate(all="ignore"):  # as silent as the kernels
        for operation in program.prologue:
            values[operation.target] = _do(operation, values)
    return values


def narrowed(scalars: Mapping[str, Any], narrow: Callable[[Any], Any]) -> dict[str, Any]:
    """The scalars as the body takes them: those of the library brought to the arrays' precision, but truths."""
    return {name: narrow(x) if _is_wide(x) else x for name, x in scalars.items()}


def body(program: Program, arrays: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs that are arrays, from arrays and scalars of one precision; numbers take it by themselves."""
    values, like = {**scalars, **arrays}, next(iter(arrays.values()), None)
    with np.errstate(all="ignore"):
        for operation in program.body:
            values[operation.target] = _do(operation, values, like)
    return {name: _value(new, values) for name, new in program.outputs.items() if name not in program.scalar_state}


def numbers(program: Program, scalars: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs that are numbers, from what `prologue` computed."""
    return {name: _value(program.outputs[name], scalars) for name in program.scalar_state}


def _value(new: str | float, values: Mapping[str, Any]) -> Any:
    return values[new] if isinstance(new, str) else new


def _do(operation: Operation, values: Mapping[Any, Any], like: Any = None) -> Any:
    args = [values[a] if isinstance(a, str) else a for a in operation.args]
    if like is not None and operation.op == "where" and isinstance(args[1], float) and isinstance(args[2], float):
        args[1] = symbolic.full_like(like, args[1])  # a choice between two numbers has the arrays' dtype
    return apply(operation.op, args)


def apply(op: str, args: list[Any]) -> Any:
    """One operation of an expression on numbers, arrays of any library, or expressions."""
    if all(isinstance(a, (int, float)) for a in args) and op != "where":
        args = [np.float64(a) for a in args]  # a division by 0 is then infinite, as in the kernels
        result = _OPERATIONS[op](*args)
        return bool(result) if isinstance(result, (bool, np.bool_)) else float(result)
    return _OPERATIONS[op](*args)


def _is_wide(value: Any) -> bool:
    """Whether a value is a library's scalar, and no truth."""
    return not isinstance(value, (bool, int, float)) and "bool" not in str(getattr(value, "dtype", ""))
