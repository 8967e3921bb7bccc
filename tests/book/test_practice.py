"""The sweep and the decays do what they say, on curves that are known and on short trainings."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell.book import practice
from stepwell.book.section import Options, run
from stepwell.lab import tasks
from stepwell.lab.task import Task
from stepwell.lab.trial import Run
from tests.lab.synthetic import run as made


@pytest.fixture(scope="module")
def task() -> Task:
    return tasks.digits()


def with_losses(lr: float, losses: list[float | None]) -> Run:
    return replace(made("adam", lr, 0, losses[-1]), curve={"step": [*range(len(losses))], "loss": losses})


def test_the_rates_are_half_decades() -> None:
    assert practice.RATES == (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def test_what_a_sweep_tells_of_a_curve(task: Task) -> None:
    place = task.steps(1) // task.pace(10)
    losses = [2.0, 1.5, 1.0, 1.25, 0.5, 0.75]
    assert place == 4
    found = practice.outcome(task, [with_losses(0.1, [*losses])])
    assert found == practice.Swept(0.5, 0.75, sum(losses) / 6, 0.25)


def test_a_rate_that_diverged_or_crept_or_swung_is_not_picked(task: Task) -> None:
    swept = {
        1e-4: [with_losses(1e-4, [2.0, 1.9, 1.8, 1.7, 1.6])],
        1e-3: [with_losses(1e-3, [2.0, 1.0, 0.5, 0.4, 0.3])],
        1e-2: [with_losses(1e-2, [2.0, 0.4, 2.0, 0.4, 0.2])],  # lower at the end, by luck
        1e-1: [with_losses(1e-1, [2.0, 0.1, None])],
    }
    assert practice.pick(task, swept) == 1e-3
    assert practice.outcome(task, swept[1e-1]).last == np.inf
    assert practice.outcome(task, swept[1e-1]).rise == np.inf


def test_a_short_sweep_tells_a_dead_rate_from_a_good_one(task: Task) -> None:
    swept = practice.sweep(task, rates=(1e-5, 1e-2), seeds=(0,), epochs=1)
    assert [run.lr for runs in swept.values() for run in runs] == [1e-5, 1e-2]
    assert practice.pick(task, swept) == 1e-2


def test_nine_tenths_each_epoch(task: Task) -> None:
    schedule = practice.decays(0.5, task.steps(1))["× 0.9 each epoch"]
    found, rates = practice.follow(task, schedule, 0, epochs=3)
    assert len(found) == 3
    assert rates == pytest.approx([0.5, 0.45, 0.405])
    assert schedule(task.steps(1) - 1) == 0.5


def test_a_plateau_makes_a_tenth_of_the_rate(task: Task) -> None:
    """At such a rate nothing improves: the first epoch sets the best, and the fourth without a better one is enough."""
    _, rates = practice.follow(task, practice.decays(2e-8, task.steps(1))["a tenth on a plateau"], 0, epochs=7)
    assert rates == pytest.approx([2e-8] * 5 + [2e-9] * 2, rel=1e-6, abs=0)


def test_a_schedule_is_what_the_training_follows(task: Task) -> None:
    lively, _ = practice.follow(task, practice.decays(0.01, 1)["constant"], 0, epochs=2)
    dead, _ = practice.follow(task, practice.decays(0.0, 1)["constant"], 0, epochs=2)
    assert lively[-1].test_loss < 1 < dead[-1].test_loss == dead[0].test_loss


def test_the_sweeps_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(practice, "RATES", (1e-5, 1e-2, 3.0))
    monkeypatch.setattr(practice.sweep, "__defaults__", ("adam", practice.RATES, (0,), 2))
    page = run(practice.rate_sweep, Options(seeds=1))
    assert page.holds
    assert page.lines[0].got == "0.01"
    assert [row[-1] for row in page.tables[0].rows] == ["", "picked", ""]


def test_a_sweep_whose_best_rate_is_at_its_end_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(practice, "RATES", (1e-2, 1e-5))
    monkeypatch.setattr(practice.sweep, "__defaults__", ("adam", practice.RATES, (0,), 1))
    assert not run(practice.rate_sweep, Options(seeds=1)).holds


def test_the_decays_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(practice, "pick", lambda task, swept: 0.01)
    monkeypatch.setattr(practice, "sweep", lambda task, seeds: {})
    monkeypatch.setattr(practice.follow, "__defaults__", (2,))
    page = run(practice.lowering_the_rate, Options(seeds=1))
    assert [row[0] for row in page.tables[0].rows] == ["0.01"] * 3 + ["0.03"] * 3
    assert page.tables[0].rows[1][-1] == "0.009"
    assert not page.lines  # measured, not claimed
