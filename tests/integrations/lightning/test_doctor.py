"""The doctor at real trainings of Lightning."""
# pyright: reportMissingImports=false

import csv
import math

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins import MixedPrecision
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from stepwell.integrations.lightning import DoctorCallback, DoctorWarning
from stepwell.integrations.scalars import flat

pytestmark = pytest.mark.usefixtures("one_thread")
BACKWARD = torch.autograd.backward


class Net(pl.LightningModule):
    """A classifier of two columns, with what may go wrong in it."""

    def __init__(self, lr=0.1, fails_at=None, fused=False):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
        self.lr, self.fails_at, self.fused, self.losses = lr, fails_at, fused, []

    def training_step(self, batch, index):
        if self.global_step == self.fails_at:
            raise RuntimeError("the power is gone")
        x, y = batch
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.losses.append(float(loss.detach()))
        self.log("mine", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, fused=self.fused)


class Validated(Net):
    """With a validation, in which nothing is watched."""

    def validation_step(self, batch, index):
        self.log("val", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))


def loader(rows=256, shuffle=True):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 2, generator=generator)
    y = (x[:, 0] + x[:, 1] + 0.5 * torch.randn(rows, generator=generator) > 0).long()
    data = torch.utils.data.TensorDataset(x, y)
    return torch.utils.data.DataLoader(data, 32, shuffle=shuffle, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def trainer(tmp_path):
    """Makes a trainer that is quiet, and logs into CSV files."""

    def make(callback, steps=60, **options):
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        known = {"logger": CSVLogger(tmp_path), "max_steps": steps, "accelerator": "cpu", "log_every_n_steps": 1}
        return pl.Trainer(callbacks=[callback], default_root_dir=tmp_path, **{**known, **quiet, **options})

    return make


def untouched(*optimizers):
    """Nothing of the doctor is left anywhere."""
    assert torch.autograd.backward is BACKWARD
    for each in optimizers:
        assert not each._optimizer_step_pre_hooks
        assert not each._optimizer_step_post_hooks


def rows(trainer):
    with open(f"{trainer.logger.log_dir}/metrics.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names(found):
    return {finding.name for finding in found}


def test_a_rate_far_too_high_is_named_at_once_and_at_the_end(trainer):
    callback = DoctorCallback(every=5)
    told = trainer(callback, 60)
    with pytest.warns(DoctorWarning) as caught:
        told.fit(Net(lr=300.0), loader())
    assert "rate_too_high" in names(callback.findings)
    texts = [str(each.message) for each in caught if each.category is DoctorWarning]
    (finding,) = (each for each in callback.findings if each.name == "rate_too_high")
    assert sum(str(finding.title) in text for text in texts) == 2
    assert texts[-1].startswith("The doctor's findings:\n")
    assert sum(text.startswith("The doctor's findings:") for text in texts) == 1
    untouched(*told.optimizers)


def test_a_healthy_training_is_silent(trainer):
    callback = DoctorCallback(every=5)
    told = trainer(callback, 120)
    told.fit(Validated(), loader(), loader(64, shuffle=False))
    assert callback.findings == []
    assert callback.watches[0].steps == 120
    untouched(*told.optimizers)


def test_samples_are_logged_beside_what_the_module_logs(trainer):
    callback, model = DoctorCallback(every=10), Net()
    told = trainer(callback, 60)
    told.fit(model, loader())
    wanted = {sample.step: flat(sample) for sample in callback.samples}
    assert {0, 10, 20, 30, 40, 50} <= set(wanted)
    found = {int(row["step"]): row for row in rows(told) if row["doctor/loss"]}
    assert set(found) == set(wanted)
    for step, numbers in wanted.items():
        assert {name: float(found[step][name]) for name in numbers} == pytest.approx(numbers, nan_ok=True)
        assert numbers["doctor/loss"] == pytest.approx(model.losses[step])
    mine = {int(row["step"]): float(row["mine"]) for row in rows(told) if row["mine"]}
    assert all(mine[step] == pytest.approx(float(row["doctor/loss"])) for step, row in found.items())
    assert "doctor update ratio/net.0.weight" in wanted[0]


def test_tensorboard_has_them_too(trainer, tmp_path):
    callback, seen = DoctorCallback(every=10), []
    callback.tell = seen.append
    told = trainer(callback, 30, logger=TensorBoardLogger(tmp_path))
    told.fit(Net(), loader())
    events = EventAccumulator(told.logger.log_dir).Reload().Scalars("doctor/gradient norm")
    assert seen == callback.samples
    assert [(event.step, event.value) for event in events] == [
        (sample.step, pytest.approx(sample.gradient)) for sample in seen
    ]


def test_validation_and_its_sanity_check_are_not_watched(trainer):
    callback = DoctorCallback()
    told = trainer(callback)
    told.validate(Validated(), loader(shuffle=False), verbose=False)
    assert callback.watches == []
    stopped = trainer(callback, num_sanity_val_steps=2)

    class Broken(Net):
        def validation_step(self, batch, index):
            assert torch.autograd.backward is BACKWARD
            raise RuntimeError("in the sanity check")

    with pytest.raises(RuntimeError, match="in the sanity check"):
        stopped.fit(Broken(), loader(), loader(shuffle=False))
    assert callback.watches == []
    untouched()


def test_an_exception_leaves_nothing_behind_and_what_was_found_is_told(trainer):
    callback = DoctorCallback(every=5)
    told = trainer(callback)
    with pytest.warns(DoctorWarning) as caught, pytest.raises(RuntimeError, match="the power"):
        told.fit(Net(lr=300.0, fails_at=40), loader())
    assert str(caught[-1].message).startswith("The doctor's findings:")
    assert callback.watches[0].steps == 40
    assert "rate_too_high" in names(callback.findings)
    untouched(*told.optimizers)


def test_fit_called_twice_is_two_trainings(trainer):
    callback = DoctorCallback(every=5)
    with pytest.warns(DoctorWarning):
        trainer(callback).fit(Net(lr=300.0), loader())
    first = callback.watches[0]
    told = trainer(callback, 30)
    told.fit(Net(), loader())
    assert callback.watches[0] is not first
    assert (callback.watches[0].steps, callback.findings) == (30, [])
    told.fit_loop.epoch_loop.max_steps = 50
    told.fit_loop.max_epochs = -1
    told.fit(told.lightning_module, loader())
    assert callback.watches[0].steps == 20
    logged = {int(row["step"]) for row in rows(told) if row["doctor/loss"]}
    assert {0, 20, 30, 40} <= logged  # the trainer goes on counting
    untouched(*told.optimizers)


def test_the_loss_of_accumulated_batches_is_their_mean(trainer):
    callback, model = DoctorCallback(every=1), Net()
    trainer(callback, 5, accumulate_grad_batches=4).fit(model, loader())
    found = [sample.loss for sample in callback.samples]
    assert found == pytest.approx([sum(model.losses[k : k + 4]) / 4 for k in range(0, 20, 4)])
    assert callback.samples[0].sharpness is not None


def test_half_precision_is_measured_without_its_scale(trainer):
    scaled, plain = DoctorCallback(every=1), DoctorCallback(every=1)
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    trainer(scaled, 10, plugins=[precision]).fit(Net(), loader())
    trainer(plain, 10).fit(Net(), loader())
    for a, b in zip(scaled.samples, plain.samples, strict=True):
        assert (a.loss, a.gradient, a.update) == pytest.approx((b.loss, b.gradient, b.update), rel=0.02)
    assert scaled.samples[0].sharpness == pytest.approx(plain.samples[0].sharpness, rel=0.1)


def test_a_step_that_the_scaler_skips_is_none(trainer):
    callback = DoctorCallback(every=1)
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**40))
    model = Net()
    trainer(callback, 60, plugins=[precision]).fit(model, loader())
    steps = callback.watches[0].steps
    assert 0 < steps < 60 == len(model.losses)
    assert [sample.loss for sample in callback.samples] == pytest.approx(model.losses[-steps:], rel=1e-3)
    assert all(math.isfinite(sample.gradient) for sample in callback.samples)
    assert names(callback.findings) == set()


