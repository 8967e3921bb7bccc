"""A training of a task with a doctor beside it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepwell.domain import Positive, at_least, optional
from stepwell.lab.candidates import Candidate, one
from stepwell.lab.health import report
from stepwell.lab.health.doctor import Doctor
from stepwell.lab.health.finding import Finding
from stepwell.lab.health.proof import Proof
from stepwell.lab.health.proof import prove as tried
from stepwell.lab.training.drive import drive
from stepwell.lab.training.plain import Plain, one_thread
from stepwell.lab.trial import Run, Trial

if TYPE_CHECKING:
    from stepwell.lab.task import Task
    from stepwell.rule import Rule

USUAL = "adam"
LONGEST = 1000  # steps that are watched, unless more are asked for


@dataclass(frozen=True)
class Examination:
    """What was seen of a task's training.

    Attributes:
        doctor: which watched it. run: what the training came to. findings: what is wrong.
        proof: which cures work, where that was asked for. content: all of it as a document.
    """

    doctor: Doctor
    run: Run
    findings: list[Finding]
    proof: list[Proof]
    content: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return report.words(self.doctor, self.proof)

    def write(self, folder: str | Path) -> None:
        """Put doctor.json into a folder."""
        report.keep(self.content, folder)


def examine(
    task: "Task",
    optimizer: "str | Rule | Candidate | None" = None,
    *,
    lr: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    every: int = 20,
    prove: bool = False,
    tell: Callable[[str], object] | None = None,
) -> Examination:
    """Train a task with an optimizer, watch it, and say what is wrong.

    Args:
        task: what is trained; `Task.of` makes one of an existing training.
        optimizer: a rule, its name, or a candidate; None is the task's own, and "adam" where it has none.
        lr: its rate; None is the optimizer's own. steps: how many; None is a whole run, 1000 at most.
        seed: of weights, data and draws. every: steps from one sample to the next.
        prove: whether to go on from where a fault is first seen with each of its cures, 50 steps each.
        tell: called now and then with words about what is being done.

    Errors: ValueError or TypeError for an argument outside its domain; `TaskError` for a task that cannot be trained.

    >>> from stepwell.lab import examine, tasks
    >>> found = examine(tasks.digits(), "gradient_descent", lr=30.0, steps=120, prove=True)
    >>> [each.name for each in found.findings]
    ['rate_too_high']
    >>> [way.cure for way in found.proof[0].trials if way.works]
    ['a learning rate 100 times lower']
    """
    candidate = _candidate(task, optimizer)
    rate = optional(Positive, "lr", lr)
    length = min(task.steps(), LONGEST) if steps is None else at_least(2).check("steps", steps)
    trial = Trial(candidate.name, rate or candidate.rate, at_least(0).check("seed", seed), length)
    said = tell or (lambda _: None)
    with one_thread():
        learner = Plain(task, candidate, trial)
        inner = getattr(learner.optimizer, "optimizer", learner.optimizer)
        with Doctor(inner, learner.model, every=every) as doctor:
            (run,) = drive(task, learner, [trial], 0.0, lambda done: said(f"step {done} of {length}"))
    found = doctor.findings
    proof = tried(task, candidate, trial, found, lambda cure: said(f"trying: {cure}")) if prove else None
    return Examination(doctor, run, found, proof or [], report.document(doctor, task.name, proof))


def _candidate(task: "Task", optimizer: Any) -> Candidate:
    if optimizer is None and task.optimizer is not None:
        return task.optimizer
    return one(USUAL if optimizer is None else optimizer)
