"""A run is what its job says, and lands where the book's runs do."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from stepwell.lab.tasks import Task
from stepwell.lab.train import Job, Run, train
from stepwell.rules import named
from stepwell.torch import from_rule

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


@pytest.mark.parametrize(("rule", "lr", "hyper", "batch", "epochs", "band"), BOOK)
def test_final_losses_lie_in_the_books_bands(
    airfoil: Task, rule: str, lr: float, hyper: dict[str, float], batch: int, epochs: int, band: tuple[float, float]
) -> None:
    task, make = replace(airfoil, batch=batch, epochs=epochs), partial(from_rule(named[rule]), **hyper)
    losses = [train(task, Job(rule, lr, seed), make=make).loss for seed in range(2)]
    for loss in losses:
        assert loss is not None
        assert band[0] - 5e-4 < loss < band[1] + 5e-4  # the book's bounds are rounded to three digits


def numbers(run: Run) -> dict[str, Any]:
    """All of a run that is not a time."""
    facts = dict(vars(run))
    facts["curve"] = {name: values for name, values in run.curve.items() if name != "seconds"}
    return {name: value for name, value in facts.items() if name not in ("seconds", "step_microseconds")}


def test_equal_jobs_make_equal_runs_and_seeds_other_ones(airfoil: Task) -> None:
    first, again, other = (train(airfoil, Job("adam", 0.01, seed), 1) for seed in (0, 0, 1))
    assert numbers(first) == numbers(again)
    assert first.curve["loss"] != other.curve["loss"]


def test_all_optimizers_see_the_same_batches_at_a_seed(airfoil: Task) -> None:
    seen: list[list[float]] = []

    class Watching(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            seen[-1].append(self.param_groups[0]["params"][0].grad.sum().item())
            return super().step(closure)

    for _ in range(2):
        seen.append([])
        train(airfoil, Job("a", 0.0, 3), 1, Watching)
    assert len(seen[0]) == 150
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 140  # every batch is another one


def test_the_curve_has_every_measurement_and_the_last_step(airfoil: Task) -> None:
    run = train(replace(airfoil, every=70), Job("adam", 0.01, 0), 1)
    assert run.curve["step"] == [0, 70, 140, 150]
    assert run.steps == 150
    assert run.loss == run.curve["loss"][-1]
    assert run.curve["loss"][0] == pytest.approx(0.493, abs=0.02)
    assert run.accuracy is None


def test_the_goal_step_is_the_first_at_the_goal(airfoil: Task) -> None:
    run = train(airfoil, Job("adagrad_eps_inside", 0.1, 0))
    reached = [
        step
        for step, loss in zip(run.curve["step"], run.curve["loss"], strict=True)
        if loss and loss <= airfoil.goal.value
    ]
    assert run.goal_step == reached[0]
    assert train(airfoil, Job("adam", 1e-5, 0), 1).goal_step is None


def test_a_run_that_diverges_is_a_result(airfoil: Task) -> None:
    run = train(airfoil, Job("gradient_descent", 1e6, 0))
    assert (run.status, run.loss, run.goal_step) == ("diverged", None, None)
    assert run.steps < 300
    assert run.curve["loss"][-1] is None
    assert all(loss is None or math.isfinite(loss) for loss in run.curve["loss"])


def test_the_callers_threads_are_given_back(airfoil: Task) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(airfoil, Job("adam", 0.01, 0), 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
