"""What the library's trainings do where the texts' do otherwise, apart from the page: errata 5 to 11 and 14."""

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stepwell import rules
from stepwell.book import airfoil, lenet, minibatch
from stepwell.book.errata.training import buffer_orders
from stepwell.book.section import Options, run
from stepwell.functions import theory
from stepwell.lab import tasks
from stepwell.lab.task import Task
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial
from tests.book.errata_loops import buffered
from tests.lab.conftest import data_folder


@pytest.fixture(scope="module")
def task() -> Task:
    return tasks.airfoil(data_folder())


def gradient(loss: Any, task: Task) -> np.ndarray:
    w = torch.zeros(5, 1, requires_grad=True)
    loss(torch.from_numpy(task.data.inputs) @ w, torch.from_numpy(task.data.targets)).backward()
    assert w.grad is not None
    return w.grad.numpy()


def test_5_the_loss_has_its_half(task: Task) -> None:
    x, y = task.data.inputs.astype(float), task.data.targets.astype(float)
    assert gradient(task.loss, task) == pytest.approx(-x.T @ y / len(x), rel=1e-4, abs=1e-6)
    assert gradient(nn.MSELoss(), task) == pytest.approx(2 * gradient(task.loss, task), rel=1e-4, abs=1e-6)


def test_6_both_forms_train_for_two_epochs(task: Task) -> None:
    counted = []

    class Counting(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            counted.append(1)
            return super().step(closure)

    built_in = airfoil.concise(task, Counting, lr=0.05)
    scratch = airfoil.from_scratch(task, rules.gradient_descent, lr=0.05)
    assert len(counted) == 300
    assert scratch.epochs == built_in.epochs
    assert scratch.losses == pytest.approx(built_in.losses, rel=1e-5)
    assert train(task, Trial("gradient_descent", 0.05, 0, task.steps())).taken == 300


def test_7_weights_are_drawn_small(task: Task) -> None:
    weights = np.concatenate([next(task.fresh(seed).parameters()).detach().numpy().ravel() for seed in range(200)])
    assert weights.std() == pytest.approx(0.01, rel=0.08)
    for start in (airfoil.concise(task, torch.optim.SGD), airfoil.from_scratch(task, rules.gradient_descent)):
        assert start.losses[0] == pytest.approx(0.493259, abs=0.01)
    default = [nn.Linear(5, 1).weight.std().item() for _ in range(50)]
    assert np.median(default) > 0.1  # what is left where an initializer is not applied


def orders(task: Task, form: str, seeds: int) -> np.ndarray:
    """The rows as a training meets them: each row's target is its number."""
    seen: list[np.ndarray] = []

    def loss(outputs: Any, targets: Any) -> Any:
        if len(targets) < 1500:
            seen.append(targets.numpy().ravel())
        return (outputs * 0).mean()

    numbered = replace(task.data, targets=np.arange(1500, dtype=np.float32)[:, None])
    watching = replace(task, data=numbered, loss=loss, batch=500, epochs=1, every=1000)
    for seed in range(seeds):
        if form == "lab":
            train(watching, Trial("gradient_descent", 0.0, seed, watching.steps()))
        elif form == "from scratch":
            airfoil.from_scratch(watching, rules.gradient_descent, seed, batch=500, epochs=1)
        else:
            airfoil.concise(watching, torch.optim.SGD, seed, batch=500, epochs=1)
    return np.concatenate(seen).reshape(seeds, 1500)


def early_share(found: np.ndarray) -> float:
    """Of the first 500 rows of an epoch, the share that is from the last 500 of the file: 1/3 if all are equal."""
    return float(np.mean(found[:, :500] >= 1000))


@pytest.mark.parametrize("form", ["lab", "from scratch", "concise"])
def test_8_every_order_is_as_likely(task: Task, form: str) -> None:
    found = orders(task, form, 40)
    assert (np.sort(found, axis=1) == np.arange(1500)).all()
    assert early_share(found) == pytest.approx(1 / 3, abs=0.015)
    assert np.argsort(found, axis=1)[:, 1000:].mean() == pytest.approx(749.5, abs=15)
    assert np.argmax(found == 1499, axis=1).min() < 400


def test_8_a_buffer_is_told_apart() -> None:
    longhand = np.array([buffered(np.random.default_rng(seed), 1500) for seed in range(40)])
    for found in (longhand, buffer_orders(40)):  # a plain loop, and the page's arrays
        assert (np.sort(found, axis=1) == np.arange(1500)).all()
        assert early_share(found) == pytest.approx(0.213, abs=0.015)
        assert np.argmax(found == 1499, axis=1).min() >= 500


def test_9_seconds_are_a_whole_trainings(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    for module in ("stepwell.lab.training.plain", "stepwell.lab.training.drive", "stepwell.book.loops"):
        monkeypatch.setattr(f"{module}.time", clock)
    run = train(task, Trial("gradient_descent", 0.05, 0, task.steps()))
    assert run.seconds == 16  # a tick for each of the intervals that 16 measurements end
    assert airfoil.from_scratch(task, rules.gradient_descent, lr=0.05).seconds == tuple(range(16))


def test_10_the_books_rate_is_above_the_limit(task: Task) -> None:
    x = np.column_stack([task.data.inputs.astype(float), np.ones(1500)])
    top = np.linalg.norm(x, 2) ** 2 / 1500
    limit = float(theory.stability_limit("gradient_descent") / top)
    assert limit == pytest.approx(0.953, abs=5e-4)
    loss = {lr: airfoil.from_scratch(task, rules.gradient_descent, batch=1500, epochs=100, lr=lr).loss
            for lr in (0.99 * limit, 1.0)}  # fmt: skip
    assert loss[0.99 * limit] < 0.2445
    assert loss[1.0] > 1000


def test_11_the_section_on_minibatches_counts_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minibatch, "_median", lambda way, repeats: 1.0)  # each way takes a second, it says
    rows = run(minibatch.product, Options()).tables[0].rows
    assert [float(row[2]) for row in rows] == pytest.approx([2 * 256**3 / 1e9] * 4, rel=5e-3)  # and not 2


def test_14_lenet_has_the_texts_layers() -> None:
    layers = [type(layer) for layer in lenet.lenet(0).modules()]
    assert layers.count(nn.MaxPool2d) == 2
    assert layers.count(nn.ReLU) == 4
    assert not {nn.AvgPool2d, nn.Sigmoid} & set(layers)
