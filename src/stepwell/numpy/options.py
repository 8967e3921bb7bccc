"""What an optimizer over arrays does beside its rule."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from stepwell.domain import Decay, NonNegative, Positive, check, optional
from stepwell.kernels import Stages
from stepwell.kernels.table import MODES


@dataclass(frozen=True)
class Options:
    """Each option in its domain.

    Attributes:
        weight_decay: added to the gradient times the parameter (L2).
        maximize: ascend instead.
        clip_norm: scale all gradients so that their global L2 norm is at most this.
        ema: keep an average of the arrays with this decay.
        check_finite: refuse gradients with a NaN or an infinity before anything changes.
        sparse: what sparse gradients mean for the rows that they do not name: "lazy", nothing (but the step count and
            the average move on); "exact", a gradient of 0, as a dense one has there: see `Optimizer.catch_up`.
    """

    weight_decay: float = 0.0
    maximize: bool = False
    clip_norm: float | None = None
    ema: float | None = None
    check_finite: bool = False
    sparse: str = MODES[0]

    def __post_init__(self):
        plain = {
            "weight_decay": check(NonNegative, "weight_decay", self.weight_decay),
            "clip_norm": optional(Positive, "clip_norm", self.clip_norm),
            "ema": optional(Decay, "ema", self.ema),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        for name in ("maximize", "check_finite"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False; got {getattr(self, name)!r}")
        if self.sparse not in MODES:
            raise ValueError(f"sparse must be {' or '.join(map(repr, MODES))}; got {self.sparse!r}")

    @property
    def stages(self) -> Stages:
        """What surrounds the rule in each step."""
        scale = self.maximize or self.clip_norm is not None
        return Stages(scale=scale, decay=self.weight_decay != 0, ema=self.ema is not None)


KEYWORDS: Mapping[str, Any] = {f.name: f.default for f in fields(Options) if f.name != "weight_decay"}
