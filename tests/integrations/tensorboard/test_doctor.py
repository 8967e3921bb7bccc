"""The doctor's samples and findings in TensorBoard's files."""
# pyright: reportMissingImports=false

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from stepwell.integrations.scalars import flat
from stepwell.integrations.tensorboard import DoctorWriter
from tests.integrations.watched import sample, watch


def read(folder):
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def test_samples_are_scalars_at_their_steps(tmp_path):
    writer = DoctorWriter(tmp_path)
    samples = [sample(step) for step in range(0, 100, 20)]
    for each in samples:
        writer(each)
    writer.finish(watch())
    found = read(tmp_path)
    assert set(found.Tags()["scalars"]) == set(flat(samples[0]))
    for name in flat(samples[0]):
        assert [(event.step, event.value) for event in found.Scalars(name)] == [
            (each.step, float(np.float32(flat(each)[name]))) for each in samples
        ]


def test_findings_are_texts(tmp_path):
    writer = DoctorWriter(tmp_path)
    writer.finish(watch("rate_too_high", "dead_units"))
    found = read(tmp_path)
    (event,) = found.Tensors("doctor/dead_units/text_summary")
    assert event.step == 41
    assert event.tensor_proto.string_val[0] == b"**It is dead_units** (0.w), step 41\n\nloss 1\n\nCure: less"
    (report,) = found.Tensors("doctor/report/text_summary")
    assert b"rate_too_high" in report.tensor_proto.string_val[0]


def test_the_users_own_writer_stays_open(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        doctor = DoctorWriter(writer)
        doctor(sample(0))
        doctor.finish(watch())
        assert writer.file_writer is not None
        writer.add_scalar("mine", 1.0, 0)
    assert {"mine", "doctor/loss"} <= set(read(tmp_path).Tags()["scalars"])
    own = DoctorWriter(tmp_path / "own")
    own.finish(watch())
    assert own.writer.file_writer is None
