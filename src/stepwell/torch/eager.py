"""The step of one parameter with torch's own operations: other devices, odd layouts, tensor subclasses."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stepwell.kernels import Stages, cpu, eager
from stepwell.rule import Rule

HALF = (torch.float16, torch.bfloat16)


@dataclass
class Loose:
    """A parameter that no kernel takes, with its state and the group that it reads."""

    p: Tensor
    state: dict[str, Tensor]
    rule: Rule
    stages: Stages
    group: int

    def sum_of_squares(self) -> float:
        """Σg², in double precision."""
        return float(_gathered(_real(self.p.grad).double().square().sum())) if self.p.grad is not None else 0.0

    def gradient_is_finite(self) -> bool:
        """Whether the gradient has no NaN or infinity."""
        return self.p.grad is None or is_finite(self.p.grad)

    @torch.no_grad()
    def run(self, scalars: dict[str, float]) -> None:
        """One step in place; half precision is computed in float32 and rounded once, as the kernels do."""
        if self.p.grad is None:
            return
        program = cpu.program(self.rule, self.stages)
        places = {"p": self.p, "g": self.p.grad, **self.state}
        arrays: dict[str, Any] = {name: _wide(places[name]) for name in program.arrays}
        arrays |= {name: float(self.state[name]) for name in program.scalar_state}
        t = float(self.state["step"]) + 1
        new = eager.step(self.rule, arrays, {**scalars, "t": t}, self.stages)
        self.state["step"].fill_(t)
        for name, value in new.items():
            place = places[name]
            if isinstance(value, Tensor):
                place.copy_(torch.view_as_complex(value.contiguous()) if place.is_complex() else value)
            else:
                place.fill_(value)
        if self.stages.zero:
            self.p.grad.zero_()

    def resting(self) -> list[tuple[Tensor, Tensor]]:
        """The parameter and its average, if it has no gradient."""
        return [(self.p, self.state["ema"])] if self.p.grad is None else []


def is_finite(x: Tensor) -> bool:
    """Whether a tensor has no NaN or infinity, on any of the machines that it is spread over."""
    return bool(_gathered(torch.isfinite(x).all()))


def _gathered(x: Any) -> Any:
    return x.full_tensor() if hasattr(x, "full_tensor") else x  # a DTensor's number is one machine's share


def _real(x: Tensor) -> Tensor:
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in HALF else _real(x)
