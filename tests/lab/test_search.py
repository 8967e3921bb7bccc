"""Which runs a comparison makes."""

import multiprocessing
from collections import Counter
from typing import Any

import pytest

from stepwell.lab import search
from stepwell.lab.search import FARTHER, Search, candidates, choose, rate
from stepwell.lab.tasks import Task
from stepwell.lab.train import Job, Run
from stepwell.rules import algorithms, named
from tests.lab.synthetic import run
from tests.lab.test_train import numbers


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, airfoil: Task) -> Any:
    """Make a search whose runs are not trained but get the loss that a function gives their job."""

    def make(loss_of: Any, **options: Any) -> list[Run]:
        monkeypatch.setattr(search, "train", lambda _, job, epochs: run(job.optimizer, job.lr, job.seed, loss_of(job)))
        return list(Search(airfoil, **options))

    return make


def test_every_algorithm_is_compared_and_every_form_can_be() -> None:
    assert candidates() == list(named)
    assert choose(None) == list(algorithms)
    assert choose(["adam_nesterov"]) == ["adam_nesterov"]
    assert choose(["lion", "adam", "lion"]) == ["adam", "lion"]


def test_an_unknown_optimizer_is_named_with_a_close_one() -> None:
    with pytest.raises(ValueError, match=r"'lino'; did you mean lion\?"):
        choose(["adam", "lino"])


@pytest.mark.parametrize("name", ["rates", "seeds", "epochs", "workers"])
def test_counts_are_at_least_one(airfoil: Task, name: str) -> None:
    none: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=name):
        Search(airfoil, **none)


def test_rates_stand_around_each_rules_default() -> None:
    assert [rate("adam", place) for place in (-2, -1, 0, 1, 2)] == [1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2]
    assert all(rate(name, 0) == named[name].hyperparameters["lr"].default for name in named)


def test_a_best_rate_inside_the_grid_ends_the_search(planned: Any) -> None:
    runs = planned(lambda job: abs(job.lr - 1e-3), optimizers=["adam"], rates=5, seeds=2)
    assert Counter(r.lr for r in runs) == {1e-4: 2, 3.16e-4: 2, 1e-3: 2, 3.16e-3: 2, 1e-2: 2}
    assert runs[0].lr == 1e-3  # from the default outward


def test_a_best_rate_at_an_edge_is_followed(planned: Any) -> None:
    runs = planned(lambda job: abs(job.lr - 0.0316), optimizers=["adam"], rates=3, seeds=2)
    assert {r.lr for r in runs} == {3.16e-4, 1e-3, 3.16e-3, 1e-2, 0.0316, 0.1}
    assert all(count == 2 for count in Counter(r.lr for r in runs).values())


def test_a_search_downward_ends_too(planned: Any) -> None:
    runs = planned(lambda job: None, optimizers=["adam"], rates=3, seeds=1)  # all diverge
    assert len(runs) == 3 + FARTHER
    assert min(r.lr for r in runs) == rate("adam", -1 - FARTHER)


def test_one_rate_is_the_default_alone(planned: Any) -> None:
    runs = planned(lambda job: 1.0, rates=1, seeds=1)
    assert [(r.optimizer, r.lr) for r in runs] == [(name, rate(name, 0)) for name in algorithms]


def test_each_optimizer_is_extended_on_its_own(planned: Any) -> None:
    runs = planned(
        lambda job: job.lr if job.optimizer == "adam" else abs(job.lr - 1e-4),
        optimizers=["adam", "lion"],
        rates=3,
        seeds=1,
    )
    assert Counter(r.optimizer for r in runs) == {"adam": 3 + FARTHER, "lion": 3}


def test_workers_do_not_change_the_numbers_and_end_with_the_search(airfoil: Task) -> None:
    options: dict[str, Any] = {"optimizers": ["adam", "momentum"], "rates": 3, "seeds": 1, "epochs": 1}
    alone, together = (sorted(map(repr_of, Search(airfoil, **options, workers=n))) for n in (1, 2))
    assert alone == together
    assert not multiprocessing.active_children()


def repr_of(made: Run) -> str:
    return repr(sorted(numbers(made).items()))


def test_jobs_are_what_the_runs_say(planned: Any) -> None:
    made = planned(lambda job: 1.0, optimizers=["adam"], rates=1, seeds=3)
    assert [Job(r.optimizer, r.lr, r.seed) for r in made] == [Job("adam", 1e-3, seed) for seed in range(3)]
