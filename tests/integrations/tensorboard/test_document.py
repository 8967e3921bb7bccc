"""What the documentation shows of TensorBoard."""
# pyright: reportMissingImports=false

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.integrations import documented
from tests.integrations.made import sweep
from tests.integrations.training import training


def test_the_documents_lines(tmp_path, one_thread):
    sweep().write(tmp_path / "stepwell-results" / "digits")
    model, optimizer, train = training(lr=300.0)
    found = documented.run("tensorboard", tmp_path, model=model, optimizer=optimizer, train=train)
    samples, names = found["watch"].samples, {finding.name for finding in found["watch"].findings}
    kept = EventAccumulator(str(tmp_path / "runs" / "mine")).Reload()
    assert [event.step for event in kept.Scalars("doctor/gradient norm")] == [sample.step for sample in samples]
    assert "rate_too_high" in names
    assert {f"doctor/{name}/text_summary" for name in (*names, "report")} == set(kept.Tags()["tensors"])
    assert len(list((tmp_path / "runs" / "made_up_once").iterdir())) == 15
