"""The numbers of a step, from tensors.

Of a large model only every n-th coordinate of each tensor is looked at, so that what a look takes is bounded: in time,
and in memory beside the model's own.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepwell.lab.health.forms import DECAY, EPSILON, Form, decoupled

if TYPE_CHECKING:
    from torch import Tensor

LOOKED_AT = 1 << 22  # coordinates, at most
TWICE = 2.0  # how much longer a step is without ε where ε rules it


class Coordinates:
    """The same coordinates of tensors of these shapes, one after the other in a vector; of complex ones both parts."""

    def __init__(self, parameters: Sequence["Tensor"]):
        counts = [p.numel() * (2 if p.is_complex() else 1) for p in parameters]
        self.stride = max(1, math.ceil(sum(counts) / LOOKED_AT))
        self.lengths = [math.ceil(count / self.stride) for count in counts]

    def vector(self, tensors: Sequence["Tensor | None"]) -> "Tensor":
        """Their values in single or double precision; 0 for a tensor that is not there."""
        import torch

        with torch.no_grad():
            parts = [torch.zeros(n) if x is None else self._of(x) for x, n in zip(tensors, self.lengths, strict=True)]
            if len({x.device for x in parts}) > 1:
                device = next(x.device for x in tensors if x is not None)
                parts = [x.to(device) for x in parts]
            return torch.cat(parts) if parts else torch.zeros(0)

    def norms(self, *vectors: "Tensor") -> list[list[float]]:
        """For each vector of their coordinates the norm of each tensor."""
        import torch

        parts = [part for vector in vectors for part in vector.split(self.lengths)]
        if not parts:
            return [[] for _ in vectors]
        scale, count = math.sqrt(self.stride), len(self.lengths)
        found = [x * scale for x in torch.stack(torch._foreach_norm(parts)).tolist()]
        return [found[k * count : (k + 1) * count] for k in range(len(vectors))]

    def _of(self, x: "Tensor") -> "Tensor":
        import torch

        if x.layout is not torch.strided:
            x = x.to_dense()
        if x.is_complex():
            x = torch.view_as_real(x.resolve_conj())
        flat = x.reshape(-1)
        if self.stride > 1:
            flat = flat[:: self.stride]
        return flat if flat.dtype in (torch.float32, torch.float64) else flat.float()


def products(*vectors: "Tensor") -> list[list[float]]:
    """The product of each with each, x·y."""
    import torch

    rows = torch.stack(vectors)
    return (rows @ rows.T).tolist()


def cosine(product: float, square: float, other: float) -> float | None:
    """x·y/‖x‖‖y‖, from x·y, x·x and y·y; None where one is 0 or not finite."""
    sizes = math.sqrt(square) * math.sqrt(other) if square >= 0 and other >= 0 else math.nan
    return product / sizes if sizes and math.isfinite(sizes) else None


def eps_share(
    forms: Sequence[Form | None],
    members: Sequence[Sequence[Any]],
    states: Mapping[Any, Any],
    factor: float = 1.0,
) -> float | None:
    """The share of coordinates whose step would be at least twice as long without ε.

    Coordinates whose gradient has always been 0 have no such step, and do not count; nor do rules without ε. Gradients
    are multiplied by `factor` first.
    """
    ruled, counted = 0, 0
    for found, parameters in zip(forms, members, strict=True):
        if found is None or EPSILON not in found.rule.hyperparameters:
            continue
        moved = [p for p in parameters if p.grad is not None and not (p.grad.is_sparse or p.is_complex())]
        if moved:
            with_eps, without = _steps(found, moved, states, factor)
            known = without.isfinite() & (without != 0)
            ruled += int((without.abs() >= TWICE * with_eps.abs())[known].sum())
            counted += int(known.sum())
    return ruled / counted if counted else None


def _steps(
    found: Form, parameters: Sequence[Any], states: Mapping[Any, Any], factor: float
) -> tuple["Tensor", "Tensor"]:
    """The rule's step with its ε and without, at all looked-at coordinates of these parameters."""
    at = Coordinates(parameters)
    arrays: dict[str, Any] = {"p": at.vector(parameters), "g": factor * at.vector([p.grad for p in parameters])}
    held = [found.state(states.get(p, {}), p) for p in parameters]
    arrays |= {name: at.vector([each[name] for each in held]) for name in found.rule.state}
    arrays["t"] = float(states.get(parameters[0], {}).get("step", 0)) + 1
    hyper = dict(found.hyper) | ({DECAY: 0.0} if decoupled(found) else {})
    if not hyper.get("lr", 1.0):
        hyper["lr"] = 1.0  # what ε rules does not hang on the rate
    rule = found.rule
    return rule.bind(arrays, hyper)[0], rule.bind(arrays, hyper | {EPSILON: 0.0})[0]
