"""The doctor at real trainings of Hugging Face's Trainer, with a tiny model from its configuration."""
# pyright: reportMissingImports=false

import math

import accelerate
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)  # fmt: skip

from stepwell.integrations.scalars import flat
from stepwell.integrations.transformers import DoctorCallback, DoctorWarning

pytestmark = pytest.mark.usefixtures("one_thread")
BACKWARD = torch.autograd.backward
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def classifier():
    set_seed(0)
    return BertForSequenceClassification(BertConfig(vocab_size=16, max_position_embeddings=8, num_labels=2, **SIZES))


def sentences(count=256):
    """Of each whether more than half of its words are from the second half of the vocabulary."""
    words = torch.randint(0, 16, (count, 7), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": ((row >= 8).sum() > 3).long()} for row in words]


@pytest.fixture
def trainer(tmp_path):
    """Makes a trainer that prints nothing, and writes nothing unless asked to."""

    def make(callbacks, model=None, kind=Trainer, data=None, **options):
        known = {"output_dir": str(tmp_path), "max_steps": 60, "per_device_train_batch_size": 16, "report_to": "none",
                 "learning_rate": 3e-3, "use_cpu": True, "disable_tqdm": True, "save_strategy": "no",
                 "logging_strategy": "no", "lr_scheduler_type": "constant"}  # fmt: skip
        args = TrainingArguments(**{**known, **options})
        return kind(model or classifier(), args, train_dataset=data or sentences(), callbacks=callbacks)

    return make


def untouched(trainer):
    """Nothing of the doctor is left anywhere."""
    assert torch.autograd.backward is BACKWARD
    optimizer = trainer.optimizer.optimizer
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def names(found):
    return {finding.name for finding in found}


def test_a_rate_far_too_high_is_named_at_once_and_at_the_end(trainer):
    callback = DoctorCallback(every=5)
    told = trainer([callback], optim="sgd", learning_rate=100.0, max_grad_norm=0.0)
    with pytest.warns(DoctorWarning) as caught:
        told.train()
    assert "rate_too_high" in names(callback.findings)
    texts = [str(each.message) for each in caught if each.category is DoctorWarning]
    (finding,) = (each for each in callback.findings if each.name == "rate_too_high")
    assert sum(finding.title in text for text in texts) == 2
    assert texts[-1].startswith("The doctor's findings:\n")
    untouched(told)


def test_a_healthy_training_is_silent(trainer):
    callback = DoctorCallback(every=5)
    told = trainer([callback], max_steps=120, warmup_steps=10)
    assert isinstance(told.accelerator, accelerate.Accelerator)
    told.train()
    assert isinstance(callback.watches[0].optimizer, torch.optim.AdamW)
    assert callback.watches[0].steps == 120
    assert callback.findings == []
    untouched(told)


class Kept(Trainer):
    """Keeps the loss of every batch, before the Trainer divides it."""

    def compute_loss(self, *args, **kwargs):
        loss = super().compute_loss(*args, **kwargs)
        self.__dict__.setdefault("losses", []).append(float(loss.detach()))
        return loss


class Seen(TrainerCallback):
    """What a callback of the user's is told as logs."""

    def __init__(self):
        self.logs = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.logs.append((state.global_step, logs))


def test_samples_reach_report_to_and_the_history(trainer, tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "runs"))
    callback, seen, told_too = DoctorCallback(every=10), Seen(), []
    callback.tell = told_too.append
    options = {"report_to": "tensorboard", "logging_strategy": "steps", "logging_steps": 1, "max_steps": 61}
    told = trainer([callback, seen], kind=Kept, **options)
    told.train()
    wanted = {sample.step + 1: flat(sample) for sample in callback.samples}  # the Trainer counts from 1
    assert {1, 11, 21, 31, 41, 51, 61} <= set(wanted)
    assert told_too == callback.samples
    assert [sample.loss for sample in told_too] == pytest.approx([told.losses[sample.step] for sample in told_too])
    events = EventAccumulator(str(tmp_path / "runs"), size_guidance={"scalars": 0}).Reload()
    for name in wanted[1]:
        found = {event.step: event.value for event in events.Scalars(f"train/{name}")}
        assert found == {step: pytest.approx(numbers[name]) for step, numbers in wanted.items() if name in numbers}
    assert {step: logs for step, logs in seen.logs if "doctor/loss" in logs} == wanted
    history = {row["step"]: row for row in told.state.log_history if "doctor/loss" in row}
    assert set(history) == set(wanted)
    for step, row in history.items():
        assert row["doctor/loss"] == wanted[step]["doctor/loss"]
        assert not any(name.startswith("doctor update ratio/") for name in row)
    losses = {row["step"]: row["loss"] for row in told.state.log_history if "loss" in row}
    assert all(losses[step] == pytest.approx(row["doctor/loss"], abs=1e-3) for step, row in history.items())


def test_nothing_is_printed(trainer, capsys):
    trainer([DoctorCallback(every=5)], logging_strategy="steps", logging_steps=20).train()
    found = capsys.readouterr()
    assert "'loss'" in found.out  # the Trainer's own
    assert "doctor" not in found.out + found.err


