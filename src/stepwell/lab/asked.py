"""What is asked of a search for a learning rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from stepwell.domain import Domain, Positive, check, optional
from stepwell.lab import way
from stepwell.lab.candidates import Candidate
from stepwell.lab.task import Task
from stepwell.lab.trial import Trial

USUAL = 1e-3  # the rate about which a search begins, where an optimizer's own is 0


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def at_least(number: int) -> Any:
    """The domain of the integers from that one on."""
    return Annotated[int, Domain(f"an integer ≥ {number}", lambda x: x >= number, _whole)]


@dataclass(frozen=True)
class Asked:
    """A search's arguments, checked.

    Attributes:
        full: steps of a full run. seeds: which; None: as many as there is time for.
        budget: full runs, for each seed. rates: of the first round. middle: the rate that it is about.
        hyper: other hyperparameters. workers: processes, at most.

    Errors: ValueError or TypeError, which names the argument; `TaskError` if a first step cannot be made.
    """

    full: int
    seeds: Sequence[int] | None
    budget: float
    rates: int
    middle: float
    hyper: tuple[tuple[str, float], ...]
    workers: int

    @classmethod
    def of(
        cls, task: Task, candidate: Candidate, *, steps: int | None, seeds: int | Sequence[int] | None, budget: float,
        rates: int, middle: float | None, hyper: Mapping[str, float] | None, workers: int,
    ) -> Self:  # fmt: skip
        """The arguments of `find_lr`, checked with what they are asked of."""
        budget = check(Positive, "budget", budget)
        rates, workers = check(at_least(3), "rates", rates), check(at_least(1), "workers", workers)
        middle, steps = optional(Positive, "middle", middle), optional(at_least(1), "steps", steps)
        chosen, others = _seeds(seeds), _hyper(candidate, hyper or {})
        middle = middle or candidate.rate or USUAL
        trial = Trial(candidate.name, middle, chosen[0] if chosen else 0, 1, others)
        way.check(task, {candidate.name: candidate}, trial)
        return cls(steps or task.steps(), chosen, budget, rates, middle, others, workers)


def _seeds(seeds: int | Sequence[int] | None) -> Sequence[int] | None:
    if seeds is None:
        return None
    chosen = range(check(at_least(1), "seeds", seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds must be one or more, all different; got {seeds!r}")
    return [check(at_least(0), "a seed", seed) for seed in chosen]


def _hyper(candidate: Candidate, hyper: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    if "lr" in hyper:
        raise ValueError("hyper must not have lr: it is what is searched")
    if candidate.rule is not None:
        candidate.rule.complete({name: value for name, value in hyper.items() if name != "weight_decay"})
    return tuple(sorted(hyper.items()))
