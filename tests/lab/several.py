"""A sweep that several do together, and what must be the same whoever does it.

python -m tests.lab.several LEASE ARGUMENTS    is `stepwell ARGUMENTS`, where who is silent for LEASE seconds is gone,
                                               and who is interrupted notices, also in the background of a shell
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from torch import nn

from stepwell.lab.store import claims
from stepwell.lab.store.study import Store
from stepwell.lab.sweeps.search import Search
from stepwell.lab.task import Task
from stepwell.lab.training.group import Way
from stepwell.lab.trial import Run, Trial

ROOT = Path(__file__).parents[2]
PATIENCE = 240
LEASE = 3.0
OPTIMIZERS = ("adam", "momentum")
RATES, SEEDS = 3, 3
X = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]


class Slow(nn.Linear):
    """A model of which a training takes a while, so that there is a middle of it."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        time.sleep(0.004)
        return super().forward(input)


def model() -> nn.Module:
    return Slow(1, 1).double()


task = Task(model=model, data=(X, 3 * X), loss=nn.functional.mse_loss, batch=8, length=40, name="several")


def search(**more: Any) -> Search:
    """The sweep, one run after the other unless `more` says otherwise."""
    return Search(task, OPTIMIZERS, RATES, SEEDS, **more)


def one_process() -> dict[Trial, list[float]]:
    """What one process makes of it."""
    alone = search(workers=1)
    alone.way = Way(False, 1, 1, 1, "one by one")
    return numbers(alone)


def numbers(runs: Iterable[Run]) -> dict[Trial, list[float]]:
    """The losses of each trial; none of them may be there twice."""
    found = list(runs)
    assert len({run.trial for run in found}) == len(found)
    return {run.trial: run.curve["loss"] for run in found}


def same(found: dict[Trial, list[float]], expected: dict[Trial, list[float]]) -> None:
    assert found.keys() == expected.keys()
    for trial, losses in expected.items():
        assert found[trial] == pytest.approx(losses, rel=1e-9, abs=1e-12), trial


def stored(url: str) -> dict[Trial, list[float]]:
    """The runs in a storage's study, each of which must be one trial of Optuna's."""
    store = Store.open(url, "together", search().settings(), join=True)
    runs = store.runs()
    assert len(store.study.trials) == len(runs)
    return numbers(runs)


def process(url: str, out: Path, *more: str) -> "subprocess.Popen[str]":
    """A process that does its share."""
    options = ["--only", ",".join(OPTIMIZERS), "--rates", str(RATES), "--seeds", str(SEEDS), "--workers", "1"]
    where = ["--storage", url, "--study", "together", "--join", "--out", str(out), "--json"]
    command = [sys.executable, "-m", "tests.lab.several", str(LEASE), "sweep", "tests.lab.several:task"]
    return subprocess.Popen(
        [*command, *options, *where, *more], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def runs_there(url: str, study: str) -> int:
    """How many runs a storage has by now."""
    try:
        found = optuna.get_all_study_summaries(url_of(url))
    except Exception:
        return 0  # it is being made
    return sum(each.n_trials for each in found if each.study_name.startswith(study))


def url_of(url: str) -> Any:
    """What Optuna calls the same storage."""
    if "://" in url:
        return url.replace("postgresql://", "postgresql+psycopg2://")
    return JournalStorage(JournalFileBackend(url))


def until_there(url: str, count: int, running: "subprocess.Popen[str]", study: str = "together") -> None:
    """Wait until there are so many runs in the studies called so, or so and more, while a process makes them."""
    deadline = time.monotonic() + PATIENCE
    while runs_there(url, study) < count:
        assert running.poll() is None, running.stderr and running.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)


if __name__ == "__main__":
    from stepwell.cli import app

    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    os.environ["COLUMNS"] = "200"
    claims.LEASE = float(sys.argv[1])
    app(sys.argv[2:])
