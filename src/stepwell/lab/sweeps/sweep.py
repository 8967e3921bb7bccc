"""Which optimizer, which learning rate: the whole search in one call."""

from collections.abc import Callable, Sequence

from stepwell.lab.candidates import Wanted
from stepwell.lab.store.study import Store
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.search import Search
from stepwell.lab.task import Task
from stepwell.lab.trial import Run

USUAL = ("gradient_descent", "momentum", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "lion")
"""What is tried unless said otherwise: of each idea the form that most people train with."""


def sweep(
    task: Task,
    optimizers: Wanted = USUAL,
    *,
    rates: int = 12,
    seeds: int | Sequence[int] = 3,
    epochs: int | None = None,
    halving: int = 0,
    trials: int = 0,
    sampler: str = "tpe",
    workers: int | None = None,
    storage: str | None = None,
    study: str = "",
    resume: bool = False,
    join: bool = False,
    ray: str | None = None,
    progress: Callable[[Run], object] | None = None,
) -> Results:
    """Train a task with each optimizer, at a grid of learning rates around its own, with some seeds; rank them.

    At one seed all runs have the same initial weights, the same order of data and the same draws of dropout. Runs of
    one seed are trained as one, where that is quicker; the numbers are those of separate runs.

    Args:
        task: what is trained.
        optimizers: rules, names of rules, or by name functions from parameters and `lr=…` to a torch optimizer;
            None: every algorithm of `stepwell.rules`.
        rates: learning rates of a grid: two a decade, from 8 on three. A best at the edge extends it.
        seeds: how many, from 0; or which.
        epochs: passes over the data; None: the task's own.
        halving: 0: every run is a whole one. Else the factor of successive halving: all rates for a short run with a
            schedule of its own, the best of each optimizer for a longer one, and so on.
        trials: choices of each optimizer that a `sampler` ("tpe" or "qmc") makes, instead of a grid: of the rate alone
            below 10, then of the momentum too, from 20 on of ε as well.
        workers: processes, at most; None: one for each processor, where that pays.
        storage: where every run is kept as a trial of an Optuna study: an SQLAlchemy URL such as
            "sqlite:///study.db", or a path ending in .log; None: in memory.
        study: the study's name; empty: the task's.
        resume: go on with a study that there is; nothing of it is done again.
        join: share the study with the other processes that do so, on this machine or others: each trains what no other
            does, all have the results of all, and what one that was killed had begun is done by the others.
        ray: the address of a cluster of Ray, as `ray.init` takes it, whose processors train the groups; "local": Ray on
            this machine, with as many processes as `workers` says; None: without Ray.
        progress: called with each run as it ends.

    Errors: ValueError for an unknown optimizer or sampler, and a count below 1; `TaskError` (a ValueError) for a task
        that cannot be trained; `StoreError` for a storage that cannot be used, or fails later; `WorkerError` for a
        group at which workers died several times, and for a cluster that is not there.

    >>> import torch
    >>> from stepwell.lab import sweep
    >>> from stepwell.lab.task import Task
    >>> x = torch.linspace(-1, 1, 64)[:, None]
    >>> line = Task(model=lambda: torch.nn.Linear(1, 1), data=(x, 3 * x), loss=torch.nn.functional.mse_loss, batch=8)
    >>> results = sweep(line, ["gradient_descent", "adam"], rates=3, seeds=2, workers=1)
    >>> results.ranking()[0].optimizer, len(results.runs) >= 12
    ('gradient_descent', True)
    """
    options = {"halving": halving, "trials": trials, "sampler": sampler, "ray": ray}
    search = Search(task, optimizers, rates, seeds, epochs, workers, **options)
    if storage is not None or join:
        store = Store.open(storage, study or task.name, search.settings(), resume=resume, join=join)
        search.keep_in(store)
    results = Results.of(search)
    for run in results.gather(search):
        if progress is not None:
            progress(run)
    return results
