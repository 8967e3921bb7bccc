"""What is asked of a search for a learning rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from stepwell.domain import Domain, Positive, at_least, check, optional
from stepwell.lab.candidates import Candidate
from stepwell.lab.task import Task
from stepwell.lab.training import way
from stepwell.lab.trial import Trial, seeds_of

USUAL = 1e-3  # the rate about which a search begins, where an optimizer's own is 0
MIDDLE = Annotated[float, Domain("a number from 1e-300 to 1e300", lambda x: 1e-300 <= x <= 1e300)]  # rates are about it


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
        rates, workers = at_least(3).check("rates", rates), at_least(1).check("workers", workers)
        steps = optional(at_least(1), "steps", steps)
        chosen, others = None if seeds is None else seeds_of("seeds", seeds), _hyper(candidate, hyper or {})
        middle = float(check(MIDDLE, "middle", (candidate.rate or USUAL) if middle is None else middle))
        trial = Trial(candidate.name, middle, chosen[0] if chosen else 0, 1, others)
        way.check(task, {candidate.name: candidate}, trial)
        return cls(steps or task.steps(), chosen, budget, rates, middle, others, workers)


def _hyper(candidate: Candidate, hyper: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    if "lr" in hyper:
        raise ValueError("hyper must not have lr: it is what is searched")
    if candidate.rule is not None:
        candidate.rule.complete({name: value for name, value in hyper.items() if name != "weight_decay"})
    return tuple(sorted(hyper.items()))
