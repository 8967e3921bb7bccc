"""Which runs a search makes, in what order they come, and how it goes on from those that are there."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from stepwell.lab.store.study import Store
from stepwell.lab.sweeps import search as module
from stepwell.lab.sweeps.search import Search
from stepwell.lab.task import Task
from stepwell.lab.training.group import Way
from stepwell.lab.trial import Run, Trial
from stepwell.rules import algorithms, named
from tests.lab.synthetic import of

Loss = Callable[[Trial], float | None]


class Trainings:
    """What was asked to be trained; no run is, each gets the loss that a function gives its trial."""

    def __init__(self, loss: Loss):
        self.loss, self.groups = loss, list[Sequence[Trial]]()

    def __call__(self, task: Task, candidates: Any, trials: Sequence[Trial], *_: Any) -> list[Run]:
        self.groups.append(trials)
        return [of(trial, self.loss(trial)) for trial in trials]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, airfoil: Task) -> Callable[..., tuple[Search, Trainings]]:
    """Make a search whose runs are not trained, in groups of that many."""

    def make(loss: Loss, group: int = 1, **options: Any) -> tuple[Search, Trainings]:
        trainings = Trainings(loss)
        monkeypatch.setattr(module, "train_group", trainings)
        monkeypatch.setattr(module.way, "check", lambda *_: None)
        monkeypatch.setattr(module.way, "measured", lambda *_: Way(group > 1, group, 1, 1, "made up"))
        return Search(airfoil, **options), trainings

    return make


def level(trial: Trial) -> float:
    return 1.0


@pytest.mark.parametrize("name", ["rates", "seeds", "epochs", "workers"])
def test_counts_are_at_least_one(airfoil: Task, name: str) -> None:
    none: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"{name} must be an integer ≥ 1; got 0"):
        Search(airfoil, **none)


@pytest.mark.parametrize("factor", [1, -2])
def test_halving_needs_a_factor(airfoil: Task, factor: int) -> None:
    with pytest.raises(ValueError, match=f"halving must be 0 or an integer ≥ 2; got {factor}"):
        Search(airfoil, halving=factor)


def test_no_seeds_are_refused_and_any_are_taken(airfoil: Task) -> None:
    with pytest.raises(ValueError, match="seeds"):
        Search(airfoil, seeds=[])
    assert Search(airfoil, seeds=[7, 3]).settings()["seeds"] == [7, 3]


def test_one_rate_is_the_default_alone(planned: Any) -> None:
    search, _ = planned(level, rates=1, seeds=1)
    found = sorted((run.optimizer, run.lr) for run in search)
    assert found == sorted((name, named[name].hyperparameters["lr"].default) for name in algorithms)


def test_runs_are_of_the_trials_that_were_proposed(planned: Any) -> None:
    search, _ = planned(level, optimizers=["adam"], rates=1, seeds=3, epochs=1)
    assert [run.trial for run in search] == [Trial("adam", 1e-3, seed, 150) for seed in range(3)]
    assert search.settings()["steps"] == 150


@pytest.mark.parametrize("group", [1, 4, 100])
def test_how_runs_are_grouped_changes_none_of_them(planned: Any, group: int) -> None:
    options = {"optimizers": ["adam", "lion"], "rates": 3, "seeds": 2}
    search, trainings = planned(lambda t: t.lr, group, **options)
    runs = list(search)
    alone, _ = planned(lambda t: t.lr, 1, **options)
    assert {run.trial for run in runs} == {run.trial for run in alone}
    assert len(runs) == sum(map(len, trainings.groups)) == search.planned
    assert max(map(len, trainings.groups)) <= group
    assert all(len({trial.seed for trial in trials}) == 1 for trials in trainings.groups)


def test_a_plan_grows_when_a_grid_is_extended(planned: Any) -> None:
    search, _ = planned(lambda t: t.lr, optimizers=["adam"], rates=3, seeds=2)
    assert search.planned == 6
    assert len(list(search)) == search.planned > 6


def test_halving_and_a_sampler_are_asked_for_by_their_options(planned: Any) -> None:
    search, _ = planned(lambda t: abs(t.lr - 1e-3), optimizers=["adam"], rates=9, seeds=1, halving=3, epochs=3)
    assert Counter(run.steps for run in search) == {50: 9, 150: 3, 450: 1}
    search, _ = planned(level, optimizers=["adam", "lion"], seeds=2, trials=4, sampler="qmc")
    assert Counter(run.optimizer for run in search) == {"adam": 8, "lion": 8}
    assert search.settings()["sampler"] == "qmc"


@pytest.mark.parametrize("kept", [0, 1, 5, 9])
def test_a_search_goes_on_where_it_was_left(planned: Any, kept: int) -> None:
    options = {"optimizers": ["adam", "lion"], "rates": 3, "seeds": 2}
    whole = list(planned(lambda t: t.lr, **options)[0])
    store = Store.open(None, "search", {"optimizers": ["adam", "lion"]})
    store.add(whole[:kept])
    again, trainings = planned(lambda t: t.lr, **options)
    again.keep_in(store)
    assert again.planned >= 12
    rest = list(again)
    assert {trial for group in trainings.groups for trial in group} == {run.trial for run in whole[kept:]}
    assert len(rest) == len(whole) - kept
    assert {run.trial for run in store.runs()} == {run.trial for run in whole}


def test_what_is_done_is_in_the_store_before_it_is_handed_on(planned: Any) -> None:
    store = Store.open(None, "search", {"optimizers": ["adam"]})
    search, _ = planned(level, optimizers=["adam"], rates=1, seeds=3)
    search.keep_in(store)
    runs = iter(search)
    first = next(runs)
    runs.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert store.runs() == search.done == [first]


def test_real_trainings_come_to_the_same_in_whatever_way(airfoil: Task) -> None:
    options: dict[str, Any] = {"optimizers": ["adam", "momentum"], "rates": 3, "seeds": 1, "epochs": 1, "workers": 1}
    alone, stacked = Search(airfoil, **options), Search(airfoil, **options)
    alone.way = Way(False, 1, 1, 1, "one by one")
    stacked.way = Way(True, 6, 1, 1, "as one")
    expected = {run.trial: run.curve["loss"] for run in alone}
    found = {run.trial: run.curve["loss"] for run in stacked}
    assert found.keys() == expected.keys()
    assert all(found[trial] == pytest.approx(expected[trial], rel=1e-4) for trial in expected)
