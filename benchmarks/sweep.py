"""A sweep of 64 points against one plain torch run of the same task, and against Optuna with plain torch trials.

The plain run is the loop that everybody writes, with torch.optim.Adam, the same batches and the same measurements. The
sweep includes what it takes to find out how to run it, and its store; kernels are compiled before.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from _measure import Row, milliseconds
from stepwell.lab import tasks
from stepwell.lab.batches import apart
from stepwell.lab.store.study import Store
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.search import Search
from stepwell.lab.task import Task

POINTS = 64
OPTIMIZERS = ("momentum", "adagrad", "rmsprop", "adam")
RATES = POINTS // len(OPTIMIZERS)
COSTS = {"airfoil": 3.0, "digits": 16.0, "digits_cnn": 48.0}  # plain runs that a sweep may cost


def main(quick: bool = False) -> list[Row]:
    """The cost in plain runs, as how many times less than 64 runs it is; then halving, and Optuna."""
    rows = []
    for name, floor in COSTS.items():
        task = _longer(tasks.named[name](None)) if name == "airfoil" else tasks.named[name](None)
        if quick:
            task = replace(task, epochs=max(1, task.epochs // 5))
        rounds = 1 if quick or name == "digits_cnn" else 5
        rows += _sweeps(task, floor, rounds, halving=name == "digits")
    rows.append(_optuna(tasks.named["digits"](None), 1 if quick else 3))
    return rows


def _longer(task: Task) -> Task:
    return replace(task, epochs=10)  # two epochs are over before anything can be measured


def _sweeps(task: Task, floor: float, rounds: int, halving: bool) -> list[Row]:
    sides: dict[str, Callable[[], Any]] = {"plain": lambda: plain(task), "sweep": lambda: _sweep(task)}
    if halving:
        sides["halving"] = lambda: _sweep(task, halving=4)
    best: dict[str, float] = {name: float("inf") for name in sides}
    answers: dict[str, str] = {}
    _sweep(task)
    for _ in range(rounds):
        for name, side in sides.items():
            began = time.perf_counter()
            found = side()
            best[name] = min(best[name], time.perf_counter() - began)
            answers[name] = found
    rows = [_row(f"{task.name}: {POINTS} points, each a whole run", best, "sweep", floor, answers)]
    if halving:
        rows.append(_row(f"{task.name}: {POINTS} points, successive halving", best, "halving", floor / 2, answers))
    return rows


def _row(name: str, seconds: dict[str, float], side: str, cost: float, answers: dict[str, str]) -> Row:
    runs = seconds[side] / seconds["plain"]
    return Row(
        name=name, ratio=POINTS / runs, peer=f"{POINTS} plain torch runs", limit=None, floor=POINTS / cost,
        detail=f"{runs:.1f} runs of {milliseconds(seconds['plain'])}; {answers[side]}",
    )  # fmt: skip


def _sweep(task: Task, halving: int = 0) -> str:
    """The best setting, and how it was found."""
    search = Search(task, OPTIMIZERS, RATES, 1, halving=halving)
    search.strategy = _without_extension(search)
    search.keep_in(Store.open(None, "benchmark", search.settings()))
    results = Results.of(search)
    for _ in results.gather(search):
        pass
    first = results.ranking()[0]
    return f"{first.optimizer} {first.lr:g}; {search.way.reason if search.way else ''}"


def _without_extension(search: Search) -> Any:
    """Sixty-four points, wherever the best one is."""
    strategy: Any = search.strategy
    grid = replace(getattr(strategy, "grid", strategy), farther=0)
    return replace(strategy, grid=grid) if hasattr(strategy, "grid") else grid


def plain(task: Task, lr: float = 1e-3, make: Callable[..., Any] = torch.optim.Adam) -> float:
    """One run by hand; its last loss."""
    torch.manual_seed(0)
    model = task.model()
    optimizer = make(model.parameters(), lr=lr)
    batches, steps = task.source.passes(0), task.steps()
    every, loss = task.pace(steps), float("nan")
    for k in range(steps):
        inputs, targets = apart(next(batches))
        optimizer.zero_grad()
        task.loss(model(inputs), targets).backward()
        optimizer.step()
        if (k + 1) % every == 0:
            loss = _measured(task, model)
    return loss


def _measured(task: Task, model: Any) -> float:
    total, rows = 0.0, 0
    model.eval()
    assert task.held_out is not None
    with torch.no_grad():
        for batch in task.held_out.whole():
            inputs, targets = apart(batch)
            outputs = model(inputs)
            total += float(task.loss(outputs, targets)) * len(targets)
            rows += len(targets)
            if task.metric is not None:
                float(task.metric(outputs, targets))
    model.train()
    return total / rows


def _optuna(task: Task, rounds: int) -> Row:
    """The same points as plain torch trials of an Optuna study; both keep theirs in an SQLite file."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    makes = {
        "momentum": lambda ps, lr: torch.optim.SGD(ps, lr=lr, momentum=0.9), "adagrad": torch.optim.Adagrad,
        "rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam,
    }  # fmt: skip
    search = Search(task, OPTIMIZERS, RATES, 1)
    points = [(t.optimizer, t.lr) for t in search.strategy.propose([])]

    def theirs(folder: str) -> None:
        study = optuna.create_study(storage=f"sqlite:///{folder}/theirs.db")
        for name, lr in points:
            study.enqueue_trial({"optimizer": name, "lr": lr})
        study.optimize(lambda trial: plain(task, *_asked(trial, makes)), n_trials=len(points), catch=())

    def ours(folder: str) -> None:
        search = Search(task, OPTIMIZERS, RATES, 1)
        search.strategy = _without_extension(search)
        search.keep_in(Store.open(f"sqlite:///{folder}/ours.db", "ours", search.settings()))
        for _ in search:
            pass

    best = {"theirs": float("inf"), "ours": float("inf")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(rounds):
            for name, side in (("ours", ours), ("theirs", theirs)):
                with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
                    began = time.perf_counter()
                    side(folder)
                    best[name] = min(best[name], time.perf_counter() - began)
    return Row(
        name=f"digits: the same {POINTS} points, kept in SQLite", ratio=best["theirs"] / best["ours"],
        peer="Optuna with plain torch trials", limit=None, floor=4.0,
        detail=f"{milliseconds(best['ours'])} against {milliseconds(best['theirs'])}",
    )  # fmt: skip


def _asked(trial: Any, makes: dict[str, Any]) -> tuple[float, Any]:
    name = trial.suggest_categorical("optimizer", list(makes))
    return trial.suggest_float("lr", 1e-9, 1e3, log=True), makes[name]
