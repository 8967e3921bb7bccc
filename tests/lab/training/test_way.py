"""How a search is run changes no number: stacked or not, here or in worker processes."""

import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from stepwell.lab import Goal, Task, sweep
from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import choose
from stepwell.lab.sweeps.search import Search
from stepwell.lab.training import way
from stepwell.lab.training.group import Way, grouped, train_group
from stepwell.lab.training.plain import evaluating
from stepwell.lab.training.workers import Workers
from stepwell.lab.trial import Run, Trial

X = torch.randn(96, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def task(**more: Any) -> Task:
    """Made of lambdas, as in a notebook."""
    given = {
        "model": lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.Linear(8, 1)).double(),
        "data": (X, X.sum(1, keepdim=True)),
        "loss": lambda output, target: ((output - target) ** 2).mean(),
        "batch": 16,
        "epochs": 3,
    }
    return Task(**given | more)  # pyright: ignore[reportArgumentType]


def numbers(runs: Sequence[Run]) -> dict[Trial, list[float]]:
    return {run.trial: run.curve["loss"] for run in runs}


TRIALS = [Trial(name, lr, seed, 18) for seed in (0, 1) for name in ("adam", "momentum") for lr in (1e-3, 1e-2)]


def close(found: dict[Trial, list[float]], expected: dict[Trial, list[float]]) -> bool:
    assert found.keys() == expected.keys()
    return all(found[trial] == pytest.approx(expected[trial], rel=1e-9) for trial in expected)


def test_every_way_gives_the_same_numbers() -> None:
    training, candidates = task(), choose(["adam", "momentum"])
    alone = numbers(train_group(training, candidates, TRIALS, False))
    for size in (4, 2):
        groups = grouped(TRIALS, size)
        assert len(groups) == 8 // size
        assert all(len({trial.seed for trial in group}) == 1 for group in groups)
        together = [run for group in groups for run in train_group(training, candidates, group, True)]
        assert close(numbers(together), alone)
    workers = Workers(training, candidates, 2)
    try:
        for stacked in (False, True):
            elsewhere = [run for runs in workers.train(grouped(TRIALS, 4), stacked) for run in runs]
            assert close(numbers(elsewhere), alone)
    finally:
        workers.close()


def test_a_goal_is_reached_at_the_same_step_in_whatever_parts_it_is_measured() -> None:
    goal = Goal("accuracy", 0.95, "95 %")
    for share in (
        342 / 360,
        float(torch.tensor(342 / 360)),
        (256 * 243 / 256 + 104 * float(torch.tensor(99 / 104))) / 360,
    ):
        assert goal.reached(1.0, share)
    assert not goal.reached(1.0, 341 / 360)
    assert not goal.reached(1.0, None)
    assert not goal.reached(1.0, float("nan"))
    assert Goal("loss", 0.5, "half").reached(0.5, None)
    assert not Goal("loss", 0.5, "half").reached(float("nan"), None)


def test_what_cannot_be_stacked_is_trained_all_the_same_and_the_reason_said() -> None:
    search = Search(task(), {"own": lambda ps, lr: torch.optim.SGD(ps, lr=lr)}, 3, 1, workers=1)
    runs = list(search)
    assert search.way is not None
    assert not search.way.stacked
    assert "own is not a rule" in search.way.reason
    assert sum(run.loss is not None for run in runs) >= 3


def test_a_small_model_is_stacked() -> None:
    search = Search(task(epochs=30), ["adam", "momentum", "rmsprop"], 8, 1, workers=1)
    list(search)
    assert search.way is not None
    assert search.way.stacked


def test_what_the_user_froze_stays_frozen_while_it_is_measured() -> None:
    model = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 1)).double()
    model[0].eval()
    seen: list[tuple[bool, bool]] = []
    model[1].register_forward_hook(lambda *_: seen.append((model[0].training, model[1].training)))
    with evaluating(model):
        model(X)
    model(X)
    assert seen == [(False, False), (False, True)]


def test_the_generators_are_where_they_were() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    sweep(task(), ["adam"], rates=2, seeds=2, workers=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loader_is_shuffled_the_same_for_all() -> None:
    pairs = torch.utils.data.TensorDataset(X, X.sum(1, keepdim=True))
    loader = torch.utils.data.DataLoader(pairs, 16, shuffle=True)
    training, candidates = task(data=loader), choose(["adam", "momentum"])
    alone = numbers(train_group(training, candidates, TRIALS[:4], False))
    assert close(numbers(train_group(training, candidates, TRIALS[:4], True)), alone)
    other = train_group(training, candidates, [Trial("adam", 1e-3, 7, 18)], False)[0]
    assert other.curve["loss"] != alone[TRIALS[0]]


def test_mistakes_are_said_before_anything_is_trained() -> None:
    candidates, trial = choose(["adam"]), Trial("adam", 1e-3, 0, 5)
    for wrong, words in (
        ({"model": lambda: 5}, "must give a torch.nn.Module; got int"),
        ({"model": lambda: nn.ReLU()}, "no parameter that is trained"),
        ({"data": iter([])}, "iterable more than once"),
        ({"data": 5}, "data must be arrays"),
        ({"data": (X, X[:5])}, "must have one length"),
        ({"loss": lambda output, target: output - target}, "must give a scalar"),
        ({"data": lambda seed: []}, "length, the steps of a run"),
    ):
        with pytest.raises(TaskError, match=words):
            _begun(wrong, candidates, trial)
    for name, value in (("batch", 0), ("epochs", 1.5), ("clip_norm", -1.0), ("loss", None)):
        with pytest.raises(TaskError, match=f"{name} must be"):
            task(**{name: value})


def _begun(wrong: dict[str, Any], candidates: Any, trial: Trial) -> None:
    training = task(**wrong)
    training.steps()
    way.check(training, candidates, trial)


def test_ctrl_c_ends_the_workers() -> None:
    search = Search(task(epochs=40), ["adam"], 4, 4, workers=2)
    search.way = Way(False, 1, 2, 1, "two processes")
    runs = iter(search)
    next(runs)
    assert isinstance(search._crew, Workers)
    pids = search._crew.processes
    runs.close()  # pyright: ignore[reportAttributeAccessIssue]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(os.path.exists(f"/proc/{pid}/cmdline") and _alive(pid) for pid in pids):
        time.sleep(0.05)
    assert not any(_alive(pid) for pid in pids)
    assert threading.active_count() < 50


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] not in "ZX"
    except OSError:
        return False