@pytest.mark.parametrize("fused", [False, True])
def test_scaled_gradients_are_seen_without_their_scale(trainer, fused):
    """A fused optimizer has them with the factor, until they are in its kernel."""
    scaled, plain = DoctorCallback(every=1), DoctorCallback(every=1)
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    trainer(scaled, 10, plugins=[precision]).fit(Net(fused=fused), loader())
    trainer(plain, 10).fit(Net(fused=fused), loader())
    for a, b in zip(scaled.samples, plain.samples, strict=True):
        assert (a.loss, a.gradient, a.update) == pytest.approx((b.loss, b.gradient, b.update), rel=0.02)
    untouched()


class Pair(pl.LightningModule):
    """Two networks that play against each other, by hand: the first steps twice a batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.automatic_optimization = False
        self.critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        self.maker = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        self.losses = ([], [])

    def training_step(self, batch, index):
        x, _ = batch
        first, second = self.optimizers()
        for _ in range(2):
            loss = nn.functional.softplus(-self.critic(x)).mean()
            loss = loss + nn.functional.softplus(self.critic(self.maker(torch.randn_like(x)).detach())).mean()
            self.by_hand(0, first, loss)
        self.by_hand(1, second, nn.functional.softplus(-self.critic(self.maker(torch.randn_like(x)))).mean())

    def by_hand(self, which, optimizer, loss):
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.losses[which].append(float(loss.detach()))

    def configure_optimizers(self):
        return [torch.optim.Adam(part.parameters(), lr=1e-3) for part in (self.critic, self.maker)]


def test_several_optimizers_are_watched_each_with_its_own_loss(trainer):
    callback, model = DoctorCallback(every=10), Pair()
    told = trainer(callback, 90)
    told.fit(model, loader())
    assert [watch.steps for watch in callback.watches] == [60, 30]
    for watch, losses in zip(callback.watches, model.losses, strict=True):
        for sample in watch.samples:
            assert sample.loss == pytest.approx(losses[sample.step])
    logged = rows(told)
    found = [{int(row["step"]) for row in logged if row[f"doctor-{i}/loss"]} for i in (0, 1)]
    assert {0, 5, 10, 15, 20, 25} <= found[0]  # two steps a batch
    assert {0, 10, 20} <= found[1]
    assert callback.findings == []
    untouched(*told.optimizers)


class Searched(Net):
    """Whose optimizer calls the closure several times a step."""

    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


def test_an_optimizer_that_calls_its_closure_again(trainer):
    callback = DoctorCallback(every=1)
    told = trainer(callback, 10)
    told.fit(Searched(), loader())
    assert callback.watches[0].steps == 10
    untouched(*told.optimizers)


class Anew(Net):
    """Which goes on with fresh weights, and so does again what it did."""

    def on_train_start(self):
        torch.manual_seed(0)
        for layer in (self.net[0], self.net[2]):
            layer.reset_parameters()


@pytest.mark.parametrize("kept", [True, False])
def test_what_was_told_is_not_told_again_after_a_checkpoint(trainer, tmp_path, kept):
    """At the first time it is told twice, when it is found and at the end; then at the end alone."""
    saves = ModelCheckpoint(tmp_path / "kept", save_last=True, every_n_train_steps=20)
    first = trainer(DoctorCallback(every=5), 40, enable_checkpointing=True)
    first.callbacks.append(saves)
    with pytest.warns(DoctorWarning):
        first.fit(Anew(lr=300.0), loader())
    fresh = DoctorCallback(every=5 if kept else 4)  # another one's state is not taken
    with pytest.warns() as caught:
        trainer(fresh, 80).fit(Anew(lr=300.0), loader(), ckpt_path=tmp_path / "kept" / "last.ckpt")
    texts = [str(each.message) for each in caught if each.category is DoctorWarning]
    (finding,) = (each for each in fresh.findings if each.name == "rate_too_high")
    assert fresh.watches[0].steps == 40
    assert sum(finding.title in text for text in texts) == (1 if kept else 2)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="every must be an integer ≥ 1; got 0"):
        DoctorCallback(every=0)
