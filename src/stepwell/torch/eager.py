"""The step of one parameter with torch's own operations: other devices, odd layouts, tensor subclasses."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from stepwell.kernels import Stages, cpu, eager
from stepwell.rule import Rule
from stepwell.torch.coo import by_whole_rows, coo, merged, refuse_outside

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
        return 0.0 if self.p.grad is None else float(_real(self.p.grad).double().square().sum())

    def gradient_is_finite(self) -> bool:
        """Whether the gradient has no NaN or infinity."""
        return self.p.grad is None or is_finite(self.p.grad)

    def check(self) -> None:
        """Refuse a gradient that names what the parameter does not have; a dense one names nothing."""

    @torch.no_grad()
    def run(self, scalars: dict[str, float]) -> None:
        """One step in place; half precision is computed in float32 and rounded once, as the kernels do."""
        if self.p.grad is None:
            return
        self._step(self.p.grad, scalars, self.stages)
        self.state["step"] += 1
        if self.stages.zero:
            self.p.grad.zero_()

    def _step(self, g: Tensor, scalars: dict[str, float], stages: Stages, part: Any = None) -> None:
        """A step of a part of the parameter, with the gradient of that part."""
        program = cpu.program(self.rule, stages)
        places = {"p": self.p, **self.state}
        arrays: dict[str, Any] = {"g": _wide(g)}
        arrays |= {name: _wide(_of(places[name], part)) for name in program.arrays if name != "g"}
        arrays |= {name: float(self.state[name]) for name in program.scalar_state}
        new = eager.step(self.rule, arrays, {**scalars, "t": float(self.state["step"]) + 1}, stages)
        for name, value in new.items():
            place = places[name]
            if not isinstance(value, Tensor):
                place.fill_(value)
            elif part is None:
                place.copy_(_as(place, value))
            else:
                place[part] = _as(place[part], value).to(place.dtype)

    def resting(self) -> list[tuple[Tensor, Tensor]]:
        """The parameter and its average, if it has no gradient."""
        return [(self.p, self.state["ema"])] if self.p.grad is None else []


class LooseRows(Loose):
    """A parameter with a sparse gradient that no kernel takes; in exact mode its step is a dense one.

    `still` says whether rows without a gradient stay as they are, but for their average.
    """

    def __init__(self, *of_loose: Any, still: bool):
        super().__init__(*of_loose)
        self.still, self.by_rows = still, cpu.program(self.rule, self.stages).by_rows

    def check(self) -> None:
        """Refuse a gradient that names what the parameter does not have."""
        if self.p.grad is not None:
            refuse_outside(self.p.grad)

    def sum_of_squares(self) -> float:
        """Σg² of the merged rows, in double precision."""
        return 0.0 if self.p.grad is None else float(_real(self._merged().values()).double().square().sum())

    def gradient_is_finite(self) -> bool:
        """Whether no merged row has a NaN or infinity."""
        return self.p.grad is None or is_finite(self._merged().values())

    @torch.no_grad()
    def run(self, scalars: dict[str, float]) -> None:
        """One step in place."""
        if self.p.grad is None:
            return
        if self.still and not (self.by_rows and self.p.dim() < 2):
            g, touched = self._merged(), replace(self.stages, ema=False, zero=False)
            self._step(g.values(), scalars, touched, tuple(g.indices()))
            if self.stages.ema:
                average = self.state["ema"]
                average.lerp_(self.p.detach().to(average.dtype), 1 - scalars["ema_decay"])
        else:
            self._step(self.p.grad.to_dense(), scalars, self.stages)
        self.state["step"] += 1
        if self.stages.zero:
            self.p.grad.zero_()

    def _merged(self) -> Tensor:
        assert self.p.grad is not None
        g = coo(self.p.grad)
        return merged(by_whole_rows(g) if self.by_rows and g.sparse_dim() == g.dim() > 1 else g)


def is_finite(x: Tensor) -> bool:
    """Whether a tensor has no NaN or infinity."""
    return bool(torch.isfinite(x).all())


def _of(x: Tensor, part: Any) -> Tensor:
    return x if part is None else x[part]


def _real(x: Tensor) -> Tensor:
    """Real and imaginary parts in turn along the last axis, so that a row stays one."""
    if not x.is_complex():
        return x
    parts = torch.view_as_real(x.resolve_conj())
    return parts.flatten(-2) if x.dim() else parts


def _as(place: Tensor, value: Tensor) -> Tensor:
    if place.is_complex():
        return torch.view_as_complex(value.reshape(*place.shape, 2).contiguous())
    return value if place.dim() else value.reshape(())  # one complex number is a row of two


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in HALF else _real(x)
