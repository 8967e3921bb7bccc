"""Groups of trials: what is trained together, and how."""

import itertools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import Candidate
from stepwell.lab.names import count
from stepwell.lab.task import Task
from stepwell.lab.training.drive import Tell, drive
from stepwell.lab.training.memory import kept
from stepwell.lab.training.plain import torch_threads, train
from stepwell.lab.training.stacked import Stacked
from stepwell.lab.training.stacked_step import refusal
from stepwell.lab.trial import Run, Trial


@dataclass(frozen=True)
class Way:
    """How trials are trained.

    Attributes:
        stacked: whether a group is one training, or its trials are trained one after the other.
        size: trials a group, at most.
        workers: processes, 1 being this one; more have one thread each. threads: torch's, in this one.
        reason: why, for the user.
    """

    stacked: bool
    size: int
    workers: int
    threads: int
    reason: str


def grouped(trials: Sequence[Trial], size: int) -> list[list[Trial]]:
    """Groups of at most that many trials, each of one seed and one length; of one optimizer where they are cut."""
    together: dict[tuple[int, int], list[Trial]] = {}
    for trial in trials:
        together.setdefault((trial.steps, trial.seed), []).append(trial)
    groups = []
    for each in together.values():
        parts = -(-len(each) // size)
        ordered = sorted(each, key=lambda t: t.optimizer) if parts > 1 else each
        cuts = [len(ordered) * k // parts for k in range(parts + 1)]
        groups += [ordered[low:high] for low, high in itertools.pairwise(cuts)]
    return groups


def called(group: Sequence[Trial]) -> str:
    """A group in a message: its optimizers, its rates, its seed and the length of its runs.

    >>> called([Trial("adam", 1e-3, 2, 50), Trial("lion", 1e-4, 2, 50)])
    '2 runs of adam, lion at learning rates of 0.0001 to 0.001, seed 2, 50 steps'
    """
    first, names = group[0], ", ".join(dict.fromkeys(trial.optimizer for trial in group))
    low, high = min(trial.lr for trial in group), max(trial.lr for trial in group)
    rates = f"at a learning rate of {low:g}" if low == high else f"at learning rates of {low:g} to {high:g}"
    runs = "" if len(group) == 1 else f"{len(group)} runs of "
    return f"{runs}{names} {rates}, seed {first.seed}, {count(first.steps, 'step')}"


def train_group(
    task: Task,
    candidates: Mapping[str, Candidate],
    trials: Sequence[Trial],
    stacked: bool,
    threads: int = 1,
    tell: Callable[[float], object] | None = None,
) -> list[Run]:
    """The runs of a group's trials, in their order; `tell` is called with how many of them are done, with fractions.

    Trials that cannot be stacked are trained one after the other. So are all of a group that fails while it is stacked,
    with a warning that has the reason: whatever vmap cannot do, a plain loop can, or says better why not.
    """
    done: dict[Trial, Run] = {}
    together = [t for t in trials if not refusal([candidates[t.optimizer]])] if stacked else []
    if len(together) > 1:
        try:
            done = dict(zip(together, _stacked(task, candidates, together, threads, tell), strict=True))
        except TaskError:
            raise
        except Exception as error:
            reason = f"{len(together)} runs are trained one by one, for as one they fail: {error}"
            warnings.warn(reason, stacklevel=2)
    for trial in trials:
        if trial not in done:
            done[trial] = train(task, trial, candidates, _share(tell, len(done), 1, trial.steps))
    return [done[trial] for trial in trials]


def _stacked(
    task: Task, candidates: Mapping[str, Candidate], trials: Sequence[Trial], threads: int,
    tell: Callable[[float], object] | None,
) -> list[Run]:  # fmt: skip
    began = time.perf_counter()
    with torch_threads(threads), kept():
        learner = Stacked(task, candidates, trials)
        return drive(task, learner, trials, began, _share(tell, 0, len(trials), trials[0].steps))


def _share(tell: Callable[[float], object] | None, before: int, runs: int, steps: int) -> Tell | None:
    return None if tell is None else lambda taken: tell(before + runs * taken / steps)
