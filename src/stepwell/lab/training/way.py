"""How a search is run: stacked or one by one, in groups of what size, in which processes. Measured, not guessed."""

import functools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stepwell.kernels import pool
from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import Candidate
from stepwell.lab.randomness import preserved, sow
from stepwell.lab.task import Task
from stepwell.lab.training import workers as processes
from stepwell.lab.training.group import Way
from stepwell.lab.training.memory import kept
from stepwell.lab.training.plain import Plain, one_thread, threads_here, torch_threads
from stepwell.lab.training.stacked import Stacked, Unstackable
from stepwell.lab.training.stacked_step import refusal
from stepwell.lab.trial import Trial

START = 4.0  # seconds until worker processes have imported torch
ROUNDS = 3  # steps that are timed
SMALLEST = 4  # trials of the smallest group worth trying, where larger ones have been
WORTH = 0.03  # of the best way's seconds: what finding a better one may cost
TOLERANCE = {"torch.float64": 1e-6}
LOOSE = 2e-3  # for every other precision


def check(task: Task, candidates: Mapping[str, Candidate], trial: Trial) -> None:
    """Try a measurement and a step of a trial, so that what is wrong with a task is said before anything is trained.

    Errors: `TaskError` that says what is wrong.
    """
    learner = Plain(task, candidates[trial.optimizer], trial)
    where = {"validation": _measurements(task, learner)[:1], "training": _losses(task, learner, trial, 1)}
    for data, losses in where.items():
        for loss in losses:
            if not math.isfinite(loss):
                what = f"the {data} loss is {loss} before the first step"
                raise TaskError(f"{what}: look for NaN in the data, and at the initial weights")


def measured(
    task: Task,
    candidates: Mapping[str, Candidate],
    trials: Sequence[Trial],
    workers: int | None = None,
    elsewhere: bool = False,
) -> Way:
    """The quickest way to train these trials, found by a few steps of each.

    Args:
        workers: processes, at most; None: one for each processor.
        elsewhere: whether they are to be trained in other processes in any case.
    """
    most = pool.cores() if workers is None else workers
    if processes.portable(task, candidates):
        most = 1
    with one_thread():
        plain = seconds_a_step(task, lambda: Plain(task, candidates[trials[0].optimizer], trials[0]), trials[0])
    alone = plain * trials[0].steps * len(trials)
    ways = [(alone, Way(False, 1, 1, 1, "one run after the other"))]
    ways += _in_processes(alone, Way(False, 1, most, 1, "one run after the other"), len(trials))
    one_seed = [t for t in trials if (t.seed, t.steps) == (trials[0].seed, trials[0].steps)]
    one_seed = [t for t in one_seed if not refusal([candidates[t.optimizer]])] or one_seed  # train_group has the others
    if reason := unstackable(task, candidates, one_seed):
        found = _quickest(ways, elsewhere)
        return replace(found, reason=f"{found.reason}: {reason}")
    ways += _stacked_ways(task, candidates, one_seed, len(trials), most, alone)
    return _quickest(ways, elsewhere)


def _quickest(ways: Sequence[tuple[float, Way]], elsewhere: bool) -> Way:
    """The way with the least seconds, of those in other processes if there is any and it has to be one."""
    some = [each for each in ways if each[1].workers > 1] if elsewhere else []
    return min(some or ways, key=lambda each: each[0])[1]


def _in_processes(seconds: float, way: Way, groups: int) -> list[tuple[float, Way]]:
    """The same in worker processes, if there is work for more than one."""
    workers = min(way.workers, groups)
    rounds = -(-groups // workers) / groups  # the share of the groups that one process has
    return [(seconds * rounds + START, replace(way, workers=workers))] if workers > 1 else []


def unstackable(task: Task, candidates: Mapping[str, Candidate], trials: Sequence[Trial]) -> str:
    """Why these trials, of one seed, cannot be one training; empty if they can, and give the same numbers."""
    gentle = min(trials, key=lambda t: t.lr)
    try:
        together = _probed(task, Stacked(task, candidates, [gentle, gentle]), gentle)
    except Unstackable as error:
        return str(error)
    except Exception as error:
        return f"torch.vmap does not take the model ({type(error).__name__}: {_first_line(error)})"
    with one_thread():
        alone = _probed(task, Plain(task, candidates[gentle.optimizer], gentle), gentle)
    dtype = str(next(task.fresh(gentle.seed).parameters()).dtype)
    for one, other in zip(alone, together, strict=True):
        if not math.isclose(one, other, rel_tol=TOLERANCE.get(dtype, LOOSE), abs_tol=1e-6):
            return f"stacked, the model gives other numbers ({other:.6g}, and not {one:.6g})"
    return ""


def _probed(task: Task, learner: Any, trial: Trial) -> list[float]:
    """What must be the same whoever takes the steps: two losses, and what is measured after them."""
    return [*_losses(task, learner, trial, 2), *_measurements(task, learner)]


def _stacked_ways(
    task: Task, candidates: Mapping[str, Candidate], trials: Sequence[Trial], total: int, workers: int, best: float
) -> list[tuple[float, Way]]:
    """Ever smaller groups, as long as they are quicker; each with all threads, and with one."""
    ways: list[tuple[float, Way]] = []
    size, steps, most = len(trials), trials[0].steps, threads_here()
    while size > 1:
        stack = functools.partial(Stacked, task, candidates, trials[:size])
        found: list[tuple[float, Way]] = []
        began = time.perf_counter()
        for threads in sorted({1, most}):
            try:
                with torch_threads(threads):
                    took = seconds_a_step(task, stack, trials[0])
            except (MemoryError, RuntimeError):  # torch's word for too little memory
                break
            way = Way(True, size, 1, threads, f"stacked, up to {size} runs as one training")
            estimate = took * steps * total / size
            found.append((estimate, way))
            if threads == 1:
                found += _in_processes(estimate, replace(way, workers=workers), -(-total // size))
        if found and ways and min(found, key=lambda each: each[0])[0] > 0.95 * min(ways, key=lambda each: each[0])[0]:
            break
        ways += found
        best = min([best, *(seconds for seconds, _ in found)])
        if time.perf_counter() - began > WORTH * best or size < 2 * SMALLEST:
            break
        size = -(-size // 2)
    return ways


def seconds_a_step(task: Task, make: Callable[[], Any], trial: Trial) -> float:
    """Seconds a step, the median of a few after the first."""
    times = []
    with preserved(), kept():
        learner = make()
        sow(trial.seed, 1)
        batches = task.source.passes(trial.seed)
        for _ in range(1 + ROUNDS):
            batch = _given(batches)
            began = time.perf_counter()
            learner.step(batch)
            times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def _losses(task: Task, learner: Any, trial: Trial, steps: int) -> list[float]:
    """The first losses of a learner's first trial."""
    with preserved():
        sow(trial.seed, 1)
        batches = task.source.passes(trial.seed)
        return [float(learner.step(_given(batches))[0]) for _ in range(steps)]


def _measurements(task: Task, learner: Any) -> list[float]:
    """Loss and metric of a learner's first trial on what is held out, as far as there is any."""
    if task.held_out is None:
        return []
    with preserved():
        return [x for x in learner.measure()[0] if x is not None]


def _given(batches: Iterator[Any]) -> Any:
    batch = next(batches, None)
    if batch is None:
        raise TaskError("data gave no batch: a loader must not be empty")
    return batch


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no reason given").splitlines()[0][:200]
