"""What a search and a task are given: NumPy's numbers, what excludes what, and the user's own names and functions."""

import json
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stepwell import schedules
from stepwell.lab.batches import TaskError
from stepwell.lab.comparisons.contest import Contest
from stepwell.lab.goal import Goal, accuracy
from stepwell.lab.sweeps import answer
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.search import Search
from stepwell.lab.task import Task, describe
from stepwell.lab.trial import seeds_of
from stepwell.pages import tables
from stepwell.pages.comparison import _score
from tests.lab import small
from tests.lab.synthetic import results, run

TASK = replace(small.task(), length=3)


def test_numbers_of_numpy_are_plain_ones_in_the_file() -> None:
    kinds: dict[str, Any] = {"batch": np.int64(8), "length": np.int32(3), "clip_norm": np.float32(1.0)}
    goal = Goal("loss", np.float32(0.5), "half")  # type: ignore[arg-type]
    task = replace(TASK, lowest=np.float32(0), goal=goal, **kinds)  # type: ignore[arg-type]
    epochs = np.int64(2)
    for options in ({"halving": np.int64(2)}, {"trials": np.int64(2), "sampler": "qmc"}):
        made: Any = Search(task, ["adam"], np.int64(3), np.arange(2), epochs, np.int64(1), **options)  # type: ignore[arg-type]
        document = json.loads(Results.of(made).json())
        assert document["settings"]["steps"] == 14
        assert document["settings"]["seeds"] == [0, 1]
        assert document["task"]["batch"] == 8


def test_seeds_may_be_an_array() -> None:
    assert seeds_of("seeds", np.array([7, 5])) == [7, 5]  # type: ignore[arg-type]
    assert seeds_of("seeds", np.int64(2)) == [0, 1]
    with pytest.raises(TypeError, match="each of seeds must be an integer"):
        seeds_of("seeds", np.array([0.5]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"halving": 2.5}, TypeError, r"halving must be 0 or an integer ≥ 2; got 2\.5"),
        ({"halving": "3"}, TypeError, "halving must be 0 or an integer ≥ 2; got '3'"),
        ({"trials": -1}, ValueError, "trials must be an integer ≥ 0; got -1"),
        ({"halving": 3, "trials": 4}, ValueError, "halving and trials exclude each other; got halving=3 and trials=4"),
    ],
)
def test_what_cannot_be_searched_is_said(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Search(TASK, ["adam"], **options)


# Tasks


def locked() -> nn.Module:
    made = nn.Linear(3, 3)
    made.lock = threading.Lock()  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Task.of(locked(), None, nn.functional.mse_loss, []), "the model cannot be copied: TypeError"),
        (lambda: replace(TASK, model=lambda: nn.LazyLinear(3)).fresh(0), "does not know the shape of weight yet"),
        (lambda: Search(replace(TASK, schedule=lambda n: 0.5), ["adam"]), r"must give a function of the step, .* 0\.5"),
        (
            lambda: replace(TASK, data=(np.array(["a"]), np.array([1])), length=None).steps(),
            "data cannot be used: Type",
        ),
        (lambda: replace(TASK, name=" "), "name must be text"),
        (lambda: replace(TASK, clip_norm="1"), "clip_norm must be a finite number > 0"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_with_a_task_is_a_task_error(made: Any, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        made()


def test_a_task_says_what_it_is_of() -> None:
    loss = nn.functional.mse_loss
    assert describe(Task.of(nn.Linear(1, 1), None, loss, [], name="mine")) == "mine: copies of a Linear"
    assert describe(Task(model=lambda: nn.Linear(1, 1), data=[], loss=loss)) == "task: a model of the user"
    assert describe(Task(model=locked, data=[], loss=loss, about="one\ntwo")) == "one"


# What is printed


def negative(output: Any, target: Any) -> Any:
    return -(output - target).square().mean()


def test_a_metric_is_a_share_if_it_is_called_accuracy() -> None:
    assert (replace(TASK, metric_name="").metric_name, TASK.metric) == ("accuracy", accuracy)
    own = replace(TASK, metric=negative, metric_name="")
    assert own.metric_name == "negative"
    assert replace(TASK, metric=lambda o, t: o, metric_name="").metric_name == "metric"
    made = results([run("adam", 1e-3, 0, 0.5, -3.0)], metric_name=own.metric_name)
    assert "-3.0000" in tables.rows(made)[0]
    assert "%" not in "".join(tables.rows(made)[0])


def test_a_run_that_diverged_has_no_metric() -> None:
    made = results([run("adam", 1e-3, 0, 0.5, -3.0), run("adam", 1e-3, 1, None, None)], metric_name="negative")
    assert made.ranking()[0].metric is not None
    assert made.ranking()[0].metric.high == -3.0  # type: ignore[union-attr]
    contest = Contest(made)
    assert _score(contest, [-3.0, None]) == "-3.0000"
    assert _score(contest, [None]) == "–"


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("cosine(steps=10, rate=1.0, end=0.0)", "lr=0.001 * schedules.cosine(steps=10, rate=1.0, end=0.0))"),
        ("0.5 * cosine(steps=10, rate=1.0, end=0.0)", "lr=0.001 * 0.5 * schedules.cosine("),
        ("linear(steps=2, rate=0.0, end=1.0).then(cosine(steps=8, rate=1.0, end=0.0))", ").then(schedules.cosine("),
        ("task.<locals>.<lambda>", "# times the schedule of the task, task.<locals>.<lambda>\n"),
        ("Mine(steps=3)", "# times the schedule of the task, Mine(steps=3)\n"),
    ],
)
def test_the_lines_to_paste_run_whatever_the_schedule(schedule: str, words: str) -> None:
    text = answer.lines(results([run("adam", 1e-3, 0, 0.5)], schedule=schedule))
    assert words in text
    scope: dict[str, Any] = {"model": nn.Linear(1, 1)}
    exec(text, scope)
    scope["optimizer"].step()


def test_the_file_names_a_schedule_of_ones_own() -> None:
    known = [Results.of(Search(replace(TASK, schedule=make), ["adam"])).task["schedule"] for make in (
        lambda steps: 0.5 * schedules.cosine(steps), lambda steps: lambda step: 0.5,
    )]  # fmt: skip
    assert known[0] == "0.5 * cosine(steps=3, rate=1.0, end=0.0)"
    assert known[1].endswith("<lambda>")
    assert "0x" not in known[1]


def test_an_optimizer_of_the_users_is_not_pasted_as_a_rule_of_its_name() -> None:
    made = results([run("adam", 1e-3, 0, 0.5)])
    assert "adam" in answer.lines(made)
    made.settings["foreign"] = Search(TASK, {"adam": torch.optim.SGD}).settings()["foreign"]
    assert answer.lines(made) == ""
