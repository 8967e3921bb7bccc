"""`landscape`: train a task a little, span a plane through its weights, and measure the loss on a grid of it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stepwell.domain import at_least, check
from stepwell.lab.batches import rows_of
from stepwell.lab.candidates import Candidate, Wanted, one
from stepwell.lab.landscapes.directions import coordinates, filter_normalized, principal, reach
from stepwell.lab.landscapes.grid import SMALLEST, Landscape
from stepwell.lab.landscapes.losses import Losses, fixed_rows
from stepwell.lab.names import count
from stepwell.lab.randomness import preserved
from stepwell.lab.task import Task
from stepwell.lab.training.drive import drive
from stepwell.lab.training.plain import Plain, one_thread
from stepwell.lab.trial import DIVERGED, Trial

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 200  # of the training before, at most, unless told otherwise
SHOTS = 60  # weights that are kept of it, about
MARGIN = 0.5  # around the path, as a share of its longer side
WAYS = ("path", "random")
Tell = Callable[[str, int, int], object]


def landscape(
    task: Task, optimizer: Wanted = "adam", *, lr: float | None = None, steps: int | None = None,
    directions: str = "path", points: int = 31, rows: int = 512, seed: int = 0, tell: Tell | None = None,
) -> Landscape:  # fmt: skip
    """The loss of the task's model on a plane through its weights after a short training.

    Args:
        optimizer, lr: what trains it: a name, a rule, a `Candidate`; at its default rate unless told.
        steps: of that training; by default the task's own, 200 at most. 0 is the fresh model.
        directions: "path", the plane in which most of the training's path lies, in units of the weights; or "random",
            two filter-normalized random directions, from -1 to 1 (Li et al. 2018, <https://arxiv.org/abs/1712.09913>).
        points: of each axis of the grid.
        rows: of the training data that the loss is measured on: drawn once from arrays, else the first batches.
        seed: of the weights, the order of the data, and random directions.
        tell: called with "training" or "measuring", how much of it is done, and of how much.

    The model is measured as it is used: without dropout, with kept means. All is done on one thread; no generator is
    moved.

    Errors: ValueError for an argument out of its domain, a training that diverges or does not move, and a plane without
    a finite loss; TaskError for a task that cannot be trained.
    """
    if directions not in WAYS:
        raise ValueError(f"directions must be {' or '.join(map(repr, WAYS))}; got {directions!r}")
    points, rows = check(at_least(SMALLEST), "points", points), check(at_least(1), "rows", rows)
    length = min(STEPS, task.steps()) if steps is None else int(check(at_least(0), "steps", steps))
    if length == 0 and directions == "path":
        raise ValueError("steps must be 1 or more for directions='path': a fresh model has no path")
    candidate = one(optimizer)
    trial = Trial(candidate.name, candidate.rate if lr is None else lr, seed, length)
    with one_thread():
        recorded = Recorded(task, candidate, trial)
        if length:
            _train(task.shorter(length), recorded, trial, tell)
        return _measured(task, recorded, trial, directions, points, rows, tell)


class Recorded(Plain):
    """A training that keeps its weights on the way: `shots`, each all trained weights in a row."""

    def __init__(self, task: Task, candidate: Candidate, trial: Trial):
        super().__init__(task, candidate, trial)
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.made, self.last, self.pace = 0, trial.steps, max(1, trial.steps // SHOTS)
        self.shots = [flat(self.weights)]

    def step(self, batch: Any) -> "Tensor":
        """One step; the loss before it."""
        loss = super().step(batch)
        self.made += 1
        if self.made % self.pace == 0 or self.made == self.last:
            self.shots.append(flat(self.weights))
        return loss


def flat(weights: Sequence["Tensor"]) -> np.ndarray:
    """All weights in a row, in double precision."""
    return np.concatenate([w.detach().double().cpu().numpy().ravel() for w in weights])


def _train(task: Task, recorded: Recorded, trial: Trial, tell: Tell | None) -> None:
    def told(done: int) -> None:
        if tell is not None:
            tell("training", done, trial.steps)

    (run,) = drive(task, recorded, [trial], 0.0, told)
    if run.status == DIVERGED or not np.isfinite(recorded.shots[-1]).all():
        raise ValueError(f"the training diverged with {trial.optimizer} at lr {trial.lr:g}; give a smaller lr")


def _measured(
    task: Task, recorded: Recorded, trial: Trial, way: str, points: int, rows: int, tell: Tell | None
) -> Landscape:
    shots = np.array(recorded.shots)
    centre, path, share, sides = shots[-1], np.empty((0, 2)), None, ((-1.0, 1.0), (-1.0, 1.0))
    if way == "path":
        span = principal(shots, trial.seed)
        path, share = coordinates(shots, centre, span)
        sides = reach(path, MARGIN)
    else:
        span = filter_normalized(recorded.weights, trial.seed)
    a, b = (np.linspace(low, high, points) for low, high in sides)
    lines = []
    with preserved():
        batches = fixed_rows(task.source, rows)
        losses = Losses(task, recorded.model, recorded.weights, batches)
        for x in a:
            lines.append(losses.at(centre + x * span[0] + b[:, None] * span[1]))
            if tell is not None:
                tell("measuring", len(lines), points)
    about = _about(task, trial, way, batches)
    return Landscape(about=about, a=a, b=b, losses=np.array(lines), path=path, share=share)


def _about(task: Task, trial: Trial, way: str, batches: Sequence[Any]) -> str:
    trained = (
        f"after {count(trial.steps, 'step')} of {trial.optimizer}, lr {trial.lr:g}" if trial.steps else "untrained"
    )
    plane = {"path": "the plane of its path", "random": "two filter-normalized random directions"}[way]
    number = sum(map(rows_of, batches))
    return (
        f"The loss of {task.name} {trained}, on {plane}; {count(number, 'row')} of its training data, seed {trial.seed}"
    )
