"""Workers that die: their groups are run again, and one that kills every worker is named; nothing is lost or twice."""

import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import choose
from stepwell.lab.store.study import Store
from stepwell.lab.training.crew import DEATHS, Lost, WorkerError
from stepwell.lab.training.group import Way, grouped
from stepwell.lab.training.workers import Workers
from stepwell.lab.trial import Run, Trial
from tests.lab import several
from tests.lab.several import numbers, one_process, same

pytestmark = pytest.mark.usefixtures("one_thread")
TRIALS = [Trial("sgd", lr, seed, 5) for seed in (0, 1) for lr in (0.01, 0.02, 0.5)]
ONE_BY_ONE = [(trial,) for trial in TRIALS]


def kill(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("way", [Way(False, 1, 2, 1, "one by one"), Way(True, 100, 2, 1, "stacked")])
def test_workers_that_are_killed_change_nothing(way: Way) -> None:
    search = several.search(workers=2)
    search.way = way
    store = Store.open(None, "sweep", search.settings())
    search.keep_in(store)
    runs: list[Run] = []
    for run in search:
        runs.append(run)
        if len(runs) in ((1,) if way.stacked else (1, 7)):  # more often than a group may lose its worker is too often
            assert isinstance(search._crew, Workers)
            kill(search._crew.processes)
    found = numbers(runs)
    same(found, one_process())
    assert numbers(store.runs()) == found
    assert len(store.study.trials) == len(runs)


def deadly(condition: Any) -> Workers:
    """Workers of which one is killed by whatever training the condition holds for."""
    parent = os.getpid()

    def make(parameters: Any, lr: float) -> torch.optim.Optimizer:
        if os.getpid() != parent and condition(lr):
            kill([os.getpid()])
        return torch.optim.SGD(parameters, lr=lr)

    return Workers(several.task, choose({"sgd": make}), 2)


def test_a_group_that_kills_its_workers_is_named_and_the_others_are_done() -> None:
    workers = deadly(lambda lr: lr == 0.5)
    done: list[Run] = []

    def train() -> None:
        for runs in workers.train(ONE_BY_ONE[:4], False):
            done.extend(runs)

    words = f"sgd at a learning rate of 0.5, seed 0, 5 steps: {DEATHS} times a worker died that trained it: .*SIGKILL"
    try:
        with pytest.raises(WorkerError, match=words):
            train()
    finally:
        workers.close()
    assert {run.trial for run in done} <= {TRIALS[0], TRIALS[1], TRIALS[3]}
    assert len({run.trial for run in done}) == len(done) >= 2


def test_a_group_that_fails_in_a_worker_is_named() -> None:
    def make(parameters: Any, lr: float) -> torch.optim.Optimizer:
        if lr == 0.5:
            raise TaskError("the disk is gone")
        return torch.optim.SGD(parameters, lr=lr)

    workers = Workers(several.task, choose({"sgd": make}), 2)
    try:
        with pytest.raises(TaskError, match=r"sgd at a learning rate of 0\.5, seed 0, 5 steps: the disk is gone"):
            list(workers.train(ONE_BY_ONE, False))
        with pytest.raises(TaskError, match=r"3 runs of sgd at learning rates of 0\.01 to 0\.5, seed 1, 5 steps: the"):
            list(workers.train(grouped(TRIALS, 3)[1:], False))
    finally:
        workers.close()


def test_a_worker_that_dies_with_nothing_to_do_is_replaced() -> None:
    workers = deadly(lambda lr: False)
    try:
        (first,) = workers.train(ONE_BY_ONE[:1], False)
        kill(workers.processes)
        (again,) = workers.train(ONE_BY_ONE[:1], False)
    finally:
        workers.close()
    assert again[0].curve == first[0].curve
    assert workers.processes == []


class Scripted(Workers):
    """Workers that train nothing: what becomes of a job is written down for its group."""

    def __init__(self, count: int, fates: dict[Any, list[str]]):
        self.count, self.fates, self.most, self.at_work = count, fates, 0, 0

    def submit(self, group: Any, stacked: bool) -> Any:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        return object.__new__(type("Job", (), {"group": tuple(group)}))

    def wait(self, jobs: Any, seconds: float | None) -> Any:
        return jobs[:2]

    def result(self, job: Any) -> Any:
        self.at_work -= 1
        fate = self.fates.get(job.group, ["done"])
        if (fate.pop(0) if len(fate) > 1 else fate[0]) == "lost":
            raise Lost("as written")
        return list(job.group)


def test_groups_are_asked_for_one_by_one_as_workers_are_free() -> None:
    asked: list[Any] = []
    crew = Scripted(2, {ONE_BY_ONE[1]: ["lost", "lost", "done"]})

    def source() -> Any:
        for group in ONE_BY_ONE:
            assert crew.at_work < 2
            asked.append(group)
            yield group

    found = list(crew.train(source(), False))
    assert sorted(found, key=str) == sorted(map(list, ONE_BY_ONE), key=str)
    assert asked == ONE_BY_ONE
    assert crew.most == 2


def test_when_there_is_no_group_yet_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("stepwell.lab.training.crew.time.sleep", slept.append)
    groups = [ONE_BY_ONE[0], None, None, None, ONE_BY_ONE[1], None]
    found = [runs for runs in Scripted(2, {}).train(groups, False) if runs]
    assert found == [list(group) for group in ONE_BY_ONE[:2]]
    assert slept


def test_what_has_ended_well_is_handed_on_before_an_error_is_raised() -> None:
    crew = Scripted(2, {ONE_BY_ONE[0]: ["lost"]})
    done: list[Any] = []
    with pytest.raises(WorkerError, match=r"0\.01, seed 0"):
        done.extend(trial for runs in crew.train(ONE_BY_ONE, False) for trial in runs)
    assert TRIALS[1] in done
