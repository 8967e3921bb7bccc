"""A look at one step: the parameters before it and after it, its gradient, and the gradient of the step after."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from stepwell.lab.health.forms import DECAY, decoupled
from stepwell.lab.health.gauges import cosine, eps_share, products
from stepwell.lab.health.sample import Sample

if TYPE_CHECKING:
    from torch import Tensor

    from stepwell.lab.health.record import Record

TINY = 1e-30


@dataclass
class Look:
    """What a sample is made of."""

    weights: "Tensor"
    gradient: "Tensor"
    slopes: list[float]
    parts: dict[str, Any]
    deep: bool
    update: "Tensor | None" = None

    @classmethod
    def before(cls, record: "Record", optimizer: Any, deep: bool) -> Self:
        """When the gradients are there and the step is not made."""
        at, parameters, gradient = record.coordinates, record.parameters, cls.gradient_of(record, optimizer)
        (slopes,) = at.norms(gradient)
        parts: dict[str, Any] = {"lr": max(float(group["lr"]) for group in optimizer.param_groups)}
        if not all(slopes):
            named = list(zip(record.names, parameters, slopes, strict=True))
            parts["missing"] = tuple(name for name, p, _ in named if p.grad is None)
            parts["zero"] = tuple(name for name, p, size in named if p.grad is not None and not size)
        if deep:
            members = [group["params"] for group in optimizer.param_groups]
            parts["eps_share"] = eps_share(record.forms(), members, optimizer.state, _factor(optimizer))
        return cls(at.vector(parameters), gradient, slopes, parts, deep)

    @staticmethod
    def gradient_of(record: "Record", optimizer: Any) -> "Tensor":
        """The gradient now."""
        gradient = record.coordinates.vector([p.grad for p in record.parameters])
        return gradient if (factor := _factor(optimizer)) == 1.0 else factor * gradient

    def after(self, step: int, loss: float | None, record: "Record", optimizer: Any) -> None:
        """When the step is made."""
        at, names = record.coordinates, record.names
        self.update = at.vector(record.parameters) - self.weights
        sizes, moved = at.norms(self.weights, self.update)
        self.parts |= {
            "step": step,
            "loss": loss,
            "gradient": _whole(self.slopes),
            "weight": _whole(sizes),
            "update": _whole(moved),
            "gradients": dict(zip(names, self.slopes, strict=True)),
            "ratios": {n: m / max(s, TINY) for n, m, s in zip(names, moved, sizes, strict=True)},
        }
        if self.deep:
            decays = _decays(record, optimizer, sizes, moved, self.slopes)
            self.parts["decays"] = dict(zip(names, decays, strict=True))

    def sample(self, following: "Tensor | None") -> Sample:
        """The sample, with what the gradient of the next step tells of this one."""
        update = self.update
        assert update is not None
        if following is None or following.shape != update.shape:
            (gg, gu), (_, uu) = products(self.gradient, update)
            return Sample(**self.parts, agreement=cosine(-gu, gg, uu))
        (gg, gu, gf), (_, uu, uf), (_, _, ff) = products(self.gradient, update, following)
        return Sample(
            **self.parts,
            agreement=cosine(-gu, gg, uu),
            turn=cosine(uf, uu, ff),
            signal=cosine(gf, gg, ff),
            noise=max(gg - gf, 0.0) / gf if gf > 0 else math.inf if gg else None,
        )


def _factor(optimizer: Any) -> float:
    """By what a fused optimizer's kernel will multiply gradients, which still have a GradScaler's factor."""
    scale = getattr(optimizer, "grad_scale", None)
    return 1.0 if scale is None else 1.0 / float(scale)


def _whole(norms: list[float]) -> float:
    return sum(x * x for x in norms) ** 0.5


def _decays(
    record: "Record", optimizer: Any, sizes: list[float], moved: list[float], slopes: list[float]
) -> list[float]:
    """By parameter how large weight decay is beside the rest: decoupled lr·λ‖p‖/‖Δp‖, else λ‖p‖/(λ‖p‖+‖g‖).

    It is 0 where there is nothing to be beside: a parameter without a gradient, or one that did not move.
    """
    found = {}
    measured = dict(zip(record.named, zip(sizes, moved, slopes, strict=True), strict=True))
    for group, form in zip(optimizer.param_groups, record.forms(), strict=True):
        rate, decay = float(group["lr"]), float(group.get(DECAY) or 0.0)
        for key in [id(p) for p in group["params"] if id(p) in measured]:
            size, change, slope = measured[key]
            if not change or not slope:
                found[key] = 0.0
            else:
                found[key] = rate * decay * size / change if decoupled(form) else decay * size / (decay * size + slope)
    return [found[key] for key in record.named]
