"""What is trained, all but its optimizer: factories, since every run needs a fresh state."""

import copy
import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from stepwell import schedules
from stepwell.domain import at_least, optional
from stepwell.lab import batches
from stepwell.lab.batches import Source, TaskError
from stepwell.lab.randomness import seeded

if TYPE_CHECKING:
    from torch import Tensor, nn

MEASURED = 20  # measurements of a run, unless a task says how often
ROUNDING = 1e-6  # 342 of 360 is 95 %, in whatever parts they are counted


@dataclass(frozen=True)
class Goal:
    """When a run has got there: `metric`, "loss" or "accuracy", is as good as `value`; `words` say it in a table."""

    metric: str
    value: float
    words: str

    def reached(self, loss: float, accuracy: float | None) -> bool:
        """Whether these measurements are good enough, to the rounding of float32; NaN is not."""
        margin = ROUNDING * abs(self.value)
        if self.metric == "loss":
            return loss <= self.value + margin
        return accuracy is not None and accuracy >= self.value - margin


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training, all but its optimizer.

    Attributes:
        model: makes a fresh model; it is called with torch's, NumPy's and Python's generators put where the run's seed
            says, so that equal seeds give equal weights.
        data: what is trained on, and `validation`, what is measured on: see `stepwell.lab.batches`. Without a
            validation the loss of a run is the mean training loss since the measurement before.
        loss: from a model's output and the target to a scalar, the mean over the batch.
        metric: from output and target to a number of which more is better, such as `accuracy`; or None.
        call: from a model and a batch's inputs to its output, where `model(inputs)` will not do.
        name, about: what it is called, and in a sentence what is trained on what.
        measured, metric_name: what the loss and the metric are called, with their units.
        goal: when a run has got there, or None. lowest: the least loss there can be; pictures show the loss above it.
        batch: rows a step, where data are arrays or a Dataset.
        epochs: passes over the data. length: steps, instead of epochs, as loaders without a length need.
        every: steps between measurements; by default 20 a run.
        schedule: from the number of steps of a run to a factor of the learning rate at each: `schedules.cosine`.
        clip_norm: the largest norm of all gradients together, or None.
        optimizer: the optimizer that an existing training has, or None: see `Task.of`.

    Worker processes must be able to import the functions: a module's own, not lambdas, if there are to be workers.

    Errors: `TaskError`, a ValueError, which names what is wrong.

    >>> import torch
    >>> from stepwell.lab.task import Task
    >>> x = torch.linspace(-1, 1, 32)[:, None]
    >>> line = Task(model=lambda: torch.nn.Linear(1, 1), data=(x, 3 * x), loss=torch.nn.functional.mse_loss, batch=8)
    >>> line.steps(), line.fresh(0).weight == line.fresh(0).weight
    (40, tensor([[True]]))
    """

    model: Callable[[], "nn.Module"]
    data: Any
    loss: Callable[[Any, Any], "Tensor"]
    metric: Callable[[Any, Any], Any] | None = None
    validation: Any = None
    call: Callable[[Any, Any], Any] | None = None
    name: str = "task"
    about: str = ""
    measured: str = "loss"
    metric_name: str = "accuracy"
    goal: Goal | None = None
    lowest: float = 0.0
    batch: int = 64
    epochs: int = 10
    length: int | None = None
    every: int | None = None
    schedule: Callable[[int], Callable[[int], float]] | None = None
    clip_norm: float | None = None
    optimizer: Any = None

    def __post_init__(self) -> None:
        for name in ("model", "loss", "metric", "call", "schedule"):
            value = getattr(self, name)
            if not callable(value) and not (value is None and name not in ("model", "loss")):
                raise TaskError(f"{name} must be a function; got {value!r}")
        for name in ("batch", "epochs", "length", "every"):
            value = getattr(self, name)
            try:
                optional(at_least(1), name, value)
            except (TypeError, ValueError) as error:
                raise TaskError(str(error)) from None
        if self.clip_norm is not None and not 0 < self.clip_norm < math.inf:
            raise TaskError(f"clip_norm must be a finite number > 0; got {self.clip_norm!r}")

    @classmethod
    def of(
        cls, model: "nn.Module", optimizer: Any, loss: Callable[[Any, Any], "Tensor"], loader: Any, **more: Any
    ) -> Self:
        """The task of an existing training: every run starts from copies of this model, with its weights as they are.

        The model, the optimizer and the loader are not changed by any run. `optimizer` is kept as the one to compare
        with, and where a search over its learning rate begins. `more` are the task's other attributes.
        """
        kept = copy.deepcopy(model)
        for parameter in kept.parameters():
            parameter.grad = None
        return cls(model=functools.partial(copy.deepcopy, kept), data=loader, loss=loss, optimizer=optimizer, **more)

    @functools.cached_property
    def source(self) -> Source:
        """Where the batches to train on come from."""
        return batches.source(self.data, self.batch)

    @functools.cached_property
    def held_out(self) -> Source | None:
        """Where the batches to measure on come from."""
        return batches.measured(self.data, self.validation, self.batch)

    def fresh(self, seed: int) -> "nn.Module":
        """A new model, the same for equal seeds; no generator is moved by it.

        Errors: `TaskError` if it cannot be made or is no module with parameters.
        """
        import torch

        with seeded(seed):
            try:
                model = self.model()
            except Exception as error:
                raise TaskError(f"the model cannot be built: {type(error).__name__}: {error}") from error
        if not isinstance(model, torch.nn.Module):
            raise TaskError(f"model must give a torch.nn.Module; got {type(model).__name__}")
        if not any(p.requires_grad for p in model.parameters()):
            raise TaskError("the model has no parameter that is trained")
        return model

    def steps(self, epochs: int | None = None) -> int:
        """How many steps a run takes, or how many that many epochs take."""
        if self.length is not None and epochs is None:
            return self.length
        try:
            return (epochs or self.epochs) * len(self.source)
        except TypeError:
            raise TaskError("length, the steps of a run, must be given: the loader does not know its own") from None

    def pace(self, steps: int) -> int:
        """Steps between the measurements of a run of that many."""
        return self.every or max(1, steps // MEASURED)

    def rate(self, steps: int) -> Callable[[int], float]:
        """The factor of the learning rate at each step, from 0, of a run of that many steps."""
        return schedules.constant(1.0) if self.schedule is None else self.schedule(steps)

    def evaluate(self, model: Callable[..., Any], batch: Any) -> tuple["Tensor", Any, Any]:
        """The loss of a batch, the model's output and the target.

        Errors: `TaskError` if the loss is no scalar.
        """
        output, target = batches.output(model, batch, self.call)
        loss = self.loss(output, target)
        if getattr(loss, "ndim", None) != 0:
            shape = tuple(loss.shape) if hasattr(loss, "shape") else type(loss).__name__
            raise TaskError(f"loss must give a scalar tensor, the mean over the batch; got {shape}")
        return loss, output, target

    def shorter(self, steps: int) -> Self:
        """The same task with runs of that many steps, each with a complete schedule of its own."""
        return replace(self, length=steps, every=None)


def accuracy(output: Any, target: Any) -> "Tensor":
    """The share of rows whose largest output is at the target's place."""
    return (output.argmax(dim=-1) == target).to(output.dtype).mean()


def describe(task: Task) -> str:
    """A task in a line, for a page."""
    return task.about or f"{task.name}: {inspect.getdoc(task.model) or 'a model of the user'}".splitlines()[0]
