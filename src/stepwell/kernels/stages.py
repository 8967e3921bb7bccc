"""The whole step around a rule, written once; every engine runs or prints this function.

In order: scale the gradient (maximize, clipping, loss scaling: one factor), add weight decay to it (L2), apply the
rule, subtract its step, average the weights (EMA), zero the gradient.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stepwell.rule import Rule


@dataclass(frozen=True)
class Stages:
    """Which stages a step has. Each brings the scalar that STAGE_SCALARS names; `zero` brings none."""

    scale: bool = False
    decay: bool = False
    ema: bool = False
    zero: bool = False

    @property
    def scalars(self) -> tuple[str, ...]:
        """The names of the scalars these stages read, in the order in which `whole_step` wants them."""
        return tuple(scalar for stage, scalar in STAGE_SCALARS.items() if getattr(self, stage))


STAGE_SCALARS = {"scale": "grad_scale", "decay": "l2_decay", "ema": "ema_decay"}


def whole_step(rule: Rule, stages: Stages) -> Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]:
    """A pure function from (arrays, scalars), by name, to the new arrays `p`, the state, and as asked `ema` and `g`."""

    def step(arrays: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        p, g = arrays["p"], arrays["g"]
        if stages.scale:
            g = scalars["grad_scale"] * g
        if stages.decay:
            g = g + scalars["l2_decay"] * p
        change, *state = rule.bind({**arrays, "g": g}, scalars)
        new = {"p": p - change, **dict(zip(rule.state, state, strict=True))}
        if stages.ema:
            decay = scalars["ema_decay"]
            new["ema"] = decay * arrays["ema"] + (1 - decay) * new["p"]
        return new

    return step
