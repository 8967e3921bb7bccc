"""A doctor names what is wrong with a training, and nothing else; of a healthy one it says nothing."""

from pathlib import Path

import pytest
import torch

from stepwell.lab import tasks
from stepwell.lab.candidates import choose
from stepwell.lab.health import signs
from stepwell.lab.health.doctor import doctor
from stepwell.lab.health.finding import SIGNS
from stepwell.lab.training.drive import drive
from stepwell.lab.training.plain import Plain
from stepwell.lab.trial import Trial
from tests.lab.health import trainings

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (0, 1)
GUIDE = Path(__file__).parents[3] / "docs" / "doctor.md"
PLANTED = [(name, loop) for name, loops in trainings.faults.items() for loop in loops]


def test_every_sign_has_a_fault_that_shows_it():
    assert signs
    assert set(trainings.faults) == set(SIGNS)
    assert len(SIGNS) == 12
    assert {symptom for sign in SIGNS.values() for symptom in sign.explains} < set(SIGNS)


def test_the_guide_names_every_fault():
    rows = [line.split("|")[1:3] for line in GUIDE.read_text("utf-8").splitlines() if line.startswith("| `")]
    told = {name.strip(" `"): title.strip() for name, title in rows}
    assert set(told) == set(SIGNS)
    assert all(sign.title.startswith(told[name]) for name, sign in SIGNS.items())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "loop"), PLANTED, ids=[loop.__name__ for _, loop in PLANTED])
def test_a_planted_fault_is_named(name, loop, seed):
    torch.manual_seed(seed)
    found = loop().findings
    assert [finding.name for finding in found] == [name]
    assert found[0].evidence
    assert found[0].cure


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loop", trainings.healthy, ids=lambda loop: loop.__name__)
def test_a_healthy_training_is_left_in_peace(loop, seed):
    torch.manual_seed(seed)
    assert loop().findings == []


@pytest.mark.parametrize(
    ("name", "optimizer", "lr"),
    [
        ("digits", "momentum", 0.1),
        ("digits", "lion", 3e-4),
        ("digits_cnn", "adam", 1e-2),
        ("diabetes", "adam", 0.03),
        ("series", "adam", 3e-3),
        ("text", "adam", 1e-2),
        ("transformer", "adamw", 2e-3),
    ],
)
def test_bundled_trainings_are_left_in_peace(name, optimizer, lr):
    task = tasks.named[name](None)
    trial = Trial(optimizer, lr, 0, 200)
    learner = Plain(task, choose(optimizer)[optimizer], trial)
    with doctor(learner.optimizer, learner.model) as watch:
        drive(task, learner, [trial], 0.0)
    assert watch.steps == 200
    assert watch.findings == []


def test_what_follows_from_a_fault_is_not_told_beside_it():
    """Never cleared gradients explode and make the loss rise: one finding, not three."""
    torch.manual_seed(0)
    found = trainings.never_cleared_with_momentum()
    losses = [loss for loss in found.record.losses.read() if loss is not None]
    assert max(losses) > 3 * losses[0]
    assert [finding.name for finding in found.findings] == ["forgotten_zero_grad"]


def test_two_faults_are_both_named():
    torch.manual_seed(0)
    model = trainings.perceptron()
    model[2].requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.999)
    watch = trainings.watched(model, optimizer, after=lambda k: (scheduler.step(), scheduler.step()))
    assert {finding.name for finding in watch.findings} == {"frozen_layer", "scheduler_stepped_twice"}


def test_a_plateau_is_noted_and_no_fault():
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 10)
    watch = trainings.watched(model, torch.optim.SGD(model.parameters(), 1.0), steps=900)
    x, y = trainings.digits()
    noise = torch.randn(len(x), 1, generator=torch.Generator().manual_seed(0))
    line = torch.nn.Linear(64, 1)
    flat = trainings.watched(
        line, torch.optim.Adam(line.parameters(), 1e-2), (x, y[:, None] / 4 + noise), steps=900,
        loss=torch.nn.functional.mse_loss,
    )  # fmt: skip
    assert flat.findings == []
    assert [note.partition(":")[0] for note in flat.notes] == ["a plateau"]
    assert watch.notes == []
