"""What is made of runs: ranking, file, and the same numbers again."""

import csv
import json
import math
import os
from pathlib import Path

import pytest

from stepwell import files
from stepwell.lab import sweep
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.search import Search
from stepwell.lab.sweeps.standing import Spread
from stepwell.lab.task import Task
from stepwell.lab.training import way
from stepwell.lab.training.group import Way
from stepwell.lab.trial import Run
from tests.lab.synthetic import results, run

RUNS = [
    *(run("adam", 1e-3, seed, loss, 0.9, goal) for seed, loss, goal in ((0, 0.30, 5), (1, 0.10, 10), (2, 0.20, None))),
    *(run("adam", 1e-2, seed, loss, 0.5) for seed, loss in ((0, 0.9), (1, 0.9), (2, None))),
    *(run("lion", 1e-4, seed, loss, 0.8) for seed, loss in ((0, 0.31), (1, 0.11), (2, 0.19))),
    *(run("yogi", 1e-2, seed, loss, 0.8) for seed, loss in ((0, 0.33), (1, 0.131), (2, 0.21))),
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


def test_an_optimizer_is_tied_unless_the_seeds_tell_it_from_the_first() -> None:
    assert {s.optimizer: s.tied for s in results(RUNS).ranking()} == {
        "lion": False,  # the first
        "adam": True,
        "yogi": False,  # behind by about 0.02 at every seed
        "nadam": True,  # ahead at one seed
    }
    gaps = {s.optimizer: s.gap for s in results(RUNS).ranking()}
    assert gaps["lion"] is None
    assert gaps["nadam"] is None
    yogi = gaps["yogi"]
    assert yogi is not None
    assert 0 < yogi.low < yogi.mean < yogi.high
    assert yogi.mean == pytest.approx(0.061 / 3)


def test_optimizers_are_ranked_by_whole_runs_alone() -> None:
    short = [run("adam", 1e-1, seed, 0.001, steps=3) for seed in range(3)]
    made = results([*RUNS, *short])
    assert made.ranking()[1].lr == 1e-3
    assert len(json.loads(made.json())["runs"]) == len(RUNS) + 3


def test_runs_that_diverge_count_as_the_worst() -> None:
    nadam = results(RUNS).ranking()[-1]
    assert nadam.loss == Spread(math.inf, 0.01, math.inf)
    assert nadam.metric == Spread(0.99, 0.99, 0.99)


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
    assert (document["schema"], document["version"]) == ("stepwell.results", 2)
    assert document["ranking"][-1]["loss"] == {"median": None, "low": 0.01, "high": None}
    assert [r["status"] for r in document["runs"]].count("diverged") == 3


def test_the_order_of_arrival_does_not_show() -> None:
    there, back = results(RUNS), results(RUNS)
    back.runs.reverse()
    assert there.json() == back.json()


def test_another_schema_is_refused(tmp_path: Path) -> None:
    for content in ('{"schema": "stepwell.results", "version": 1}', "[]", '{"runs": []}'):
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(ValueError, match="version 2"):
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


def numbers(run: Run) -> dict[str, object]:
    """All of a run but how long it took."""
    return {k: v for k, v in vars(run).items() if k != "seconds"}


@pytest.mark.parametrize("chosen", [Way(True, 4, 1, 1, "stacked"), Way(False, 1, 1, 1, "alone")], ids=str)
def test_a_sweep_gives_the_same_numbers_again(airfoil: Task, chosen: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, as long as it goes the same way: which one is quickest hangs on what else the machine does."""
    monkeypatch.setattr(way, "measured", lambda *_: chosen)
    first, again = (sweep(airfoil, ["adam", "momentum"], rates=2, seeds=2, epochs=1, workers=1) for _ in range(2))
    assert first.complete
    assert len(first.runs) == 8
    assert [numbers(r) for r in first.runs] == [numbers(r) for r in again.runs]
    assert [(s.optimizer, s.lr, s.loss) for s in first.ranking()] == [
        (s.optimizer, s.lr, s.loss) for s in again.ranking()
    ]


def test_the_table_of_runs_has_all_that_was_set(tmp_path: Path) -> None:
    made = results([*RUNS, run("adam", 1e-2, 0, 0.5, hyper=(("beta1", 0.8),))])
    made.write(tmp_path)
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text("utf-8").splitlines()))
    assert len(rows) == len(made.runs)
    assert [row["beta1"] for row in rows].count("0.8") == 1
    assert {row["status"] for row in rows} == {"done", "diverged"}
    assert sorted(row["loss"] for row in rows if row["optimizer"] == "lion") == ["0.11", "0.19", "0.31"]


def test_a_group_that_ends_while_its_first_run_is_looked_at_is_kept(airfoil: Task) -> None:
    search = Search(airfoil, ["adam"], rates=4, seeds=2, epochs=1, workers=1)
    made = Results.of(search)
    runs = made.gather(search)
    next(runs)
    runs.close()  # type: ignore[attr-defined]
    assert not made.complete
    assert len(made.runs) == len(search.done) >= 1
