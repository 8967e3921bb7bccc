"""What is trained, all but its optimizer: factories, since every run needs a fresh state."""

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from stepwell import schedules
from stepwell.domain import REAL, Positive, at_least, check, optional
from stepwell.lab import batches
from stepwell.lab.batches import Source, TaskError, explained
from stepwell.lab.candidates import Candidate, existing
from stepwell.lab.goal import Goal, metric_name
from stepwell.lab.randomness import seeded

if TYPE_CHECKING:
    from torch import Tensor, nn

MEASURED = 20  # measurements of a run, unless a task says how often
COUNT = at_least(1)
NEEDED = {"batch": COUNT, "lowest": REAL}
OPTIONAL = {"epochs": COUNT, "length": COUNT, "every": COUNT, "clip_norm": Positive}


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
        measured, metric_name: what the loss and the metric are called, with their units; by default the metric has the
            name of its function. One that is called "accuracy" is a share, and shown in %.
        goal: when a run has got there, or None. lowest: the least loss there can be; pictures show the loss above it.
        batch: rows a step, where data are arrays or a Dataset.
        epochs: passes over the data. length: steps, instead of epochs, as loaders without a length need.
        every: steps between measurements; by default 20 a run.
        schedule: from the number of steps of a run to a factor of the learning rate at each: `schedules.cosine`.
        clip_norm: the largest norm of all gradients together, or None.
        optimizer: that of an existing training: see `Task.of`.

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
    metric_name: str = ""
    goal: Goal | None = None
    lowest: float = 0.0
    batch: int = 64
    epochs: int = 10
    length: int | None = None
    every: int | None = None
    schedule: Callable[[int], Callable[[int], float]] | None = None
    clip_norm: float | None = None
    optimizer: Candidate | None = None

    def __post_init__(self) -> None:
        for name in ("model", "loss", "metric", "call", "schedule"):
            value = getattr(self, name)
            if not callable(value) and not (value is None and name not in ("model", "loss")):
                raise TaskError(f"{name} must be a function; got {value!r}")
        if not isinstance(self.name, str) or not self.name.strip():
            raise TaskError(f"name must be text that is not empty; got {self.name!r}")
        for domains, read in ((NEEDED, check), (OPTIONAL, optional)):
            for name, domain in domains.items():
                try:
                    object.__setattr__(self, name, read(domain, name, getattr(self, name)))
                except (TypeError, ValueError) as error:
                    raise TaskError(str(error)) from None
        if not self.metric_name:
            object.__setattr__(self, "metric_name", metric_name(self.metric))

    @classmethod
    def of(
        cls, model: "nn.Module", optimizer: Any, loss: Callable[[Any, Any], "Tensor"], loader: Any, **more: Any
    ) -> Self:
        """The task of an existing training: every run starts from copies of this model, with its weights as they are.

        The model and the optimizer are not changed by any run. The loader is the one that is given: its generators are
        put where each run's seed says, and stay there. `more` are the task's other attributes. A torch optimizer is
        kept as a copy, in the state that it is in: what `find_lr(task)` looks for a rate of, and `task.optimizer` in
        `sweep(task, [task.optimizer, "adam"])`. Any other optimizer is none of the task's.

        Errors: `TaskError` for a model or an optimizer that cannot be copied.
        """
        import torch

        with explained("the model cannot be copied"):
            kept = copy.deepcopy(model)
        for parameter in kept.parameters():
            parameter.grad = None
        if isinstance(optimizer, torch.optim.Optimizer):
            own = existing(model, optimizer)
            more["optimizer"] = existing(kept, own.build(kept, own.rate, {}))
        return cls(model=_Copies(kept), data=loader, loss=loss, **more)

    @functools.cached_property
    def source(self) -> Source:
        """Where the batches to train on come from."""
        with explained("data cannot be used"):
            return batches.source(self.data, self.batch)

    @functools.cached_property
    def held_out(self) -> Source | None:
        """Where the batches to measure on come from."""
        with explained("validation cannot be used"):
            return batches.measured(self.data, self.validation, self.batch)

    def fresh(self, seed: int) -> "nn.Module":
        """A new model, the same for equal seeds; no generator is moved by it.

        Errors: `TaskError` if it cannot be made or is no module with parameters.
        """
        import torch
        from torch.nn.parameter import is_lazy

        with seeded(seed), explained("the model cannot be built"):
            model = self.model()
        if not isinstance(model, torch.nn.Module):
            raise TaskError(f"model must give a torch.nn.Module; got {type(model).__name__}")
        if lazy := [name for name, p in (*model.named_parameters(), *model.named_buffers()) if is_lazy(p)]:
            raise TaskError(
                f"the model does not know the shape of {lazy[0]} yet: call it once on a batch, as it is made"
            )
        if not any(p.requires_grad for p in model.parameters()):
            raise TaskError("the model has no parameter that is trained")
        return model

    def steps(self, epochs: int | None = None) -> int:
        """How many steps a run takes, or how many that many epochs take."""
        if self.length is not None and epochs is None:
            return self.length
        if self.epochs is None and epochs is None:
            raise TaskError("epochs or length must be given; got neither")
        source = self.source
        try:
            return (epochs or self.epochs) * len(source)
        except TypeError:
            raise TaskError("length, the steps of a run, must be given: the loader does not know its own") from None

    def pace(self, steps: int) -> int:
        """Steps between the measurements of a run of that many."""
        return self.every or max(1, steps // MEASURED)

    def rate(self, steps: int) -> Callable[[int], float]:
        """The factor of the learning rate at each step, from 0, of a run of that many steps.

        Errors: `TaskError` for a schedule that refuses the length, or gives no function of the step.
        """
        if self.schedule is None:
            return schedules.constant(1.0)
        with explained(f"schedule fails for runs of {steps} steps"):
            made = self.schedule(steps)
        if not callable(made):
            raise TaskError(f"schedule must give a function of the step, as schedules.cosine does; got {made!r}")
        return made

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


def describe(task: Task) -> str:
    """A task in a line, for a page."""
    return (task.about.strip() or f"{task.name}: {_about_model(task.model)}").splitlines()[0]


@dataclass(frozen=True)
class _Copies:
    """What makes models that are copies of one."""

    of: "nn.Module"

    def __call__(self) -> "nn.Module":
        return copy.deepcopy(self.of)


def _about_model(make: Any) -> str:
    if isinstance(make, _Copies):
        return f"copies of a {type(make.of).__name__}"
    if isinstance(make, functools.partial):
        return _about_model(make.func)
    return inspect.cleandoc(make.__doc__ or "") or "a model of the user"
