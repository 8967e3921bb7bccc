"""What the documentation shows of MLflow."""
# pyright: reportMissingImports=false

from tests.integrations import documented
from tests.integrations.made import sweep
from tests.integrations.training import training


def test_the_documents_lines(tracking, client, tmp_path, one_thread):
    sweep().write(tmp_path / "stepwell-results" / "digits")
    model, optimizer, train = training(lr=300.0)
    found = documented.run("mlflow", tmp_path, model=model, optimizer=optimizer, train=train)
    run, samples = found["writer"].run, found["watch"].samples
    kept = client.get_metric_history(run, "doctor/gradient norm")
    assert [(metric.step, metric.value) for metric in kept] == [(sample.step, sample.gradient) for sample in samples]
    tags = client.get_run(run).data.tags
    assert "rate_too_high" in tags["doctor"].split(", ")
    assert "doctor.rate_too_high" in tags
    assert {each.path for each in client.list_artifacts(run, "doctor")} == {"doctor/report.json", "doctor/report.txt"}
