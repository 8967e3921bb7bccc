"""The best learning rate of a training, found by short runs that cost about as much as one full run."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepwell.lab.names import unknown
from stepwell.lab.rates.asked import Asked
from stepwell.lab.rates.existing import candidate_of, existing_training
from stepwell.lab.rates.found_rate import FoundRate
from stepwell.lab.rates.range_test import ranged
from stepwell.lab.rates.swept import swept
from stepwell.lab.task import Task

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from stepwell.lab.candidates import Candidate, Make
    from stepwell.rule import Rule

METHODS = {"sweep": swept, "range": ranged}


def find_lr(
    task: Task | None = None,
    optimizer: "str | Rule | Candidate | Make | Optimizer | None" = None,
    *,
    model: "nn.Module | None" = None,
    loss: Callable[[Any, Any], Any] | None = None,
    loader: Any = None,
    steps: int | None = None,
    seeds: int | Sequence[int] | None = None,
    budget: float = 1.1,
    rates: int = 7,
    middle: float | None = None,
    hyper: Mapping[str, float] | None = None,
    method: str = "sweep",
    workers: int = 1,
    **more: Any,
) -> FoundRate:
    """Find the learning rate for full runs of a task, or of an existing training, by short runs.

    `method="sweep"` is two rounds of short whole runs, and what they say of longer ones: see
    `stepwell.lab.rates.short_runs`; `benchmarks/find_lr.py` measures how often it is right. Runs are ranked by the
    validation loss at their end, or where there is no validation by the mean training loss of their last quarter.
    `method="range"` is the classic range test: quick, and often wrong.

    An existing training is its `model`, `optimizer`, `loss` and `loader`. The runs are of copies: weights, buffers,
    gradients, training mode, the optimizer's state and groups, and the generators of Python, NumPy and torch are the
    same to the last bit afterwards, also when it fails or is interrupted; and so is what the loader leads to by
    attributes, closures and the like, generators, counters and orders, as `stepwell.lab.rates.reachable` says.

    Args:
        task: what is trained, if it is no existing training.
        optimizer: a rule, its name, or a function from parameters and `lr=…` to a torch optimizer; None: the task's
            own (see `Task.of`), or "adam"; of an existing training also any torch optimizer whose step needs no
            closure, in the state it is in, without its hooks. Of several groups the largest rate is searched, and the
            others keep their proportion to it.
        model, loss, loader: of an existing training; see `Task.of`.
        steps: of a full run; None: the task's own.
        seeds: of weights, order of data and dropout: how many, from 0, or which. None: one; where runs are stacked,
            as many up to 5 as have time in the budget.
        budget: what the runs may cost, in full runs for each seed. Where full runs are of a few steps, fewer rates
            are tried; where even those cost more, none is, and `reason` says so.
        rates: how many the first round tries, over four decades, before it goes on at an end.
        middle: the rate about which the first round is; None: the optimizer's own.
        hyper: other hyperparameters by name.
        method: "sweep" or "range".
        workers: processes, at most.
        more: other attributes of an existing training's `Task`, such as `validation=…` or `schedule=…`.

    Returns:
        The rate and all that is known of it; with no clear answer, its rate is None and it says why.

    Errors: ValueError (`TaskError` where it is the task) or TypeError, which says what is wrong, before anything is
        trained.

    >>> import torch
    >>> from stepwell.lab import find_lr
    >>> model = torch.nn.Linear(1, 1)
    >>> x = torch.linspace(-1, 1, 64)[:, None]
    >>> loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, 3 * x), 8, shuffle=True)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> found = find_lr(model=model, optimizer=optimizer, loss=torch.nn.functional.mse_loss, loader=loader, epochs=5)
    >>> 0.03 < found.rate < 3, found.cost.runs <= 1.1
    (True, True)
    """
    if method not in METHODS:
        raise ValueError(unknown("method", method, METHODS))
    options: dict[str, Any] = {
        "steps": steps, "seeds": seeds, "budget": budget, "rates": rates, "middle": middle, "hyper": hyper,
        "workers": workers,
    }  # fmt: skip
    parts = {"model": model, "loss": loss, "loader": loader}
    if task is not None:
        if given := [name for name, value in {**parts, **more}.items() if value is not None]:
            raise TypeError(f"{given[0]} belongs to an existing training; got a task beside it")
        candidate = candidate_of(optimizer or task.optimizer or "adam")
        return METHODS[method](task, candidate, Asked.of(task, candidate, **options))
    if missing := [name for name, value in parts.items() if value is None]:
        raise TypeError(f"find_lr needs a task, or model, loss and loader of an existing training; got no {missing[0]}")
    assert model is not None
    assert loss is not None
    with existing_training(model, optimizer or "adam", loss, loader, **more) as (task, candidate, own):
        if hyper and hasattr(optimizer, "param_groups"):
            raise TypeError(f"hyper belongs to a rule, and {candidate.name} has its own; got {hyper!r}")
        options["hyper"] = own or hyper
        return METHODS[method](task, candidate, Asked.of(task, candidate, **options))
