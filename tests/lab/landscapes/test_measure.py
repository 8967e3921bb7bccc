"""The loss of a task's model on a plane."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stepwell.lab import landscape
from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import choose
from stepwell.lab.landscapes.directions import principal
from stepwell.lab.landscapes.losses import fixed_rows
from stepwell.lab.landscapes.measure import Recorded, flat
from stepwell.lab.task import Task
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial
from tests.lab import small

pytestmark = pytest.mark.usefixtures("one_thread")


def line(**more: Any) -> Task:
    """Two weights and no more: the whole of weight space is a plane."""
    x = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]
    model = lambda: nn.Linear(1, 1).double()  # noqa: E731
    given = {"data": (x, 3 * x + 1), "loss": nn.functional.mse_loss, "batch": 8, "epochs": 20, "name": "line"}
    return Task(model=model, **(given | more))


def test_every_point_is_the_loss_of_a_model_with_those_weights() -> None:
    task, steps = line(), 30
    found = landscape(task, "momentum", lr=0.05, steps=steps, points=7, rows=1000)
    path = weights_of(task, "momentum", 0.05, steps)
    span = principal(path, 0)
    x, y = task.data
    for i, j in ((0, 0), (3, 5), (6, 6), (1, 4)):
        w, b = path[-1] + found.a[i] * span[0] + found.b[j] * span[1]
        assert found.losses[i, j] == pytest.approx(float(((w * x + b - y) ** 2).mean()), rel=1e-9)
    assert found.missing == 0
    assert found.share == pytest.approx(1.0)
    np.testing.assert_allclose(found.path @ span + path[-1], path, atol=1e-12)
    np.testing.assert_allclose(found.path[-1], 0, atol=1e-12)


def weights_of(task: Task, optimizer: str, lr: float, steps: int) -> np.ndarray:
    """The weights on the way, by a loop of one's own."""
    candidate = choose(optimizer)[optimizer]
    model = task.fresh(0)
    trained = candidate.build(model, lr, {})
    batches, found = task.source.passes(0), [flat(list(model.parameters()))]
    for _ in range(steps):
        trained.zero_grad()
        task.evaluate(model, next(batches))[0].backward()
        trained.step()
        found.append(flat(list(model.parameters())))
    return np.array(found)


def test_it_trains_as_the_lab_does() -> None:
    task = small.task().shorter(18)
    trial = Trial("adam", 0.01, 3, 18)
    recorded = Recorded(task, choose("adam")["adam"], trial)
    from stepwell.lab.training.drive import drive

    (run,) = drive(task, recorded, [trial], 0.0)
    assert run.loss == train(task, trial).loss
    assert len(recorded.shots) == 19


def test_batch_norm_and_dropout_are_as_in_use_and_generators_stay() -> None:
    task = small.task()
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    one = landscape(task, "adam", lr=0.05, points=5)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert repr(np.random.get_state()) == before[2]  # noqa: NPY002
    torch.manual_seed(8)
    other = landscape(task, "adam", lr=0.05, points=5)
    assert (one.losses == other.losses).all()
    assert (landscape(task, "adam", lr=0.05, points=5, seed=1).losses != one.losses).any()


def test_random_directions_are_around_the_trained_model() -> None:
    task = line()
    found = landscape(task, "momentum", lr=0.1, steps=100, directions="random", points=5)
    assert found.losses[2, 2] == pytest.approx(found.losses.min(), abs=0.05)
    assert (found.a[0], found.a[-1]) == (-1.0, 1.0)
    assert len(found.path) == 0
    assert found.share is None


def test_a_fresh_model_has_a_plane_too() -> None:
    found = landscape(line(), steps=0, directions="random", points=4)
    assert "untrained" in found.about
    with pytest.raises(ValueError, match="a fresh model has no path"):
        landscape(line(), steps=0)


def test_loaders_and_dicts_of_batches_do_as_well() -> None:
    x = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, 3 * x), 8, shuffle=True)
    task = line(data=loader)
    assert sum(len(batch[0]) for batch in fixed_rows(task.source, 20)) == 24
    torch.manual_seed(99)
    before = torch.get_rng_state()
    one, other = (landscape(task, "adam", lr=0.1, steps=12, points=4, rows=20) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (one.losses == other.losses).all()
    assert "24 rows" in one.about


def test_the_rows_of_arrays_are_drawn_once() -> None:
    source = line().source
    (one,), (other,) = fixed_rows(source, 10), fixed_rows(source, 10)
    assert len(one[0]) == 10
    assert torch.equal(one[0], other[0])
    assert not torch.equal(one[0], source.whole().__next__()[0][:10])


def test_losses_that_are_not_finite_are_kept_as_they_are() -> None:
    def steep(output: Any, target: Any) -> Any:
        return ((output - target).abs().mean() * 300).exp().log() + output.mean() * 0

    found = landscape(line(loss=steep), "momentum", lr=1e-4, steps=50, points=6, directions="random")
    assert 0 < found.missing < 36
    assert np.isfinite(found.heights).all()


def test_it_tells_how_far_it_is() -> None:
    told: list[tuple[str, int, int]] = []
    landscape(line(), "adam", steps=40, points=4, tell=lambda *what: told.append(what))
    assert told[0][0] == "training"
    assert ("training", 40, 40) in told
    assert told[-4:] == [("measuring", k, 4) for k in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"directions": "both"}, "directions must be 'path' or 'random'; got 'both'"),
        ({"points": 3}, "points must be an integer ≥ 4; got 3"),
        ({"rows": 0}, "rows must be an integer ≥ 1"),
        ({"steps": -1}, "steps must be an integer ≥ 0"),
        ({"optimizer": "adma"}, "there is no optimizer 'adma'"),
        ({"optimizer": ["adam", "lion"]}, "optimizer must be one; got adam, lion"),
        ({"optimizer": "momentum", "lr": 1e9}, "the training diverged with momentum at lr 1e"),
        ({"lr": 0.0}, "the training did not move the weights"),
    ],
)
def test_what_cannot_be_is_said(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        landscape(line(), **options)


def test_a_task_without_rows_is_refused() -> None:
    empty = torch.empty(0, 1, dtype=torch.float64)
    with pytest.raises(TaskError, match="no batch"):
        landscape(replace(line(length=3), data=(empty, empty)), directions="random", steps=0)
