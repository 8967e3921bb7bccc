"""All that a doctor has seen of a training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepwell.lab.health.forms import DECAY, EPSILON, Form, form
from stepwell.lab.health.gauges import Coordinates
from stepwell.lab.health.sample import Sample

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


class Losses:
    """The loss of each step; tensors are read many at a time, so that no device has to wait at each."""

    def __init__(self) -> None:
        self.numbers: list[float | None] = []
        self.waiting: list[Any] = []

    def add(self, value: Any) -> None:
        self.waiting.append(value)
        if len(self.waiting) >= 64:
            self.read()

    def read(self) -> list[float | None]:
        """All until now."""
        self.numbers += [None if x is None else float(x) for x in self.waiting]
        self.waiting = []
        return self.numbers

    def last(self) -> float | None:
        return self.read()[-1] if self.waiting or self.numbers else None


@dataclass(frozen=True)
class Group:
    """A group of parameters: how many axes each has, by name; its weight decay, and its ε if it has one."""

    members: dict[str, int]
    decay: float
    eps: float | None


class Record:
    """What findings are made from."""

    def __init__(self, optimizer: "Optimizer", model: "nn.Module | None", every: int):
        self.optimizer, self.model, self.every = optimizer, model, every
        self.samples: list[Sample] = []
        self.losses = Losses()
        self.jumps: list[list[int]] = []
        self.steps = 0
        self.outside: list[tuple[str, Any, int]] = []
        self.shapes: list[tuple[int, tuple[int, ...]]] = []
        self.follow()

    def follow(self) -> bool:
        """Take the optimizer's parameters as they are now; whether they are others than before, or have other shapes.

        Those without any element are left out.
        """
        groups = self.optimizer.param_groups
        now = [(id(p), tuple(p.shape)) for group in groups for p in group["params"]]
        if now == self.shapes:
            return False
        self.shapes = now
        own = {id(p): name for name, p in self.model.named_parameters()} if self.model is not None else {}
        self.named: dict[int, str] = {}
        self.parameters: list[Tensor] = []
        for k, group in enumerate(groups):
            given = group.get("param_names") or [None] * len(group["params"])
            for j, (p, name) in enumerate(zip(group["params"], given, strict=True)):
                if p.numel() and id(p) not in self.named:
                    self.parameters.append(p)
                    shape = "×".join(map(str, p.shape)) or "number"
                    self.named[id(p)] = own.get(id(p)) or name or f"group {k}, parameter {j} ({shape})"
        self.coordinates = Coordinates(self.parameters)
        return True

    @property
    def names(self) -> list[str]:
        """The parameters' names, in their order."""
        return list(self.named.values())

    @property
    def groups(self) -> list[Group]:
        """The optimizer's groups."""
        return [
            Group(
                {self.named[id(p)]: p.ndim for p in group["params"] if id(p) in self.named},
                float(group.get(DECAY) or 0.0),
                float(group[EPSILON]) if EPSILON in group else None,
            )
            for group in self.optimizer.param_groups
        ]

    def forms(self) -> list[Form | None]:
        return [form(self.optimizer, group) for group in self.optimizer.param_groups]

    def cleared(self) -> bool:
        """Whether no parameter has a gradient but 0."""
        return not any(p.grad is not None and bool(_values(p.grad).any()) for p in self.parameters)

    def leaves(self, found: list[Any]) -> None:
        """Keep those parameters that a loss will give gradients to and this optimizer does not have.

        With a model they are the model's own. Without it any are taken, if they are fewer than the optimizer's: more
        are another network, through which this one is trained.
        """
        from torch.nn import Parameter

        own = {id(p): name for name, p in self.model.named_parameters()} if self.model is not None else None
        left = [p for p in found if id(p) not in self.named and isinstance(p, Parameter)]
        if own is not None:
            left = [p for p in left if id(p) in own]
        elif sum(p.numel() for p in left) >= sum(p.numel() for p in self.parameters):
            left = []
        words = own or {}
        self.outside = [(words.get(id(p), f"a parameter of shape {tuple(p.shape)}"), p, p._version) for p in left]

    def step(self, heard: list[Any], told: float | None, jumps: list[int]) -> None:
        value = told if told is not None else None if not heard else heard[0] if len(heard) == 1 else sum(heard)
        self.losses.add(value)
        self.jumps.append(jumps)
        self.steps += 1

    def settle(self) -> None:
        self.losses.read()


def _values(gradient: Any) -> Any:
    return gradient._values() if gradient.is_sparse else gradient