def test_train_called_twice_is_two_trainings(trainer):
    callback = DoctorCallback(every=5)
    told = trainer([callback], optim="sgd", learning_rate=100.0, max_grad_norm=0.0)
    with pytest.warns(DoctorWarning):
        told.train()
    first = callback.watches[0]
    again = trainer([callback], max_steps=30)
    again.train()
    assert callback.watches[0] is not first
    assert (callback.watches[0].steps, callback.findings) == (30, [])
    again.train()
    assert callback.watches[0].steps == 30
    untouched(again)


class Fails(Trainer):
    """Has no power at one step."""

    fails_at = 20

    def training_step(self, *args, **kwargs):
        if self.state.global_step == self.fails_at:
            raise RuntimeError("the power is gone")
        return super().training_step(*args, **kwargs)


def test_after_an_exception_stop_or_the_next_training_takes_the_hooks_off(trainer):
    callback = DoctorCallback(every=5)
    told = trainer([callback], kind=Fails)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the power is gone"):
            told.train()
        assert callback.watches[0].steps == 20
    callback.stop()
    callback.stop()
    untouched(told)
    told.fails_at = None
    told.train()
    assert callback.watches[0].steps == 60
    untouched(told)


def test_what_is_found_is_told_at_once(trainer):
    callback = DoctorCallback(every=5)
    told = trainer([callback], kind=Fails, optim="sgd", learning_rate=100.0, max_grad_norm=0.0)
    with pytest.warns(DoctorWarning) as caught, pytest.raises(RuntimeError, match="the power is gone"):
        told.train()
    callback.stop()
    assert not any(str(each.message).startswith("The doctor's findings") for each in caught)
    assert "rate_too_high" in names(callback.findings)
    untouched(told)


class Plain(torch.nn.Module):
    """A model that knows nothing of the Trainer, which then divides the loss."""

    def __init__(self):
        super().__init__()
        self.words, self.out = torch.nn.Embedding(16, 8), torch.nn.Linear(8, 2)

    def forward(self, input_ids, labels):
        logits = self.out(self.words(input_ids).mean(1))
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def writer():
    """A model that divides the loss by the words of all batches of a step itself."""
    return GPT2LMHeadModel(GPT2Config(vocab_size=16, n_positions=8, n_embd=16, n_layer=1, n_head=2))


@pytest.mark.parametrize(("made", "divisor"), [(Plain, 4), (writer, 1)], ids=["by the Trainer", "by the model"])
def test_the_loss_of_accumulated_batches_is_their_mean(trainer, made, divisor):
    callback = DoctorCallback(every=1)
    data = sentences(64)
    if made is writer:
        data = [{"input_ids": row["input_ids"], "labels": row["input_ids"]} for row in data]
    told = trainer([callback], made(), Kept, data, gradient_accumulation_steps=4, max_steps=5, logging_strategy="steps",
                   logging_steps=1)  # fmt: skip
    told.train()
    found = [sample.loss for sample in callback.samples]
    assert found == pytest.approx([sum(told.losses[k : k + 4]) / divisor for k in range(0, 20, 4)])
    assert found == pytest.approx([row["loss"] for row in told.state.log_history if "loss" in row], abs=1e-3)
    assert callback.samples[0].sharpness is not None


class Scaled(Kept):
    """With a scaler, as for fp16, for which Accelerate wants an accelerator."""

    overflow_at = None

    def create_accelerator_and_postprocess(self):
        super().create_accelerator_and_postprocess()
        self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def training_step(self, model, *args, **kwargs):
        loss = super().training_step(model, *args, **kwargs)
        if self.state.global_step == self.overflow_at:
            next(model.parameters()).grad.fill_(math.inf)
        return loss

    def _clip_grad_norm(self, model):
        self.accelerator.scaler.unscale_(self.optimizer.optimizer)  # as Accelerate does with fp16
        return super()._clip_grad_norm(model)


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused"])
def test_half_precision_is_measured_without_its_scale(trainer, optim):
    scaled, plain = DoctorCallback(every=1), DoctorCallback(every=1)
    options = {"max_steps": 10, "max_grad_norm": 0.0, "optim": optim}
    trainer([scaled], kind=Scaled, **options).train()
    trainer([plain], **options).train()
    for a, b in zip(scaled.samples, plain.samples, strict=True):
        assert (a.loss, a.gradient, a.update) == pytest.approx((b.loss, b.gradient, b.update), rel=1e-3)
    assert scaled.samples[0].sharpness == pytest.approx(plain.samples[0].sharpness, rel=0.05)


@pytest.mark.parametrize(
    ("optim", "clip"), [(f"adamw_torch{kind}", clip) for kind in ("", "_fused") for clip in (0.0, 1.0)]
)
def test_a_step_that_the_scaler_skips_is_none(trainer, optim, clip):
    callback = DoctorCallback(every=1)
    options = {"max_steps": 30, "max_grad_norm": clip, "optim": optim, "gradient_accumulation_steps": 2}
    told = trainer([callback], Plain(), Scaled, **options)
    told.overflow_at = 5
    told.train()
    assert callback.watches[0].steps == 29
    assert bool(told.optimizer.optimizer.defaults["fused"]) == optim.endswith("fused")
    means = [(told.losses[k] + told.losses[k + 1]) / 2 for k in range(0, 60, 2) if k != 10]
    assert [sample.loss for sample in callback.samples] == pytest.approx(means, rel=1e-3)
    assert all(math.isfinite(sample.gradient) for sample in callback.samples)
    untouched(told)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="every must be an integer ≥ 1; got 0"):
        DoctorCallback(every=0)
