"""The bundled tasks: what they are said to be, learnable, the same each time, and fit for workers and for `vmap`."""

import importlib
import inspect
import pickle
import pkgutil
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from stepwell.lab import data, tasks
from stepwell.lab.data import DataError
from stepwell.lab.goal import Goal
from stepwell.lab.task import Task
from tests.lab.conftest import data_folder

RATE = 1e-2  # at which Adam trains all of them


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=list(tasks.named))
def task(request: pytest.FixtureRequest) -> Task:
    """Each bundled task."""
    return made(request.param)


def made(name: str) -> Task:
    """A bundled task, without a network; the one that must read a file has it, and the others find none."""
    place = data_folder() if name == "airfoil" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(data.VARIABLE, raising=False)
        patch.setattr(data, "_download", refused)
        return tasks.named[name](place)


def refused(*_: Any) -> bytes:
    raise AssertionError("something was to be downloaded")


def arrays(task: Task) -> dict[str, np.ndarray]:
    return vars(task.data)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def measure(task: Task, model: nn.Module) -> tuple[float, float | None]:
    """Loss and metric on what a task measures, in one batch."""
    model.eval()
    with torch.no_grad():
        x, y = map(torch.from_numpy, (task.data.measured_inputs, task.data.measured_targets))
        loss, output, target = task.evaluate(model, (x, y))
        found = None if task.metric is None else task.metric(output, target).item()
    model.train()
    return loss.item(), found


def marginal(task: Task) -> float:
    """The loss of a constant prediction: the classes' shares, or the mean, of what is trained on."""
    y, measured = task.data.targets, task.data.measured_targets
    if y.dtype != np.int64:
        return float(np.mean((measured - y.mean(axis=0)) ** 2) / 2)
    share = np.bincount(y.ravel(), minlength=int(measured.max()) + 1) / y.size
    return float(-np.log(share[measured]).mean())


# What each is


def test_every_task_says_what_it_is(task: Task) -> None:
    assert tasks.named[task.name].__name__ == task.name
    assert inspect.getdoc(tasks.named[task.name])
    assert task.about
    assert "loss" in task.measured
    assert task.goal is not None
    assert task.goal.words
    assert task.every is not None
    assert 10 <= task.steps() // task.every <= 100


def test_every_task_of_a_file_is_named() -> None:
    files = (importlib.import_module(f"{tasks.__name__}.{m.name}") for m in pkgutil.iter_modules(tasks.__path__))
    functions = {name for file in files for name, f in inspect.getmembers(file, inspect.isfunction)
                 if f.__module__ == file.__name__ and inspect.signature(f).return_annotation is Task}  # fmt: skip
    assert functions == set(tasks.named)
    assert len(functions) >= 7
    assert all(getattr(tasks, name) is make for name, make in tasks.named.items())


def test_the_names_alone_load_no_torch() -> None:
    code = "import sys; from stepwell.lab import tasks; assert tasks.named; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_task_refuses_a_place_that_has_nothing_for_it(tmp_path: Path) -> None:
    for make in tasks.named.values():
        with pytest.raises(DataError, match="--data"):
            make(tmp_path)


# Learning


def test_every_task_is_learnt(task: Task) -> None:
    model = task.fresh(0)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    curve, batches = [measure(task, model)], task.source.passes(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for step in range(1, task.steps() + 1):
            optimizer.zero_grad()
            task.evaluate(model, next(batches))[0].backward()
            optimizer.step()
            if step % (task.every or 1) == 0:
                curve.append(measure(task, model))
    last = measure(task, model)[0]
    assert last < 0.8 * curve[0][0]
    assert last < 0.85 * marginal(task)
    assert last >= task.lowest
    assert task.goal is not None
    reached = [task.goal.reached(*point) for point in curve]
    assert any(reached)
    assert not reached[0]


# The same each time


def test_a_task_is_the_same_each_time(task: Task) -> None:
    again = made(task.name)
    assert (again.about, again.goal) == (task.about, task.goal)
    for name, array in arrays(task).items():
        assert np.array_equal(array, arrays(again)[name])


def test_a_model_is_its_seeds(task: Task) -> None:
    first, again, other = (weights(task.fresh(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_generators_are_left_alone(task: Task) -> None:
    before = torch.random.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    made(task.name).fresh(3)
    after = torch.random.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert all(np.array_equal(x, y) for x, y in zip(before[1], after[1], strict=True))
    assert before[2] == after[2]


@pytest.mark.parametrize("name", ["digits", "digits_cnn", "diabetes", "series"])
def test_no_row_is_both_trained_on_and_measured_on(name: str) -> None:
    rows = made(name).data
    both = np.concatenate([rows.inputs, rows.measured_inputs])
    assert len(np.unique(both, axis=0)) == len(both)


# Workers and vmap


def test_every_task_goes_to_a_worker(tmp_path: Path) -> None:
    """One that imports nothing but what the pickle names."""
    all_ = [made(name) for name in tasks.named]
    (tmp_path / "tasks").write_bytes(pickle.dumps(all_))
    code = (
        "import pickle, sys, torch; torch.set_num_threads(1)\n"
        "for t in pickle.load(open(sys.argv[1], 'rb')):\n"
        "    print(t.name, t.evaluate(t.fresh(5).eval(), next(t.source.passes(5)))[0].item())"
    )
    there = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "tasks"], check=True, capture_output=True, text=True
    ).stdout
    here = [(t.name, t.evaluate(t.fresh(5).eval(), next(t.source.passes(5)))[0].item()) for t in all_]
    assert there.splitlines() == [f"{name} {loss}" for name, loss in here]


def test_a_stacked_model_is_as_good_as_each(task: Task) -> None:
    """Losses, gradients and running statistics; in float64, with dropout on."""
    x, y = (z.double() if z.is_floating_point() else z for z in next(task.source.passes(0)))
    models = [task.fresh(seed).double().train() for seed in range(3)]
    parameters, buffers = stack_module_state(models)
    skeleton = task.fresh(0).double().to("meta")

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        return task.evaluate(lambda x: functional_call(skeleton, (parameters, buffers), (x,)), (x, y))[0]

    with torch.random.fork_rng():
        torch.manual_seed(1)
        detached = {name: p.detach() for name, p in parameters.items()}
        gradients, losses = vmap(grad_and_value(loss), randomness="same")(detached, buffers)
        for i, model in enumerate(models):
            torch.manual_seed(1)
            alone = task.evaluate(model, (x, y))[0]
            alone.backward()
            torch.testing.assert_close(losses[i], alone.detach(), rtol=1e-12, atol=0)
            for name, p in model.named_parameters():
                torch.testing.assert_close(gradients[name][i], p.grad, rtol=1e-9, atol=1e-14)
            for name, b in model.named_buffers():
                torch.testing.assert_close(buffers[name][i], b, rtol=1e-12, atol=0)


def test_dropout_is_drawn_and_batches_are_counted() -> None:
    task = made("digits_cnn")
    x, _ = next(task.source.passes(0))
    model = task.fresh(0).train()
    with torch.random.fork_rng():
        assert not torch.equal(model(x), model(x))
    assert [b.item() for name, b in model.named_buffers() if "batches" in name] == [2, 2]


# Goals


def test_a_goal_is_reached_from_its_own_side() -> None:
    assert Goal("loss", 0.5, "").reached(0.5, None)
    assert not Goal("loss", 0.5, "").reached(0.6, 1.0)
    assert not Goal("loss", 0.5, "").reached(float("nan"), None)
    assert Goal("accuracy", 0.95, "").reached(9.0, 0.95)
    assert not Goal("accuracy", 0.95, "").reached(0.0, 0.94)
