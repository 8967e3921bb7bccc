"""A run is what its trial and its task say, lands where it always did, and leaves nothing behind."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stepwell.lab import find_lr, sweep, tasks
from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import choose
from stepwell.lab.goal import Goal
from stepwell.lab.randomness import sow
from stepwell.lab.task import Task
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial
from tests.lab.small import SGD, STEPS, data, model, task
from tests.lab.synthetic import numbers

# rule, rate, hyperparameters, batch, epochs, band of the final loss over 20 seeds
BOOK = [
    ("gradient_descent", 1.0, {}, 1500, 10, (0.242, 0.261)),
    ("gradient_descent", 0.005, {}, 1, 2, (0.242, 0.256)),
    ("gradient_descent", 0.4, {}, 100, 2, (0.242, 0.263)),
    ("gradient_descent", 0.05, {}, 10, 2, (0.242, 0.257)),
    ("momentum", 0.02, {"beta": 0.5}, 10, 2, (0.242, 0.251)),
    ("momentum", 0.01, {"beta": 0.9}, 10, 2, (0.244, 0.254)),
    ("momentum", 0.005, {"beta": 0.9}, 10, 2, (0.242, 0.250)),
    ("adagrad_eps_inside", 0.1, {}, 10, 2, (0.242, 0.246)),
    ("rmsprop_eps_inside", 0.01, {"gamma": 0.9}, 10, 2, (0.242, 0.249)),
    ("adadelta", 1.0, {"rho": 0.9, "eps": 1e-5}, 10, 2, (0.242, 0.2482)),
    ("adam", 0.01, {"eps": 1e-6}, 10, 2, (0.242, 0.2482)),
    ("yogi", 0.01, {"eps": 1e-3}, 10, 2, (0.242, 0.2482)),
]


@pytest.fixture
def small() -> Task:
    return task()


@pytest.mark.parametrize(("rule", "lr", "hyper", "batch", "epochs", "band"), BOOK)
def test_final_losses_lie_in_the_books_bands(
    airfoil: Task, rule: str, lr: float, hyper: dict[str, float], batch: int, epochs: int, band: tuple[float, float]
) -> None:
    task = replace(airfoil, batch=batch, epochs=epochs)
    for seed in range(2):
        loss = train(task, Trial.of(rule, {"lr": lr, **hyper}, seed, task.steps())).loss
        assert loss is not None
        assert band[0] - 5e-4 < loss < band[1] + 5e-4  # the book's bounds are rounded to three digits


# Seeds


def test_equal_trials_make_equal_runs_and_seeds_other_ones(small: Task) -> None:
    first, again, other = (train(small, Trial("adam", 0.01, seed, STEPS)) for seed in (0, 0, 1))
    assert numbers(first) == numbers(again)
    assert first.curve["loss"][0] != other.curve["loss"][0]
    assert first.loss != other.loss


def test_all_optimizers_meet_the_same_weights_batches_and_draws_at_a_seed(small: Task) -> None:
    """At a rate of 0 a gradient is that of the weights to begin with, the batch and the dropout."""
    seen: dict[str, list[float]] = {}

    class Watching(torch.optim.SGD):
        name = "watched"

        def step(self, closure: Any = None) -> Any:
            seen.setdefault(self.name, []).append(sum(p.grad.sum().item() for p in self.param_groups[0]["params"]))
            return super().step(closure)

    class Other(Watching):
        name = "other"

        def step(self, closure: Any = None) -> Any:
            torch.rand(3, generator=torch.Generator().manual_seed(0))
            return super().step(closure)

    both = choose({"watched": Watching, "other": Other})
    for name in both:
        train(small, Trial(name, 0.0, 3, STEPS), both)
    assert len(seen["watched"]) == STEPS
    assert seen["watched"] == seen["other"]
    assert len(set(seen["watched"])) == STEPS  # every batch is another one


def test_numbers_do_not_depend_on_what_was_drawn_before(small: Task) -> None:
    first = train(small, Trial("sgd", 0.3, 0, STEPS), SGD)
    sow(12345)
    assert numbers(train(small, Trial("sgd", 0.3, 0, STEPS), SGD)) == numbers(first)


# Curve, goal, divergence


def test_the_curve_has_every_measurement_and_the_last_step(airfoil: Task) -> None:
    run = train(replace(airfoil, every=70), Trial("adam", 0.01, 0, 150))
    assert run.curve["step"] == [0, 70, 140, 150]
    assert run.taken == 150
    assert run.curve["loss"][0] == pytest.approx(0.493, abs=0.02)
    assert run.metric is None


def test_a_run_is_measured_twenty_times_where_nothing_is_said(small: Task) -> None:
    run = train(replace(small, every=None), Trial("sgd", 0.1, 0, 40), SGD)
    assert run.curve["step"] == list(range(0, 41, 2))


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_the_goal_step_is_the_first_at_the_goal(small: Task, metric: str) -> None:
    value = {"loss": 0.9, "accuracy": 0.6}[metric]
    task = replace(small, goal=Goal(metric, value, "there"), every=1)
    run = train(task, Trial("sgd", 0.5, 0, 60), SGD)
    there = [
        step
        for step, loss, score in zip(*(run.curve[name] for name in ("step", "loss", "metric")), strict=True)
        if (loss <= value if metric == "loss" else score >= value)
    ]
    assert 0 < there[0] < 60
    assert run.goal_step == there[0]
    assert train(task, Trial("sgd", 1e-9, 0, 60), SGD).goal_step is None


def test_a_run_that_diverges_is_a_result_and_stops_there(airfoil: Task) -> None:
    run = train(airfoil, Trial("gradient_descent", 1e6, 0, 300))
    assert (run.status, run.loss, run.metric, run.goal_step) == ("diverged", None, None, None)
    assert run.cost == math.inf
    assert run.taken == run.curve["step"][-1] < run.steps == 300
    finite = [loss for loss in run.curve["loss"] if loss is not None]
    assert run.curve["loss"] == [*finite, None]
    assert all(map(math.isfinite, finite))
    assert run.best == min(finite)


def test_a_goal_that_was_reached_before_it_diverged_does_not_count(small: Task) -> None:
    task = replace(small, model=lambda: nn.Linear(3, 3).double(), goal=Goal("loss", 1e9, "at once"))
    assert train(task, Trial("sgd", 0.1, 0, STEPS), SGD).goal_step == 0
    run = train(task, Trial("sgd", 1e308, 0, STEPS), SGD)
    assert (run.status, run.goal_step) == ("diverged", None)


# What is left behind


def _generators() -> tuple[Any, ...]:
    _, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), np.asarray(keys).tolist(), rest, torch.get_rng_state().tolist()


def _drawing(made: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """A factory that draws from all three generators."""

    def make() -> nn.Module:
        random.random()
        np.random.rand()  # noqa: NPY002
        return made()

    return make


def test_generators_are_where_they_were(small: Task) -> None:
    before = _generators()
    train(replace(small, model=_drawing(model)), Trial("sgd", 0.1, 0, STEPS), SGD)
    assert _generators() == before


@pytest.mark.parametrize("fails", ["model", "loss"])
def test_an_error_leaves_generators_and_threads_where_they_were(small: Task, fails: str) -> None:
    def refuse(*_: Any) -> Any:
        torch.rand(1)
        raise ArithmeticError("no")

    before, threads = _generators(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises((ArithmeticError, TaskError), match="no"):
            train(replace(small, **{fails: refuse}), Trial("sgd", 0.1, 0, STEPS), SGD)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert _generators() == before


def test_a_run_has_one_thread_and_the_callers_are_given_back(small: Task) -> None:
    counted: set[int] = set()

    def loss(output: Any, target: Any) -> Tensor:
        counted.add(torch.get_num_threads())
        return nn.functional.cross_entropy(output, target)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(replace(small, loss=loss), Trial("sgd", 0.1, 0, 3), SGD)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert counted == {1}


def test_an_existing_training_is_not_touched() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    task = Task.of(net, optimizer, nn.functional.cross_entropy, [data(8, 2), data(8, 3)], length=6)
    before = {name: x.clone() for name, x in net.state_dict().items()}
    run = train(task, Trial("sgd", 0.3, 0, 6), SGD)
    assert run.loss != run.curve["loss"][0]
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())
    assert not optimizer.state
    assert all(p.grad is None for p in net.parameters())


def test_the_optimizer_of_an_existing_training_is_tried_in_the_state_it_was_in() -> None:
    net = nn.Linear(3, 3).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    net(data(8, 2)[0]).sum().backward()
    optimizer.step()
    batches = [data(8, 2), data(8, 3)]
    task = Task.of(net, optimizer, nn.functional.cross_entropy, batches, length=2)
    own = task.optimizer
    assert own is not None
    run = train(task, Trial(own.name, 0.05, 0, 2), {own.name: own})
    optimizer.zero_grad()
    for x, y in batches:
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert run.curve["loss"][-1] == pytest.approx(loss.item())  # pyright: ignore[reportPossiblyUnboundVariable]
    assert train(task, Trial(own.name, 0.05, 0, 2), {own.name: own}).loss == run.loss
    found = find_lr(task, seeds=[0], steps=40)
    assert (found.optimizer, found.seeds) == ("sgd", (0,))
    beside = sweep(task, [own, "adam"], rates=1, seeds=1, workers=1)
    assert {r.optimizer: r.loss for r in beside.runs if r.lr in (own.rate, 1e-3)}["sgd"] == run.loss


# What cannot be trained


def test_an_unknown_optimizer_is_named(small: Task) -> None:
    with pytest.raises(ValueError, match=r"'lino'; did you mean lion\?"):
        train(small, Trial("lino", 0.1, 0, STEPS))


def test_a_loader_that_runs_dry_is_said(small: Task) -> None:
    with pytest.raises(TaskError, match="no batch for step 1 of 18"):
        train(replace(small, data=[], length=STEPS), Trial("sgd", 0.1, 0, STEPS), SGD)


# What it has always been


@pytest.mark.parametrize(("rule", "lr", "loss"), [("adam", 0.00316, 0.363948), ("momentum", 0.0316, 1.131260)])
def test_digits_ends_where_it_always_did(rule: str, lr: float, loss: float) -> None:
    task = tasks.digits()
    assert train(task, Trial(rule, lr, 1, task.steps(3))).loss == pytest.approx(loss, rel=1e-4)


def test_what_diverges_at_its_first_step_without_validation(one_thread):
    """Its curve ends there; nothing is summed up for it afterwards."""
    from dataclasses import replace

    import torch

    x = torch.full((32, 2), float("nan"))
    lost = replace(task(), data=(x, torch.zeros(32, 1)), validation=None, model=lambda: torch.nn.Linear(2, 1),
                   loss=torch.nn.functional.mse_loss, metric=None, batch=8)  # fmt: skip
    run = train(lost, Trial("adam", 1e-3, 0, 8))
    assert (run.status, run.loss) == ("diverged", None)
