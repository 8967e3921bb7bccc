"""The optimizers that a search may try: rules by name, rules of the user's own, and any other torch optimizer."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepwell.lab.batches import TaskError
from stepwell.lab.names import unknown
from stepwell.rule import Rule
from stepwell.rules import algorithms, named

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

Make = Callable[..., "Optimizer"]


@dataclass(frozen=True)
class Candidate:
    """An optimizer to try.

    Attributes:
        name: what it is called.
        rule: its formula, where it is one of this library's or the user's own `@rule`.
        make: elsewhere, what makes it from a model's parameters and `lr=…`.
        rate: the learning rate around which a search begins.
    """

    name: str
    rule: Rule | None = None
    make: Make | None = None
    rate: float = 1e-2

    def build(self, model: "nn.Module", lr: float | Callable[[int], float], hyper: Mapping[str, float]) -> Any:
        """The optimizer of a model's parameters that are trained."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        if self.rule is None:
            assert self.make is not None
            return (
                _Following(self.make, parameters, lr, hyper) if callable(lr) else self.make(parameters, lr=lr, **hyper)
            )
        from stepwell.torch import from_rule

        return from_rule(self.rule)(parameters, lr=lr, **hyper)


# What `choose` takes: one, several, or by name what makes them.
Wanted = str | Rule | Candidate | Sequence[str | Rule | Candidate] | Mapping[str, Make | Rule | None] | None


def comparable() -> list[str]:
    """The rules that can be searched: those that need no more than a learning rate, and have a default for it."""
    return [name for name, rule in named.items() if _has_defaults(rule)]


def choose(wanted: Wanted = None) -> dict[str, Candidate]:
    """These optimizers, or every algorithm, each once; one may stand without a list.

    A mapping has functions from parameters and `lr=…` to a torch optimizer, by name; names in it that are a rule's
    may have None.

    Errors: ValueError for a name that is unknown or given twice, or a rule without a learning rate; TypeError for what
        is none of these.

    >>> list(choose(["adam", "momentum"]))
    ['adam', 'momentum']
    """
    if wanted is None:
        wanted = [name for name in comparable() if name in algorithms]
    if isinstance(wanted, str | Rule | Candidate):
        wanted = [wanted]
    pairs = wanted.items() if isinstance(wanted, Mapping) else [(_name(each), each) for each in wanted]
    found: dict[str, Candidate] = {}
    for name, each in pairs:
        if name in found:
            raise ValueError(f"optimizers must be different; got {name} twice")
        found[name] = _candidate(name, each)
    if not found:
        raise ValueError("optimizers must have one or more; got none")
    return found


def one(wanted: Wanted) -> Candidate:
    """The one optimizer that is meant. Errors: as of `choose`; ValueError for several."""
    found = list(choose(wanted).values())
    if len(found) != 1:
        raise ValueError(f"optimizer must be one; got {', '.join(each.name for each in found)}")
    return found[0]


def existing(model: "nn.Module", optimizer: "Optimizer", name: str = "") -> Candidate:
    """The optimizer of a training that there is: each run has a copy of it with its state, at a rate of its own.

    The largest rate of a group is the one that is given. The others keep their proportion to it, and those of 0 stay 0;
    if all are 0, all are given it.

    Errors: `TaskError` if each step needs a closure, or if the optimizer cannot be copied.
    """
    kind = type(optimizer)
    if any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in _arguments(kind.step)):
        raise TaskError(f"{kind.__name__} needs a closure for each step, and a search for a rate gives none")
    parameters = [p for p in model.parameters() if p.requires_grad]
    largest = max(float(group["lr"]) for group in optimizer.param_groups)
    made = _Copied(parameters, optimizer, largest)
    made(parameters, largest)
    return Candidate(name or kind.__name__.lower(), make=made, rate=largest)


def _arguments(method: Callable[..., Any]) -> list[inspect.Parameter]:
    """What a method takes beside its object."""
    return list(inspect.signature(method).parameters.values())[1:]


@dataclass(frozen=True)
class _Copied:
    """Copies of an optimizer for copies of its parameters, with its state and its own attributes, without its hooks."""

    parameters: list[Any]
    optimizer: Any
    rate: float

    def __call__(self, parameters: Sequence[Any], lr: float) -> Any:
        places = {id(old): new for old, new in zip(self.parameters, parameters, strict=True)}
        kind = type(self.optimizer)
        try:
            made = copy.deepcopy(self.optimizer, places)
            for name, value in vars(self.optimizer).items():  # torch itself copies no attributes of a subclass
                if name not in vars(made) and not callable(getattr(kind, name, None)):  # as a scheduler's step is
                    setattr(made, name, copy.deepcopy(value, places))
        except Exception as error:
            raise TaskError(f"{kind.__name__} cannot be copied: {type(error).__name__}: {error}") from error
        for group in made.param_groups:
            group["lr"] = lr * (group["lr"] / self.rate if self.rate else 1.0)
        return made


class _Following:
    """A torch optimizer whose rate is a function of the step."""

    def __init__(self, make: Make, parameters: Sequence[Any], lr: Callable[[int], float], hyper: Mapping[str, float]):
        self.lr, self.count = lr, 0
        self.unit = 1.0  # a rate that every optimizer takes; each group keeps its share of it
        self.optimizer = make(parameters, lr=self.unit, **hyper)
        self.shares = [float(group["lr"]) for group in self.optimizer.param_groups]

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()

    def step(self) -> None:
        rate = self.lr(self.count)
        for group, share in zip(self.optimizer.param_groups, self.shares, strict=True):
            group["lr"] = rate * share
        self.optimizer.step()
        self.count += 1


def _name(each: Any) -> str:
    if isinstance(each, Rule | Candidate):
        return each.name
    if not isinstance(each, str):
        raise TypeError(f"an optimizer must be a rule or a rule's name; got {each!r}")
    return each


def _candidate(name: str, each: Any) -> Candidate:
    if isinstance(each, Candidate):
        return each
    if each is None or isinstance(each, str):
        if name not in comparable():
            raise ValueError(unknown("optimizer", name, comparable()))
        each = named[name]
    if isinstance(each, Rule):
        if not _has_defaults(each):
            raise ValueError(f"{name} must have a hyperparameter lr, and a default for each; got {each!r}")
        return Candidate(name, each, rate=each.hyperparameters["lr"].default or 1e-2)
    if not callable(each):
        raise TypeError(f"optimizers[{name!r}] must be a function of parameters and lr; got {each!r}")
    make: Any = each
    return Candidate(name, make=make)


def _has_defaults(rule: Rule) -> bool:
    return "lr" in rule.hyperparameters and all(h.default is not None for h in rule.hyperparameters.values())
