"""The doctor's samples and findings in an MLflow run."""
# pyright: reportMissingImports=false

import json
from pathlib import Path

import mlflow
import pytest

from stepwell.integrations.mlflow import DoctorWriter
from stepwell.integrations.scalars import flat
from tests.integrations.watched import sample, watch


def test_samples_are_metrics_at_their_steps(tracking, client):
    samples = [sample(step) for step in range(0, 100, 20)]
    with mlflow.start_run() as run:
        writer = DoctorWriter()
        for each in samples:
            writer(each)
    names = {name: name.replace("[", "_").replace("]", "_") for name in flat(samples[0])}
    assert set(client.get_run(run.info.run_id).data.metrics) == set(names.values())
    for name, kept in names.items():
        found = client.get_metric_history(run.info.run_id, kept)
        assert [metric.step for metric in found] == [each.step for each in samples]
        if name != "doctor/sharpness":  # infinite, for which MLflow's table has the largest number
            assert [metric.value for metric in found] == [flat(each)[name] for each in samples]


def test_findings_are_tags_and_artifacts(tracking, client, tmp_path):
    with mlflow.start_run() as run:
        DoctorWriter().finish(watch("rate_too_high", "dead_units"))
    tags = client.get_run(run.info.run_id).data.tags
    assert tags["doctor"] == "rate_too_high, dead_units"
    assert tags["doctor.dead_units"] == "**It is dead_units** (0.w), step 41\n\nloss 1\n\nCure: less"
    text, data = (
        Path(client.download_artifacts(run.info.run_id, f"doctor/report.{ending}", str(tmp_path)))
        for ending in ("txt", "json")
    )
    assert "rate_too_high" in text.read_text()
    assert json.loads(data.read_text())["findings"] == ["rate_too_high", "dead_units"]


def test_a_run_by_its_id_and_one_that_is_healthy(tracking, client):
    with mlflow.start_run() as run:
        pass
    writer = DoctorWriter(run.info.run_id, client)
    writer(sample(0))
    writer.finish(watch())
    kept = client.get_run(run.info.run_id).data
    assert kept.tags["doctor"] == "nothing found"
    assert kept.metrics["doctor/loss"] == 2.0


def test_without_a_run_it_says_so(tracking):
    with pytest.raises(ValueError, match="run must be the id of a run where none is active; got None"):
        DoctorWriter()
