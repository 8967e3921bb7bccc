"""What is made of runs: ranking, file, and the same numbers again."""

import json
import math
import os
from pathlib import Path

import pytest

from stepwell import files
from stepwell.lab.compare import compare
from stepwell.lab.results import Results, Spread
from stepwell.lab.search import Search
from stepwell.lab.tasks import Task
from tests.lab.synthetic import results, run
from tests.lab.test_train import numbers

RUNS = [
    *(run("adam", 1e-3, seed, loss, 0.9, goal) for seed, loss, goal in ((0, 0.30, 5), (1, 0.10, 10), (2, 0.20, None))),
    *(run("adam", 1e-2, seed, loss, 0.5) for seed, loss in ((0, 0.9), (1, 0.9), (2, None))),
    *(run("lion", 1e-4, seed, loss, 0.8) for seed, loss in ((0, 0.31), (1, 0.11), (2, 0.19))),
    *(run("yogi", 1e-2, seed, loss, 0.8) for seed, loss in ((0, 0.32), (1, 0.12), (2, 0.21))),
    *(run("nadam", 2e-3, seed, loss, acc) for seed, loss, acc in ((0, 0.01, 0.99), (1, None, None), (2, None, None))),
]


def test_the_ranking_is_by_median_loss_at_the_best_rate() -> None:
    ranking = results(RUNS).ranking()
    assert [s.optimizer for s in ranking] == ["lion", "adam", "yogi", "nadam"]
    adam = ranking[1]
    assert (adam.lr, adam.seeds) == (1e-3, 3)
    assert adam.loss == Spread(0.20, 0.10, 0.30)
    assert (adam.goal_step, adam.goal_reached) == (10, 2)
    assert ranking[0].goal_step is None


def test_an_optimizer_that_is_as_good_at_some_seed_is_tied() -> None:
    assert {s.optimizer: s.tied for s in results(RUNS).ranking()} == {
        "lion": False,
        "adam": True,
        "yogi": False,
        "nadam": True,
    }


def test_runs_that_diverge_count_as_the_worst() -> None:
    nadam = results(RUNS).ranking()[-1]
    assert nadam.loss == Spread(math.inf, 0.01, math.inf)
    assert nadam.accuracy == Spread(0.0, 0.0, 0.99)


def test_the_outermost_rate_is_marked() -> None:
    made = [run("adam", lr, 0, loss) for lr, loss in ((1e-4, 0.9), (1e-3, 0.2), (1e-2, 0.1))]
    assert results(made).ranking()[0].edge
    assert not results([*made, run("adam", 1e-1, 0, 0.5)]).ranking()[0].edge
    assert not results(made[:1]).ranking()[0].edge  # one rate has no edge


def test_an_interrupted_rate_does_not_win_with_fewer_seeds() -> None:
    made = [run("adam", 1e-3, 0, 0.5), run("adam", 1e-3, 1, 0.5), run("adam", 1e-2, 0, 0.1)]
    assert results(made).ranking()[0].lr == 1e-3


def test_the_file_gives_back_the_results(tmp_path: Path) -> None:
    before = results(RUNS)
    before.write(tmp_path)
    for place in (tmp_path, tmp_path / "results.json"):
        after = Results.read(place)
        assert after.document() == before.document()
        assert after.ranking() == before.ranking()


def test_the_file_is_strict_json_with_nulls_for_what_is_not_finite() -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads(results(RUNS).json(), parse_constant=refuse)
    assert (document["schema"], document["version"]) == ("stepwell.compare", 1)
    assert document["ranking"][-1]["loss"] == {"median": None, "low": 0.01, "high": None}
    assert [r["status"] for r in document["runs"]].count("diverged") == 3


def test_the_order_of_arrival_does_not_show() -> None:
    there, back = results(RUNS), results(RUNS)
    back.runs.reverse()
    assert there.json() == back.json()


def test_another_schema_is_refused(tmp_path: Path) -> None:
    for content in ('{"schema": "stepwell.compare", "version": 2}', "[]", '{"runs": []}'):
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(ValueError, match="version 1"):
            Results.read(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(tmp_path / "a.txt", "old")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        files.write(tmp_path / "a.txt", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_compare_gives_the_same_numbers_again(airfoil: Task) -> None:
    first, again = (compare(airfoil, ["adam", "momentum"], rates=2, seeds=2, epochs=1) for _ in range(2))
    assert first.complete
    assert len(first.runs) == 8
    assert [numbers(r) for r in first.runs] == [numbers(r) for r in again.runs]
    assert [(s.optimizer, s.lr, s.loss) for s in first.ranking()] == [
        (s.optimizer, s.lr, s.loss) for s in again.ranking()
    ]


def test_what_was_done_before_an_interrupt_is_kept(airfoil: Task) -> None:
    search = Search(airfoil, ["adam"], rates=1, seeds=3, epochs=1)
    found = Results.of(search)
    runs = found.gather(search)
    next(runs)
    with pytest.raises(KeyboardInterrupt):
        runs.throw(KeyboardInterrupt)  # pyright: ignore[reportAttributeAccessIssue]
    assert len(found.runs) == 1
    assert not found.complete
    assert found.document()["ranking"][0]["seeds"] == 1
