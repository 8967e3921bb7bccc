"""The whole step around a rule, written once; every engine runs or prints this function.

In order: scale the gradient (maximize, clipping of its norm, loss scaling: one factor), clip each of its elements, add
weight decay to it (L2), clip each element of that, apply the rule, subtract its step, average the weights (EMA), zero
the gradient.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stepwell.rule import Rule, sign, where


@dataclass(frozen=True)
class Stages:
    """Which stages a step has. Each brings the scalar that STAGE_SCALARS names; `zero` brings none."""

    scale: bool = False
    decay: bool = False
    ema: bool = False
    zero: bool = False
    clip: bool = False
    clip_decayed: bool = False

    @property
    def scalars(self) -> tuple[str, ...]:
        """The names of the scalars these stages read, in the order in which `whole_step` wants them."""
        return tuple(scalar for stage, scalar in STAGE_SCALARS.items() if getattr(self, stage))


STAGE_SCALARS = {
    "scale": "grad_scale", "clip": "clip_value", "decay": "l2_decay", "clip_decayed": "clip_decayed_value",
    "ema": "ema_decay",
}  # fmt: skip


def whole_step(rule: Rule, stages: Stages) -> Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]:
    """A pure function from (arrays, scalars), by name, to the new arrays `p`, the state, and as asked `ema` and `g`."""

    def step(arrays: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        p, g = arrays["p"], arrays["g"]
        if stages.scale:
            g = scalars["grad_scale"] * g
        if stages.clip:
            g = _clipped(g, scalars["clip_value"])
        if stages.decay:
            g = g + scalars["l2_decay"] * p
        if stages.clip_decayed:
            g = _clipped(g, scalars["clip_decayed_value"])
        change, *state = rule.bind({**arrays, "g": g}, scalars)
        new = {"p": p - change, **dict(zip(rule.state, state, strict=True))}
        if stages.ema:
            decay = scalars["ema_decay"]
            new["ema"] = decay * arrays["ema"] + (1 - decay) * new["p"]
        return new

    return step


def _clipped(g: Any, bound: Any) -> Any:
    """`g` within [-bound, bound]; a NaN stays one, and of a zero gradient a trace sees that it stays zero."""
    return where(abs(g) > bound, sign(g) * bound, g)
