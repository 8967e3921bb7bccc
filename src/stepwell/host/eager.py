"""The step of one array with NumPy's own operations: odd layouts, rules that read whole rows, no compiler."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stepwell.kernels import Stages, cpu, eager
from stepwell.rule import Rule


def update(
    rule: Rule, stages: Stages, p: np.ndarray, g: np.ndarray, state: dict[str, Any], scalars: Mapping[str, float],
    part: Any = ...,
) -> None:  # fmt: skip
    """One step in place, of the part of the array that `g` is the gradient of."""
    program = cpu.program(rule, stages)
    wide = np.float32 if p.dtype.itemsize == 2 else p.dtype
    arrays: dict[str, Any] = {"p": p[part].astype(wide), "g": g.astype(wide)}
    arrays |= {s: state[s][part].astype(wide) for s in program.arrays[2:]}
    arrays |= {s: float(state[s]) for s in program.scalar_state}
    with np.errstate(all="ignore"):  # as silent as the kernels
        new = eager.step(rule, arrays, {**scalars, "t": state["step"] + 1}, stages)
        for name, value in new.items():
            array = p if name == "p" else state[name]
            array[... if name in program.scalar_state else part] = value
    state["step"] += 1
