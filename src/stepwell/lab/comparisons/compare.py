"""Which optimizer is better, and how sure that is: equal tuning budgets, fresh paired seeds, an A/A run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stepwell.domain import at_least, check
from stepwell.lab.candidates import Make, choose
from stepwell.lab.comparisons.comparison import Comparison
from stepwell.lab.comparisons.contest import Contest
from stepwell.lab.comparisons.judge import fewest
from stepwell.lab.comparisons.pace import step_seconds
from stepwell.lab.comparisons.rounds import Rounds
from stepwell.lab.statistics.reading import BETWEEN
from stepwell.lab.store.study import Store
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.sampled import SAMPLERS, Sampled
from stepwell.lab.sweeps.search import Search
from stepwell.lab.sweeps.strategy import Grid, Strategy, rate
from stepwell.lab.sweeps.sweep import USUAL
from stepwell.lab.task import Task
from stepwell.lab.trial import Run, seeds_of
from stepwell.rule import Rule

GRID = "grid"
Optimizers = Sequence[str | Rule] | Mapping[str, Make] | None


def compare(
    tasks: Task | Sequence[Task],
    optimizers: Optimizers = USUAL,
    *,
    trials: int = 12,
    tuning_seeds: int | Sequence[int] = 3,
    seeds: int | Sequence[int] = 10,
    sampler: str = GRID,
    epochs: int | None = None,
    level: float = 0.95,
    workers: int | None = None,
    storage: str | None = None,
    study: str = "",
    resume: bool = False,
    progress: Callable[[Run], object] | None = None,
) -> Comparison:
    """Tune each optimizer with equal budgets, then say which is better, on seeds that no tuning has seen.

    Of each optimizer as many settings are tried, with the same seeds and as many steps; no grid is extended for one
    alone. The best, by the median over the tuning seeds, is trained on fresh seeds: at one seed all optimizers have the
    same initial weights, order of data and draws of dropout. The first of them is trained on as many seeds again, for
    the noise floor. See `stepwell.lab.comparisons.judge` for what is then called a difference.

    Args:
        tasks: what is trained; several give a performance profile as well.
        optimizers: two or more; see `candidates.choose`.
        trials: settings of each that are tried.
        tuning_seeds: for each setting: how many, from 0; or which.
        seeds: the fresh ones: how many, after those of the tuning; or which. Those of the A/A run come after both.
        sampler: "grid", of rates around each optimizer's own, three a decade (two below 8); or "qmc" or "tpe", which
            from 10 trials on choose the momentum too, and from 20 on ε: see `stepwell.lab.sweeps.sampled`.
        epochs: passes over the data; None: each task's own.
        level: the share of comparisons of equal optimizers in which no difference is claimed.
        workers, storage, resume: as for `stepwell.lab.sweep`. study: what the studies' names begin with, then
            comes a colon and the task's.
        progress: called with each run as it ends.

    Errors: ValueError for fewer than two optimizers or seeds, for an unknown name, for tasks of one name, and for a
        number outside its domain; `TaskError` and `StoreError` as for a sweep.

    >>> import torch
    >>> from stepwell.lab import compare
    >>> from stepwell.lab.task import Task
    >>> x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.2])
    >>> y = x @ torch.tensor([[1.0], [5.0]])
    >>> loss = torch.nn.functional.mse_loss
    >>> line = Task(model=lambda: torch.nn.Linear(2, 1, bias=False), data=(x, y), loss=loss, batch=32, length=40)
    >>> found = compare(line, ["gradient_descent", "momentum"], trials=7, tuning_seeds=1, seeds=6, workers=1)
    >>> [(each.optimizer, each.verdict) for each in found.contests[0].judgement.standings]
    [('momentum', 'best'), ('gradient_descent', 'worse')]
    """
    options = {"trials": trials, "tuning_seeds": tuning_seeds, "seeds": seeds, "sampler": sampler, "level": level}
    searches = planned(tasks, optimizers, epochs=epochs, workers=workers, **options)
    for search in searches if storage is not None else ():
        name = f"{study or 'compare'}:{search.task.name}"
        search.keep_in(Store.open(storage, name, search.settings(), resume=resume))
    found: list[Contest] = []
    for search in searches:
        growing = Growing.of(search)
        for run in growing.gather(search):
            if progress is not None:
                progress(run)
        found.append(growing.contest())
    return Comparison(found)


def planned(
    tasks: Task | Sequence[Task], optimizers: Optimizers, *, trials: int, tuning_seeds: int | Sequence[int],
    seeds: int | Sequence[int], sampler: str, epochs: int | None, level: float, workers: int | None,
) -> list[Search]:  # fmt: skip
    """The search of each task that `compare` makes, all checked before anything is trained; see there."""
    chosen = [tasks] if isinstance(tasks, Task) else list(tasks)
    names = [task.name for task in chosen]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"tasks must be one or more, of different names; got {', '.join(names) or 'none'}")
    if sampler not in (GRID, *SAMPLERS):
        raise ValueError(f"sampler must be one of {', '.join((GRID, *SAMPLERS))}; got {sampler!r}")
    trials = at_least(1).check("trials", trials)
    level = check(BETWEEN, "level", level)
    tuned_on = seeds_of("tuning_seeds", tuning_seeds)
    fresh = seeds_of("seeds", seeds, tuned_on)
    again = seeds_of("again", len(fresh), [*tuned_on, *fresh])
    compared = list(choose(optimizers))
    if len(compared) < 2:
        raise ValueError(f"optimizers must be two or more, to be compared; got {compared[0]} alone")
    if len(fresh) < 2:
        least, of_any_law = fewest(level, len(compared))
        needs = f"a claim at {100 * level:g} % needs {least}, and {of_any_law} where differences are not normal"
        raise ValueError(f"seeds must be 2 or more; got {len(fresh)}: one cannot tell optimizers apart, and {needs}")
    found = []
    for task in chosen:
        search = Search(task, optimizers, trials, tuned_on, epochs, workers)
        tuning = _tuning(search, trials, None if sampler == GRID else sampler)
        search.strategy = Rounds(tuning, search.optimizers, tuned_on, fresh, again, search.steps)
        search.planned = search.strategy.expected([])
        search.asked |= {"trials": trials if sampler != GRID else 0, "sampler": None if sampler == GRID else sampler,
                         "confirmation": fresh, "again": again, "level": level, "spaces": _spaces(tuning)}  # fmt: skip
        found.append(search)
    return found


class Growing(Results):
    """The runs of one task as they are made, and at the end how long a step of each optimizer takes.

    Attributes:
        before: the tasks that are done, which go into the same file.
    """

    before: Sequence[Contest] = ()
    step_seconds: Mapping[str, float] = MappingProxyType({})

    def gather(self, search: Search) -> Iterator[Run]:
        """Train what the search plans."""
        yield from super().gather(search)
        trials = {name: runs[0].trial for name, runs in self.contest().confirmed.items()}
        self.step_seconds = step_seconds(search.task, search.candidates, trials)

    def contest(self) -> Contest:
        """What the runs say until now."""
        return Contest(replace(self, runs=list(self.runs)), dict(self.step_seconds))

    def write(self, folder: Path) -> None:
        """Put comparison.json into a folder, with what is done until now."""
        Comparison([*self.before, self.contest()]).write(folder)


def _tuning(search: Search, trials: int, sampler: str | None) -> Strategy:
    if sampler:
        return Sampled(search.candidates, trials, sampler, search.seeds, search.steps)
    return Grid(search.candidates, trials, search.seeds, search.steps, farther=0)  # or budgets would not be equal


def _spaces(tuning: Strategy) -> dict[str, dict[str, list[float]]]:
    """By optimizer and hyperparameter the ends of the range that is searched; of a momentum β, of 1 - β."""
    if isinstance(tuning, Sampled):
        drawn: dict[str, dict[str, Any]] = {name: tuning.space(name) for name in tuning.candidates}
        return {name: {key: [each.low, each.high] for key, each in space.items()} for name, space in drawn.items()}
    assert isinstance(tuning, Grid)
    ends = min(tuning.places), max(tuning.places)
    middles = {name: candidate.rate for name, candidate in tuning.candidates.items()}
    return {name: {"lr": [rate(middle, end, tuning.rates) for end in ends]} for name, middle in middles.items()}
