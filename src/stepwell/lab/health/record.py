"""All that a doctor has seen of a training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

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

    def __init__(self, optimizer: "Optimizer", names: list[str], parameters: list["Tensor"], every: int):
        self.optimizer, self.names, self.parameters, self.every = optimizer, names, parameters, every
        self.named = {id(p): name for name, p in zip(names, parameters, strict=True)}
        self.coordinates = Coordinates(parameters)
        self.samples: list[Sample] = []
        self.losses = Losses()
        self.jumps: list[list[int]] = []
        self.steps = 0
        self.outside: list[tuple[str, Any, int]] = []

    @classmethod
    def of(cls, optimizer: "Optimizer", model: "nn.Module | None", every: int) -> Self:
        own = {id(p): name for name, p in model.named_parameters()} if model is not None else {}
        names, parameters = [], []
        for k, group in enumerate(optimizer.param_groups):
            given = group.get("param_names") or [None] * len(group["params"])
            for j, (p, name) in enumerate(zip(group["params"], given, strict=True)):
                parameters.append(p)
                shape = "×".join(map(str, p.shape)) or "number"
                names.append(own.get(id(p)) or name or f"group {k}, parameter {j} ({shape})")
        return cls(optimizer, names, parameters, every)

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
        own = {id(p) for p in self.parameters}
        self.outside = [(f"a parameter of shape {tuple(p.shape)}", p, p._version) for p in found if id(p) not in own]

    def step(self, heard: list[Any], told: float | None, jumps: list[int]) -> None:
        value = told if told is not None else None if not heard else heard[0] if len(heard) == 1 else sum(heard)
        self.losses.add(value)
        self.jumps.append(jumps)
        self.steps += 1

    def settle(self) -> None:
        self.losses.read()


def _values(gradient: Any) -> Any:
    return gradient._values() if gradient.is_sparse else gradient
