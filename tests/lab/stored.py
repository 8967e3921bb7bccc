"""Runs that were never trained, and a process that keeps groups of them until it is killed.

python stored.py URL FIRST [GROUPS]    adds groups of 8 runs, whose seeds begin at FIRST; without an end by default
python stored.py URL kill              adds, is killed and begins again, some times
"""

import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from stepwell.lab.store.study import Store
from stepwell.lab.trial import DIVERGED, DONE, Run

SETTINGS = {"optimizers": ["adam", "momentum"], "rates": [1e-3, 1e-2], "task": {"name": "digits", "batch": 64}}
GROUP = 8


def run(seed: int = 0, loss: float | None = 1 / 3, metric: float | None = 0.1 + 0.2, **changes: Any) -> Run:
    """A run of 400 steps, measured twice; without a loss it diverged."""
    status = DIVERGED if loss is None else DONE
    curve = {"step": [200, 400], "loss": [2 / 3, loss], "metric": [] if metric is None else [1 / 7, metric]}
    facts: dict[str, Any] = {
        "optimizer": "adam", "lr": 1e-3, "seed": seed, "steps": 400, "hyper": (("beta1", 0.9), ("eps", 1e-8)),
        "status": status, "taken": 400, "goal_step": None, "loss": loss, "metric": metric, "best": loss,
        "seconds": 0.25, "curve": curve,
    }  # fmt: skip
    return Run(**(facts | changes))


def group(first: int, size: int = GROUP) -> list[Run]:
    """Runs that differ by their seeds; every third diverged."""
    return [run(seed, None if seed % 3 == 2 else 1 / (seed + 1)) for seed in range(first, first + size)]


def write(store: Store, first: int, groups: int | None = None) -> None:
    """Add groups and say each, from 0, on standard output when it is kept."""
    for number in itertools.count() if groups is None else range(groups):
        store.add(group(first + GROUP * number))
        os.write(1, f"{number}\n".encode())


def kill(url: str) -> None:
    """Kill writers at random moments; say, for each, the groups that it had said and the runs that there are."""
    draw = random.Random(0)
    store = Store.open(url, "sweep", SETTINGS)
    for attempt in range(6):
        first = 10**6 * attempt
        reads, writes = os.pipe()
        if not (child := os.fork()):
            os.dup2(writes, 1)
            write(store, first)
        os.close(writes)
        os.read(reads, 2)  # the first is kept
        time.sleep(draw.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reads) as said:
            groups = 1 + len(said.readlines())
        Path(f"{url}.lock").unlink(missing_ok=True)  # not to wait for a journal's
        store = Store.open(url, "sweep", SETTINGS, resume=True)
        runs = [r for r in store.runs() if r.seed >= first]
        assert runs == group(first, len(runs))
        print(groups, len(runs), flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "kill":
        kill(sys.argv[1])
    else:
        write(Store.open(sys.argv[1], "sweep", SETTINGS, resume=True), *map(int, sys.argv[2:]))
