"""The tasks are what the book and their own descriptions say."""

import numpy as np
import pytest
import torch

from stepwell.lab import tasks
from stepwell.lab.data import DataError
from stepwell.lab.tasks import Goal, Task


def test_airfoil_has_the_books_numbers(airfoil: Task) -> None:
    x, y = airfoil.data.inputs.astype(np.float64), airfoil.data.targets.astype(np.float64)
    assert x.shape == (1500, 5)
    assert y.shape == (1500, 1)
    assert airfoil.lowest == pytest.approx(0.241688, abs=5e-7)
    assert np.mean(y**2) / 2 == pytest.approx(0.493259, abs=5e-7)
    with_bias = np.column_stack([x, np.ones(len(x))])
    eigenvalues = np.linalg.eigvalsh(with_bias.T @ with_bias / len(x))
    assert eigenvalues[[0, -1]] == pytest.approx([0.1737, 2.0985], abs=1e-4)
    assert airfoil.steps(airfoil.epochs) == 300


def test_the_loss_has_its_half(airfoil: Task) -> None:
    outputs, targets = torch.tensor([[3.0], [0.0]]), torch.tensor([[1.0], [0.0]])
    assert airfoil.loss(outputs, targets).item() == 1.0


def test_digits_are_split_once_and_all_used() -> None:
    data = tasks.digits().data
    assert data.inputs.shape == (1437, 64)
    assert data.measured_inputs.shape == (360, 64)
    assert (data.inputs.min(), data.inputs.max()) == (0, 1)
    both = np.concatenate([data.inputs, data.measured_inputs])
    assert len(np.unique(both, axis=0)) == 1797  # no image is in both parts
    assert np.bincount(data.measured_targets).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    assert np.array_equal(tasks.digits().data.measured_inputs, data.measured_inputs)


def test_accuracy_is_the_share_of_right_answers() -> None:
    accuracy = tasks.digits().accuracy
    assert accuracy is not None
    outputs = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert accuracy(outputs, torch.tensor([0, 0, 1, 1])).item() == 0.75


def test_digits_take_no_file(tmp_path: object) -> None:
    with pytest.raises(DataError, match="--data"):
        tasks.digits(tmp_path)  # pyright: ignore[reportArgumentType]


def test_a_model_is_its_seeds_and_leaves_the_callers_generator_alone(airfoil: Task) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (torch.cat([p.flatten() for p in airfoil.model(seed).parameters()]) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first[-1] == 0  # the bias
    assert 0 < first[:-1].abs().max() < 0.05


def test_a_goal_is_reached_from_its_own_side() -> None:
    assert Goal("loss", 0.5, "").reached(0.5, None)
    assert not Goal("loss", 0.5, "").reached(0.6, 1.0)
    assert not Goal("loss", 0.5, "").reached(float("nan"), None)
    assert Goal("accuracy", 0.95, "").reached(9.0, 0.95)
    assert not Goal("accuracy", 0.95, "").reached(0.0, 0.94)
