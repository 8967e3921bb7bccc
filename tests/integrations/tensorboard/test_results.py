"""Sweeps and comparisons as TensorBoard's files, read back with TensorBoard's own reader."""
# pyright: reportMissingImports=false

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from stepwell.integrations.runs import parts
from stepwell.integrations.tensorboard import write_results
from tests.integrations.made import comparison, sweep, trained


def reader(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    return found.Reload()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found = reader(folder)
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def settings(folder: Path) -> dict[str, object]:
    """The hyperparameters of a run, as TensorBoard's own page reads them."""
    metadata = reader(folder).SummaryMetadata("_hparams_/session_start_info")
    info = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()}


def same(found: list[tuple[int, float]], steps: list[int], values: list[float | None]) -> None:
    assert [step for step, _ in found] == steps
    wanted = [math.nan if value is None else value for value in values]
    np.testing.assert_array_equal(np.array([x for _, x in found]), np.array(wanted, np.float32))


@pytest.mark.parametrize("make", [sweep, trained])
def test_every_run_of_a_sweep_is_there_number_by_number(make, tmp_path, one_thread):
    results = make()
    folders = write_results(results, tmp_path)
    assert len(set(folders)) == len(results.runs) >= 8
    for folder, run in zip(folders, results.ordered(), strict=True):
        found = scalars(folder)
        same(found["loss"], run.curve["step"], run.curve["loss"])
        same(found.get("metric", []), run.curve["step"] if run.curve["metric"] else [], run.curve["metric"])
        same(found["final/loss"], [run.taken], [run.loss])
        same(found["final/best"], [run.taken], [run.best])
        assert ("final/metric" in found) == (run.metric is not None)
        wanted = {"optimizer": run.optimizer, "lr": run.lr, "seed": run.seed, "steps": run.steps, "status": run.status}
        assert settings(folder) == wanted | dict(run.hyper)


def test_the_table_of_hyperparameters_has_a_column_for_each(tmp_path):
    """As TensorBoard's own page makes it, from all runs: some have hyperparameters and metrics that others have not."""
    write_results(sweep(), tmp_path)
    events = EventMultiplexer(tensor_size_guidance={"scalars": 0}).AddRunsFromDirectory(str(tmp_path)).Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(events, str(tmp_path))))
    asked = RequestContext()
    found = context.hparams_metadata(asked, "")
    table = context.experiment_from_metadata(asked, "", True, found, None)
    assert {each.name for each in table.hparam_infos} == {
        "optimizer", "lr", "beta1", "eps", "seed", "steps", "status",
    }  # fmt: skip
    assert {each.name.tag for each in table.metric_infos} >= {"final/loss", "final/metric", "final/best", "loss"}


def test_the_names_of_runs_tell_them_apart(tmp_path):
    names = [folder.relative_to(tmp_path).as_posix() for folder in write_results(sweep(), tmp_path)]
    assert "made_up_once/adam lr=0.01 seed=1 steps=10" in names
    assert "made_up_once/adam lr=0.01 seed=0 steps=4" in names
    assert "made_up_once/adam lr=0.010000001 seed=0 steps=10" in names
    assert "made_up_once/momentum lr=0.1 beta1=0.9 eps=1e-08 seed=2 steps=10" in names


def test_a_comparison_has_a_folder_for_each_task_and_says_the_round(tmp_path):
    found = comparison()
    folders = write_results(found, tmp_path)
    assert [sum(folder.parent.name == f"made_up {i}" for folder in folders) for i in (1, 2)] == [21, 18]
    by_run = dict(zip([folder.name for folder in folders[:21]], found.contests[0].results.ordered(), strict=True))
    for name, run in by_run.items():
        folder = tmp_path / "made_up 1" / name
        same(scalars(folder)["loss"], run.curve["step"], run.curve["loss"])
        assert settings(folder)["round"] == ["tuning", "confirmation", "again"][run.seed // 3]


def test_the_answer_is_a_text_of_the_task(tmp_path):
    write_results(sweep(), tmp_path)
    found = reader(tmp_path / "made_up_once").Tensors("answer/text_summary")
    text = found[0].tensor_proto.string_val[0].decode()
    assert text.startswith("**made up/once: momentum at a learning rate of 0.1, beta1 0.9, eps 1e-08 is best")
    assert "| ≈ 2 | adam |" in text


def test_times_are_those_of_the_search(tmp_path):
    results = sweep()
    folder = write_results(results, tmp_path)[0]
    first, middle, last = reader(folder).Scalars("loss")
    assert first.wall_time == 1704067200.0  # when the results say they began
    assert last.wall_time - first.wall_time == pytest.approx(results.ordered()[0].seconds)
    assert middle.wall_time - first.wall_time == pytest.approx(results.ordered()[0].seconds / 2)


def test_results_are_read_from_their_file_or_folder(tmp_path):
    results, there = sweep(), tmp_path / "there"
    results.write(there)
    for i, source in enumerate([there, str(there), there / "results.json"]):
        folders = write_results(source, tmp_path / str(i))
        assert len(folders) == len(results.runs)
        same(scalars(folders[-1])["loss"], [0, 5, 10], [2.0, 1.0, None])
    comparison().write(tmp_path / "two")
    assert len(write_results(tmp_path / "two", tmp_path / "both")) == 39


def test_nothing_trained_is_said(tmp_path):
    results = sweep()
    results.runs = []
    assert write_results(results, tmp_path) == []
    assert reader(tmp_path / "made_up_once").Tensors("answer/text_summary")[0].tensor_proto.string_val[0] == (
        b"**made up/once: nothing was trained.**\n\n"
    )


def test_all_diverged_is_said(tmp_path):
    results = sweep()
    results.runs = [run for run in results.runs if run.loss is None]
    for folder in write_results(results, tmp_path):
        assert settings(folder)["status"] == "diverged"
        assert math.isnan(scalars(folder)["final/loss"][0][1])
    (part,) = parts(results)
    assert "every run diverged" in part.answer


def test_what_is_no_result_is_refused_in_words(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no results\.json and no comparison\.json"):
        write_results(tmp_path, tmp_path / "out")
    path = tmp_path / "results.json"
    path.write_text('{"schema": "stepwell.results", "ver')
    with pytest.raises(ValueError, match="is not whole, or no file of the lab"):
        write_results(path, tmp_path / "out")
    path.write_text('{"schema": "other"}')
    with pytest.raises(ValueError, match=r"does not hold stepwell\.results version 2"):
        write_results(path, tmp_path / "out")
    path.write_text(json.dumps({"schema": "stepwell.results", "version": 2}))
    with pytest.raises(ValueError, match="is damaged: KeyError: 'runs'"):
        write_results(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
