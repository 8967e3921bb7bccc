"""The sharpness of a loss: the largest eigenvalue of its Hessian, by power iteration on Hessian-vector products."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepwell.lab.health.tape import nodes
from stepwell.lab.randomness import preserved

if TYPE_CHECKING:
    from torch import Tensor

FIRST, LATER = 10, 1  # products at the first measurement; at each later one, which begins where the last one ended


class Sharpness:
    """λ of the Hessian H with the largest |λ|: v ← Hv/‖Hv‖, λ ≈ v·Hv. A measurement begins with the last one's vector.

    The products are made on the graph of the loss that the training itself has built, so nothing is computed forward
    again and no generator is moved.
    """

    def __init__(self) -> None:
        self.vector: list[Tensor] | None = None
        self.refused = ""

    def measure(self, loss: "Tensor", parameters: Sequence["Tensor"]) -> float | None:
        """λ at these parameters; None, and the reason in `refused`, where torch cannot differentiate twice."""
        from torch.autograd.function import BackwardCFunction

        if self.refused:
            return None
        wanted = [p for p in parameters if p.requires_grad]
        if any(p._backward_hooks for p in wanted) or any(isinstance(node, BackwardCFunction) for node in nodes(loss)):
            self.refused = "a parameter has a hook, or a function its own backward(), which must not run twice"
            return None
        try:
            with preserved():
                return self._measured(loss, wanted)
        except (RuntimeError, NotImplementedError) as error:
            self.refused = str(error).splitlines()[0]
            return None

    def _measured(self, loss: "Tensor", parameters: list["Tensor"]) -> float | None:
        import torch

        with torch.enable_grad():
            options: dict[str, Any] = {"create_graph": True, "allow_unused": True}
            slopes = torch.autograd.grad(loss, parameters, **options)
        pairs = [(p, g) for p, g in zip(parameters, slopes, strict=True) if g is not None and g.requires_grad]
        if not pairs:
            return 0.0  # a linear loss
        used, gradients = [p for p, _ in pairs], [g for _, g in pairs]
        if self.vector is None or [v.shape for v in self.vector] != [p.shape for p in used]:
            self.vector, products = _unit([_drawn(p) for p in used]), FIRST
        else:
            products = LATER
        value = 0.0
        for _ in range(products):
            after = torch.autograd.grad(gradients, used, self.vector, retain_graph=True, allow_unused=True)
            turned = [torch.zeros_like(p) if h is None else h for p, h in zip(used, after, strict=True)]
            value = float(sum((v * h).sum() for v, h in zip(self.vector, turned, strict=True)))
            if not value or value != value or abs(value) == float("inf"):
                self.vector = None
                return value
            self.vector = _unit(turned)
        return value


def _drawn(p: "Tensor") -> "Tensor":
    import torch

    generator = torch.Generator().manual_seed(p.numel())
    return torch.randn(p.shape, generator=generator, dtype=torch.float32).to(p.device, p.dtype)


def _unit(vector: Sequence["Tensor"]) -> list["Tensor"]:
    import torch

    length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(v.detach()) for v in vector]))
    return [v.detach() / length for v in vector]
