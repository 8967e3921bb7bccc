"""Many trials as one training: their parameters stacked, one batch for all, one kernel call a rule.

At one seed all trials have the same initial weights, the same batches and the same draws of dropout, so what differs
is the optimizer alone. `torch.func.vmap` carries the model over the stacked parameters; the optimizer's step is the
same machine code as elsewhere, over a table with a row for each tensor of each trial.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepwell.lab.batches import TaskError, apart, leaves, mapped, rows_of
from stepwell.lab.candidates import Candidate
from stepwell.lab.task import Task
from stepwell.lab.training.fixed import is_fixed, model_is_fixed
from stepwell.lab.training.plain import evaluating
from stepwell.lab.training.stacked_step import StackedStep, refusal
from stepwell.lab.training.traced import Traced
from stepwell.lab.trial import Trial

DENSE = 0.75  # the share of a stack that goes on, below which the others are left out of it
ROWS = 1 << 14  # rows measured at once, at most, over all models

if TYPE_CHECKING:
    from torch import Tensor, nn


class Unstackable(Exception):
    """Why these trials cannot be one training; the message is for the user."""


class Stacked:
    """The models of some trials of one seed, and their optimizers.

    Raises:
        Unstackable: an optimizer, a parameter or the model itself is not made for it.
    """

    def __init__(self, task: Task, candidates: Mapping[str, Candidate], trials: Sequence[Trial]):
        import torch

        self.task, self.model = task, task.fresh(trials[0].seed)
        trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if reason := refusal([candidates[t.optimizer] for t in trials], list(trained.values())):
            raise Unstackable(reason)
        count = len(trials)
        self.parameters = {name: _stack(p, count).requires_grad_() for name, p in trained.items()}
        moved = _moving(task, self.model)
        self.buffers = {name: _stack(b, count) for name, b in self.model.named_buffers() if name in moved}
        self.still = {name: b for name, b in self.model.named_buffers() if name not in moved}
        self.optimizer = StackedStep(task, candidates, trials, list(self.parameters.values()))
        self.alive = list(range(count))  # places in the stack of the trials that go on
        self._losses = torch.func.vmap(self._loss, in_dims=(0, 0, None), randomness="same")
        self._gradients = Traced(self._step, model_is_fixed(self.model) and is_fixed(task.loss) and task.call is None)
        self.left, self._metric_stacks = trials[0].steps, True
        self._evaluated = torch.func.vmap(self._evaluation, in_dims=(0, 0, None), randomness="same")

    def _loss(self, parameters: dict[str, Any], buffers: dict[str, Any], batch: Any) -> "Tensor":
        return self._evaluation(parameters, buffers, batch)[0]

    def _evaluation(self, parameters: dict[str, Any], buffers: dict[str, Any], batch: Any) -> Any:
        from torch.func import functional_call

        own = {**parameters, **buffers}

        def model(*args: Any, **kwargs: Any) -> Any:
            found = functional_call(self.model, own, args, kwargs)
            self._none_replaced(buffers, own)
            return found

        loss, output, _ = self.task.evaluate(_Called(model, self.model), batch)
        return loss, output

    def _none_replaced(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """`functional_call` loses a buffer that the model assigns anew; one that is changed in place is kept."""
        replaced = [name for name, b in before.items() if after[name] is not b]
        replaced += [name for name, b in self.still.items() if self.model.get_buffer(name) is not b]
        if replaced:
            raise Unstackable(f"the model puts another tensor in the place of its buffer {replaced[0]}")

    def step(self, batch: Any) -> "Tensor":
        """A step of each; their losses before it."""
        self.left -= 1
        losses, gradients = self._gradients(self.parameters, self.buffers, batch, self.left)
        self.optimizer.step(gradients)
        return losses[self.alive] if len(self.alive) < len(losses) else losses

    def _step(self, parameters: dict[str, Any], buffers: dict[str, Any], batch: Any) -> Any:
        import torch

        losses = self._losses(parameters, buffers, batch)
        gradients = torch.autograd.grad(losses.sum(), list(parameters.values()), allow_unused=True)
        return losses.detach(), gradients

    def measure(self) -> list[tuple[float, float | None]]:
        """Loss and metric of each over what is held out, means over its rows."""
        import torch

        total: Any = 0.0
        scores: Any = 0.0
        counted = 0
        assert self.task.held_out is not None
        with torch.no_grad(), evaluating(self.model):
            for batch in self.task.held_out.whole():
                rows = rows_of(batch)
                parts = [self._measured(some, batch) for some in self._slices(max(1, ROWS // rows))]
                losses, metrics = (torch.cat(each) for each in zip(*parts, strict=True))
                total, scores, counted = total + rows * losses, scores + rows * metrics, counted + rows
        if not counted:
            raise TaskError("validation must have one row or more; got none")
        means = (total / counted).tolist()
        metrics = [None] * len(means) if self.task.metric is None else (scores / counted).tolist()
        return [(means[place], metrics[place]) for place in self.alive]

    def _slices(self, size: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Parameters and buffers of at most that many models at a time."""
        for low in range(0, len(next(iter(self.parameters.values()))), size):
            parameters, buffers = (
                {name: x[low : low + size] for name, x in each.items()} for each in (self.parameters, self.buffers)
            )
            yield parameters, buffers

    def _measured(self, some: tuple[dict[str, Any], dict[str, Any]], batch: Any) -> tuple["Tensor", "Tensor"]:
        """Losses and metrics of some models on a batch."""
        losses, outputs = self._evaluated(*some, batch)
        losses = losses.double()
        return losses, losses if self.task.metric is None else self._scores(outputs, batch)

    def _scores(self, outputs: Any, batch: Any) -> "Tensor":
        """The metric of each; one after the other, if it asks for numbers and so cannot be stacked."""
        import torch

        metric, target = self.task.metric, apart(batch)[1]
        assert metric is not None
        count = len(leaves(outputs)[0])
        if self._metric_stacks:
            try:
                found = torch.func.vmap(metric, in_dims=(0, None), randomness="same")(outputs, target)
                return found.double().reshape(count)
            except Exception:
                self._metric_stacks = False
        each = [metric(mapped(lambda x, i=i: x[i], outputs), target) for i in range(count)]
        return torch.tensor([float(x) for x in each], dtype=torch.float64)

    def keep(self, places: list[int]) -> None:
        """Go on with these of the trials alone; a few others in the stack cost less than a stack of another size."""
        self.alive = [self.alive[k] for k in places]
        if len(self.alive) < DENSE * len(next(iter(self.parameters.values()))):
            self._close_up()

    def _close_up(self) -> None:
        """Leave those that do not go on out of the stack."""
        import torch

        kept = torch.tensor(self.alive)
        self.parameters = {name: p.detach()[kept].requires_grad_() for name, p in self.parameters.items()}
        self.buffers = {name: b[kept] for name, b in self.buffers.items()}
        self._gradients.forget()
        self.optimizer.keep(self.alive, list(self.parameters.values()))
        self.alive = list(range(len(kept)))


class _Called:
    """A model whose call is another's, and whose attributes are its own: for a task's `call`."""

    def __init__(self, call: Callable[..., Any], model: "nn.Module"):
        vars(self).update(_call=call, _model=model)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._model, name, value)


def _stack(x: "Tensor", count: int) -> "Tensor":
    import torch

    return x.detach().expand(count, *x.shape).clone(memory_format=torch.contiguous_format)  # as its gradients will be


def _moving(task: Task, model: "nn.Module") -> set[str]:
    """The buffers that a training step changes: the others are the same for all trials, and need no copies."""
    import torch

    from stepwell.lab.randomness import seeded

    probe = copy.deepcopy(model)
    before = {name: b.clone() for name, b in probe.named_buffers()}
    if not before:
        return set()
    with seeded(0), torch.no_grad():
        batch = next(task.source.passes(0), None)
        if batch is None:
            raise TaskError("data gave no batch: a loader must not be empty")
        task.evaluate(probe, batch)
    return {name for name, b in probe.named_buffers() if not torch.equal(b, before[name])}
