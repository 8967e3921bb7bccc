"""A proof goes on from the fault on the same batches, and tells the cure that works from the one that does not."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepwell import schedules
from stepwell.lab import examine, tasks
from stepwell.lab.candidates import choose
from stepwell.lab.health.cures import CURES
from stepwell.lab.health.finding import SIGNS, Finding
from stepwell.lab.health.proof import STEPS, prove
from stepwell.lab.task import Task
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial

pytestmark = pytest.mark.usefixtures("one_thread")
DIGITS = tasks.digits()


def works(proof):
    return {way.cure: way.works for way in proof.trials}


def test_every_cure_is_of_a_fault():
    assert set(CURES) <= set(SIGNS)
    assert set(SIGNS) - set(CURES) == {"forgotten_zero_grad", "scheduler_stepped_twice"}  # of the user's own loop


def test_a_rate_too_high_is_cured_by_a_lower_one():
    found = examine(DIGITS, "adam", lr=1.0, steps=120, prove=True)
    (proof,) = found.proof
    assert works(proof)["a learning rate 100 times lower"]
    assert not works(proof)["as it was"]
    assert not works(proof)["gradients clipped to norm 1"]  # Adam does not see the size of a gradient
    assert all(len(way.curve) == STEPS for way in proof.trials)


def test_a_rate_too_low_is_cured_by_a_higher_one():
    found = examine(DIGITS, "momentum", lr=3e-5, steps=120, prove=True)
    assert [f.name for f in found.findings] == ["rate_too_low"]
    assert works(found.proof[0])["a learning rate 1000 times higher"]
    assert not works(found.proof[0])["a learning rate 10 times higher"]


def test_as_it_was_is_what_it_was():
    """From the beginning on, the first way is the training itself, step by step."""
    task = replace(DIGITS, validation=None, data=(DIGITS.data.inputs, DIGITS.data.targets), every=1)
    trial = Trial("adam", 3e-3, 5, STEPS)
    run = train(task, trial)
    finding = Finding("rate_too_high", "", 0, "", "")
    (proof,) = prove(task, choose("adam")["adam"], trial, [finding])
    assert proof.trials[0].curve == pytest.approx(run.curve["loss"][1:], rel=1e-6)


def test_it_forks_just_before_the_step():
    task = replace(DIGITS, validation=None, data=(DIGITS.data.inputs, DIGITS.data.targets), every=1)
    trial = Trial("adam", 3e-3, 5, STEPS + 20)
    run = train(task, trial)
    (proof,) = prove(task, choose("adam")["adam"], trial, [Finding("eps_too_large", "", 21, "", "")])
    assert proof.step == 20
    assert proof.trials[0].curve == pytest.approx(run.curve["loss"][21:], rel=1e-6)


@pytest.mark.parametrize("schedule", [None, schedules.cosine])
def test_a_lower_rate_is_that_rate(schedule):
    """What is tried is the training with that rate from the fork on, with its schedule."""
    task = replace(DIGITS, validation=None, data=(DIGITS.data.inputs, DIGITS.data.targets), every=1, schedule=schedule)
    finding = Finding("rate_too_high", "", 0, "", "")
    (proof,) = prove(task, choose("adam")["adam"], Trial("adam", 3e-2, 5, 80), [finding])
    lower = train(task, Trial("adam", 3e-3, 5, 80))
    assert proof.trials[1].curve == pytest.approx(lower.curve["loss"][1 : STEPS + 1], rel=1e-5)


def _silent():
    model: Any = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    with torch.no_grad():
        model[0].bias.fill_(-30.0)
    return model


def test_a_dead_layer_is_made_again():
    found = examine(replace(DIGITS, model=_silent), "adam", steps=120, prove=True)
    assert [f.name for f in found.findings] == ["dead_relu"]
    assert works(found.proof[0])["the dead layer initialized again"]
    assert not works(found.proof[0])["a learning rate 10 times lower"]


def test_a_large_epsilon_is_made_small():
    def make(parameters, lr):
        return torch.optim.Adam(parameters, lr, eps=1.0)

    candidate = choose({"adam of mine": make})["adam of mine"]
    found = examine(DIGITS, candidate, lr=3e-3, steps=120, prove=True)
    assert [f.name for f in found.findings] == ["eps_too_large"]
    assert works(found.proof[0])["eps=1e-8"]


def test_a_loss_that_is_not_a_number_is_left_out():
    inputs = DIGITS.data.inputs.copy()
    inputs[7, 3] = math.nan
    task = replace(DIGITS, data=(inputs, DIGITS.data.targets))
    found = examine(task, "adam", lr=3e-3, steps=60, prove=True)
    assert [f.name for f in found.findings] == ["nan_loss"]
    assert works(found.proof[0])["steps whose loss is not finite left out"]
    assert found.proof[0].trials[0].loss is None


def test_the_task_and_the_model_of_an_existing_training_stay_as_they_are():
    torch.manual_seed(0)
    model = nn.Linear(64, 10)
    optimizer = torch.optim.SGD(model.parameters(), 500.0)
    before = copy.deepcopy(model.state_dict())
    data = list(zip(*(torch.as_tensor(x).split(64) for x in (DIGITS.data.inputs, DIGITS.data.targets)), strict=True))
    task = Task.of(model, optimizer, F.cross_entropy, data)
    random = torch.get_rng_state()
    found = examine(task, steps=60, prove=True)
    assert found.run.lr == 500.0
    assert [f.name for f in found.findings] == ["rate_too_high"]
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    assert torch.equal(random, torch.get_rng_state())
    assert optimizer.param_groups[0]["lr"] == 500.0


def test_equal_examinations_are_equal():
    first, second = (examine(DIGITS, "adam", lr=1.0, steps=60, prove=True) for _ in range(2))
    for each in (first, second):
        each.content.pop("started")
    assert first.content == second.content


def test_what_is_said_has_the_proof():
    found = examine(DIGITS, "gradient_descent", lr=1e-7, steps=120, prove=True)
    assert "the learning rate is too low" in str(found)
    assert "✓ a learning rate" in str(found) or "· a learning rate" in str(found)
    assert "as it was" in str(found)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"optimizer": "adamm"}, ValueError, "adamm"),
        ({"lr": -1.0}, ValueError, "lr must be .*-1"),
        ({"lr": "fast"}, TypeError, "lr must be .*fast"),
        ({"steps": 1}, ValueError, "steps must be .*1"),
        ({"seed": -1}, ValueError, "seed must be .*-1"),
        ({"every": 0}, ValueError, "every must be .*0"),
        ({"optimizer": ["adam", "lion"]}, ValueError, "optimizer must be one; got adam, lion"),
    ],
)
def test_bad_input(options, error, words):
    with pytest.raises(error, match=words):
        examine(DIGITS, **options)
