"""Sweeps and comparisons in MLflow, read back with its own client."""
# pyright: reportMissingImports=false

import math

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from stepwell.integrations.mlflow import write_results
from tests.integrations.made import comparison, sweep, trained


def children(client, parent):
    """The runs inside a run, by name."""
    experiment = client.get_run(parent).info.experiment_id
    found = client.search_runs([experiment], f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}'", max_results=1000)
    return {run.info.run_name: run for run in found}


def curve(client, run, name):
    found = sorted(client.get_metric_history(run.info.run_id, name), key=lambda metric: metric.step)
    return [metric.step for metric in found], [metric.value for metric in found]


def numbers(values):
    return np.array([math.nan if value is None else value for value in values])


def names(client, run):
    return {artifact.path for artifact in client.list_artifacts(run)}


@pytest.mark.parametrize("make", [sweep, trained])
def test_every_run_of_a_sweep_is_a_child_number_by_number(make, client, one_thread):
    results = make()
    (parent,) = write_results(results, client=client)
    found = children(client, parent)
    assert len(found) == len(results.runs) >= 8
    matched = {
        (run.data.params["optimizer"], float(run.data.params["lr"]), int(run.data.params["seed"]),
         int(run.data.params["steps"])): run for run in found.values()
    }  # fmt: skip
    for run in results.ordered():
        child = matched[run.optimizer, run.lr, run.seed, run.steps]
        assert {k: float(v) for k, v in child.data.params.items() if k in dict(run.hyper)} == dict(run.hyper)
        steps, losses = curve(client, child, "loss")
        assert steps == run.curve["step"]
        np.testing.assert_array_equal(numbers(losses), numbers(run.curve["loss"]))
        assert curve(client, child, "metric")[1] == run.curve["metric"]
        np.testing.assert_array_equal(child.data.metrics["final/loss"], numbers([run.loss])[0])
        assert child.data.metrics["final/best"] == run.best
        assert child.data.metrics.get("final/metric") == run.metric
        assert child.info.status == ("FAILED" if run.loss is None else "FINISHED")
        assert child.data.tags["status"] == run.status
        assert child.info.end_time - child.info.start_time == pytest.approx(1000 * run.seconds, abs=1)


def test_the_parent_has_the_answer_and_the_results(client, tmp_path):
    results = sweep()
    (parent,) = write_results(results, "mine", client)
    run = client.get_run(parent)
    assert client.get_experiment(run.info.experiment_id).name == "mine"
    assert run.data.tags["mlflow.note.content"].startswith("**made up/once: momentum at a learning rate of 0.1")
    assert run.data.params["optimizers"] == "['adam', 'momentum']"
    assert (run.info.run_name, run.info.status) == ("made_up_once", "FINISHED")
    assert names(client, parent) == {"results.json", "runs.csv"}
    kept = client.download_artifacts(parent, "results.json", str(tmp_path))
    with open(kept, encoding="utf-8") as file:
        assert file.read() == results.json()


def test_the_files_of_a_folder_are_artifacts_but_for_the_study(client, tmp_path):
    sweep().write(tmp_path)
    for name in ("report.md", "curves.png", "study.db", ".hidden"):
        (tmp_path / name).write_text(name)
    (parent,) = write_results(tmp_path, client=client)
    assert names(client, parent) == {"results.json", "runs.csv", "report.md", "curves.png"}
    (alone,) = write_results(tmp_path / "results.json", client=client)
    assert names(client, alone) == {"results.json"}
    assert client.get_run(alone).info.experiment_id == client.get_run(parent).info.experiment_id


def test_a_comparison_is_a_parent_for_each_task(client):
    found = comparison()
    parents = write_results(found, client=client)
    for parent, contest in zip(parents, found.contests, strict=True):
        runs = children(client, parent).values()
        assert sorted(run.data.metrics["final/loss"] for run in runs if run.info.status == "FINISHED") == sorted(
            run.loss for run in contest.results.runs if run.loss is not None
        )
        rounds = ["tuning", "confirmation", "again"]
        assert all(run.data.params["round"] == rounds[int(run.data.params["seed"]) // 3] for run in runs)
    assert [client.get_run(parent).info.run_name for parent in parents] == ["made_up 1", "made_up 2"]


def test_an_interrupted_search_is_killed(client):
    results = sweep()
    results.complete = False
    (parent,) = write_results(results, client=client)
    assert client.get_run(parent).info.status == "KILLED"
    assert client.get_run(parent).data.tags["complete"] == "false"


def test_curves_longer_than_a_call_are_whole(client):
    results = sweep()
    run = results.runs[0]
    run.curve.update(step=list(range(2500)), loss=[1 / (1 + step) for step in range(2500)], metric=[])
    results.runs = [run]
    (parent,) = write_results(results, client=client)
    (child,) = children(client, parent).values()
    assert curve(client, child, "loss") == (run.curve["step"], run.curve["loss"])


def test_nothing_trained_is_a_parent_that_says_so(client):
    results = sweep()
    results.runs = []
    (parent,) = write_results(results, client=client)
    assert children(client, parent) == {}
    assert client.get_run(parent).data.tags["mlflow.note.content"].startswith("**made up/once: nothing was trained.**")


def test_what_is_no_result_makes_nothing(client, tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ValueError, match="is not whole, or no file of the lab"):
        write_results(tmp_path, "none", client)
    assert client.get_experiment_by_name("none") is None


def test_without_a_client_it_is_the_active_uri(tracking):
    results = sweep()
    results.runs = results.runs[:2]
    (parent,) = write_results(results)
    assert len(children(MlflowClient(tracking), parent)) == 2
