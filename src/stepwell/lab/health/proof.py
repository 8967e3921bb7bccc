"""Which cure works: a training goes on from just before a fault in several ways, on the same batches."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from stepwell.lab.batches import explained, mapped, rows_of
from stepwell.lab.candidates import Candidate, existing
from stepwell.lab.health.cures import Cure, Fork, cures
from stepwell.lab.health.finding import Finding
from stepwell.lab.randomness import preserved, sow
from stepwell.lab.training.plain import Plain, one_thread
from stepwell.lab.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from stepwell.lab.task import Task

STEPS = 50
AS_IT_WAS = Cure("as it was", lambda fork: None)
BETTER = 0.98  # of the loss without it, and of that at the fork, to which a cure must bring the loss at least


@dataclass(frozen=True)
class Way:
    """One way on: what was changed, the loss of each step, what it came to (the median of the last fifth; None if it is
    not finite), and whether that is better than as it was, and than where it began."""

    cure: str
    loss: float | None
    curve: list[float | None]
    works: bool


@dataclass(frozen=True)
class Proof:
    """The ways on from a step, the first as it was."""

    finding: str
    step: int
    trials: list[Way]

    def __str__(self) -> str:
        told = [f"  tried, {STEPS} steps from step {self.step} on (loss of the last ten, median):"]
        for way in self.trials:
            loss = "not finite" if way.loss is None else f"{way.loss:.4g}"
            told.append(f"    {'✓' if way.works else '·'} {way.cure}: {loss}")
        return "\n".join(told)


def prove(
    task: "Task",
    candidate: Candidate,
    trial: Trial,
    found: Sequence[Finding],
    tell: Callable[[str], object] | None = None,
) -> list[Proof]:
    """Try the cures of each finding, from just before the step where it was seen, with `STEPS` steps each.

    Args:
        task, candidate, trial: the training in which it was found; it is made again up to that step.
        found: the findings. tell: called with the words of each way before it is tried.

    Returns:
        a `Proof` for each; findings that only a loop can mend have none.
    """
    said = tell or (lambda _: None)
    with one_thread():
        tried = [(finding, cures(finding)) for finding in found]
        return [_proof(task, candidate, trial, finding, ways, said) for finding, ways in tried if ways]


def _proof(
    task: "Task", candidate: Candidate, trial: Trial, finding: Finding, tried: list[Cure], tell: Callable[[str], object]
) -> Proof:
    begin = max(0, finding.step - 1)
    with preserved():
        sow(trial.seed, 1)
        batches = task.source.passes(trial.seed)
        learner = Plain(task, candidate, trial)
        for _ in range(begin):
            learner.step(next(batches))
        following = [next(batches) for _ in range(STEPS)]
    ways: list[Way] = []
    bars: list[float] = []
    for cure in [AS_IT_WAS, *tried]:
        tell(cure.words)
        curve = list(_curve(task, learner, cure, following, trial.seed))
        loss = _end(curve)
        works = bool(ways) and loss is not None and all(loss < BETTER * each for each in bars)
        ways.append(Way(cure.words, loss, [x if math.isfinite(x) else None for x in curve], works))
        if not bars:
            bars = [x for x in (loss, curve[0]) if x is not None and math.isfinite(x)]
    return Proof(finding.name, begin, ways)


def _curve(task: "Task", learner: Plain, cure: Cure, batches: Sequence[Any], seed: int) -> Iterator[float]:
    """The loss of each step of a copy of the training, changed."""
    import torch

    model = copy.deepcopy(learner.model)
    kept: Any = getattr(learner.optimizer, "optimizer", learner.optimizer)
    own = existing(learner.model, kept)
    fork = Fork(model, own.build(model, own.rate, {}), clip=learner.clip_norm)
    with explained(f"{cure.words} cannot be tried"):
        cure.apply(fork)
    paced = fork.pace()
    with preserved():
        sow(seed, 2)
        for k, batch in enumerate(batches):
            paced(k)
            fork.optimizer.zero_grad()
            loss, _, _ = task.evaluate(model, _shuffled(batch) if fork.shuffled else batch)
            value = float(loss.detach())
            yield value
            if fork.skip and not math.isfinite(value):
                continue
            loss.backward()
            if fork.clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), fork.clip)
            fork.optimizer.step()


def _shuffled(batch: Any) -> Any:
    """A batch of inputs and targets whose targets are another row's."""
    import torch

    if not (isinstance(batch, tuple | list) and len(batch) == 2):
        return batch
    order = torch.randperm(rows_of(batch))

    def turned(x: "Tensor") -> "Tensor":
        return x[order] if x.ndim and len(x) == len(order) else x

    return batch[0], mapped(turned, batch[1])


def _end(curve: Sequence[float]) -> float | None:
    tail = curve[-max(1, len(curve) // 5) :]
    known = [x for x in tail if math.isfinite(x)]
    return median(known) if 2 * len(known) > len(tail) else None
