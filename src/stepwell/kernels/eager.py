"""The rule on whole arrays of any library: the reference, and the engine where no kernel applies."""

from collections.abc import Mapping
from typing import Any

from stepwell.kernels.stages import Stages, whole_step
from stepwell.rule import Rule


def step(
    rule: Rule, arrays: Mapping[str, Any], scalars: Mapping[str, Any], stages: Stages = Stages()
) -> dict[str, Any]:
    """New arrays from old ones, nothing mutated; the arrays' own library does the work.

    Args:
        rule: the rule.
        arrays: `p`, `g`, the state by name, `ema` if the stages ask for it.
        scalars: every hyperparameter, `t`, and the stages' scalars.
        stages: what surrounds the rule.

    Returns:
        `p`, the new state by name, and `ema`.

        >>> import numpy as np
        >>> from stepwell import rules
        >>> step(rules.momentum, {"p": np.ones(2), "g": np.ones(2), "v": np.zeros(2)}, {"lr": 0.5, "beta": 0.9})
        {'p': array([0.5, 0.5]), 'v': array([1., 1.])}
    """
    both = {**arrays, "t": scalars["t"]} if rule.reads_time else arrays
    return whole_step(rule, stages)(both, scalars)
