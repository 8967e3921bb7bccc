"""What could be done about a finding: changes to a training that is about to go on, to be tried."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stepwell.lab.health.finding import Finding

if TYPE_CHECKING:
    from torch import nn

WARM = 25  # steps of a warm-up that is tried


@dataclass
class Fork:
    """A training at the step from which it goes on in several ways; each way has a copy of its own.

    Attributes:
        model, optimizer: of this way.
        clip: the largest norm of a gradient. factor: of the learning rate at each step from the fork on.
        skip: whether steps whose loss is not finite are left out.
        shuffled: whether the targets of each batch are shuffled.
    """

    model: "nn.Module"
    optimizer: Any
    clip: float | None = None
    factor: Callable[[int], float] = field(default=lambda _: 1.0)
    skip: bool = False
    shuffled: bool = False

    def pace(self) -> Callable[[int], None]:
        """What is called before each step, with its number from the fork on, and sets the rates."""
        from stepwell.torch.state import SCHEDULE, UPDATES

        groups = self.optimizer.param_groups
        scheduled = [group for group in groups if callable(group.get(SCHEDULE))]
        for group in scheduled:
            begin, rate, factor = group[UPDATES], group[SCHEDULE], self.factor
            group[SCHEDULE] = lambda k, begin=begin, rate=rate, factor=factor: factor(k - begin) * rate(k)
        rates = [(group, float(group["lr"])) for group in groups if group not in scheduled]

        def paced(k: int) -> None:
            for group, rate in rates:
                group["lr"] = rate * self.factor(k)

        return paced


@dataclass(frozen=True)
class Cure:
    """A change, in words, and what makes it."""

    words: str
    apply: Callable[[Fork], object]


def cures(finding: Finding) -> list[Cure]:
    """What is to be tried for a finding, the likeliest first; none for what a loop alone can mend."""
    return CURES[finding.name](finding) if finding.name in CURES else []


def _rate(factor: float) -> Cure:
    words = f"{1 / factor:g} times lower" if factor < 1 else f"{factor:g} times higher"
    return Cure(f"a learning rate {words}", lambda fork: _set(fork, factor=lambda _: factor))


def _set(fork: Fork, **values: Any) -> None:
    for name, value in values.items():
        setattr(fork, name, value)


_WARMUP = Cure(f"warm-up over {WARM} steps", lambda fork: _set(fork, factor=lambda k: min(1.0, (k + 1) / WARM)))
_CLIP = Cure("gradients clipped to norm 1", lambda fork: _set(fork, clip=1.0))
_SKIP = Cure("steps whose loss is not finite left out", lambda fork: _set(fork, skip=True))


def _options(fork: Fork, **values: Any) -> None:
    for group in fork.optimizer.param_groups:
        group.update(values)


def _swap_decay(fork: Fork) -> None:
    """Matrices get the largest decay that a group has, everything else none."""
    groups = fork.optimizer.param_groups
    decay = max(float(group["weight_decay"]) for group in groups)
    for group in groups:
        matrices = sum(p.numel() for p in group["params"] if p.ndim >= 2)
        group["weight_decay"] = decay if 2 * matrices > sum(p.numel() for p in group["params"]) else 0.0


def _thaw(fork: Fork) -> None:
    """Everything wants a gradient, is in the optimizer, and has a rate."""
    import torch

    groups = fork.optimizer.param_groups
    rate = max(float(group["lr"]) for group in groups)
    for group in groups:
        group["lr"] = group["lr"] or rate
    held = {id(p) for group in groups for p in group["params"]}
    for p in fork.model.parameters():
        p.requires_grad_(p.dtype.is_floating_point)
    left = [p for p in fork.model.parameters() if id(p) not in held and isinstance(p, torch.nn.Parameter)]
    if left:
        fork.optimizer.add_param_group({"params": left, "lr": rate})


def _renew(fork: Fork, where: tuple[str, ...]) -> None:
    """The layers of these parameters as they are made."""
    for name in where:
        layer = fork.model.get_submodule(name.rpartition(".")[0])
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()  # pyright: ignore[reportCallIssue]


def _halve(fork: Fork) -> None:
    """Every matrix with half its weights' size."""
    import torch

    with torch.no_grad():
        for p in fork.model.parameters():
            if p.ndim >= 2:
                p.mul_(0.5)


CURES: dict[str, Callable[[Finding], list[Cure]]] = {
    "rate_too_high": lambda _: [_rate(0.1), _rate(0.01), _WARMUP, _CLIP],
    "rate_too_low": lambda _: [_rate(10.0**k) for k in (1, 2, 3, 4)],
    "missing_warmup": lambda _: [_WARMUP, _rate(0.1)],
    "exploding_gradients": lambda _: [_CLIP, Cure("matrices of half the size", _halve), _rate(0.01)],
    "nan_loss": lambda _: [_SKIP, _rate(0.1), _CLIP],
    "eps_too_large": lambda _: [Cure("eps=1e-8", lambda fork: _options(fork, eps=1e-8))],
    "wrong_decay_group": lambda _: [
        Cure("decay for matrices alone", _swap_decay),
        Cure("no weight decay", lambda fork: _options(fork, weight_decay=0.0)),
    ],
    "frozen_layer": lambda _: [Cure("every layer trained", _thaw)],
    "dead_relu": lambda finding: [
        Cure("the dead layer initialized again", lambda fork: _renew(fork, finding.where)), _rate(0.1)
    ],
    "no_signal": lambda _: [
        _rate(0.1), Cure("labels shuffled on purpose (as a check)", lambda fork: _set(fork, shuffled=True))
    ],
}  # fmt: skip
"""By a finding's name what can be tried for it."""
