"""The tables are what the book and their own descriptions say."""

import numpy as np
import pytest
import torch

from stepwell.lab import tasks
from stepwell.lab.task import Task
from tests.lab.test_tasks import weights


def test_airfoil_has_the_books_numbers(airfoil: Task) -> None:
    x, y = airfoil.data.inputs.astype(np.float64), airfoil.data.targets.astype(np.float64)
    assert x.shape == (1500, 5)
    assert y.shape == (1500, 1)
    assert airfoil.lowest == pytest.approx(0.241688, abs=5e-7)
    assert np.mean(y**2) / 2 == pytest.approx(0.493259, abs=5e-7)
    with_bias = np.column_stack([x, np.ones(len(x))])
    eigenvalues = np.linalg.eigvalsh(with_bias.T @ with_bias / len(x))
    assert eigenvalues[[0, -1]] == pytest.approx([0.1737, 2.0985], abs=1e-4)
    assert airfoil.steps() == 300
    start = weights(airfoil.fresh(0))
    assert start[-1] == 0  # the bias
    assert 0 < start[:-1].abs().max() < 0.05


def test_the_loss_has_its_half(airfoil: Task) -> None:
    outputs, targets = torch.tensor([[3.0], [0.0]]), torch.tensor([[1.0], [0.0]])
    assert airfoil.loss(outputs, targets).item() == 1.0


def test_diabetes_is_standardized_by_what_is_trained_on() -> None:
    task = tasks.diabetes()
    x, y = task.data.inputs.astype(np.float64), task.data.targets.astype(np.float64)
    assert (x.shape, y.shape, task.data.measured_inputs.shape) == ((354, 10), (354, 1), (88, 10))
    assert np.abs([*x.mean(axis=0), *y.mean(axis=0)]).max() < 1e-6
    assert [*x.std(axis=0), *y.std(axis=0)] == pytest.approx([1.0] * 11, abs=1e-6)
    assert np.abs(task.data.measured_inputs.mean(axis=0)).max() > 0.01


def test_the_goal_of_diabetes_is_what_least_squares_reach() -> None:
    from sklearn.linear_model import LinearRegression

    task = tasks.diabetes()
    fit = LinearRegression().fit(task.data.inputs, task.data.targets)
    loss = np.mean((fit.predict(task.data.measured_inputs) - task.data.measured_targets) ** 2) / 2
    assert task.goal is not None
    assert task.goal.value == pytest.approx(loss, rel=1e-5)
