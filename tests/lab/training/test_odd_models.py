"""What users' models and losses do that ours do not: a group has the numbers of runs alone, or is trained alone."""

import itertools
import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stepwell.lab.batches import Loader, TaskError
from stepwell.lab.candidates import choose
from stepwell.lab.task import Task
from stepwell.lab.training import way
from stepwell.lab.training.fixed import is_fixed
from stepwell.lab.training.group import train_group
from stepwell.lab.training.plain import train
from stepwell.lab.training.traced import Traced
from stepwell.lab.trial import Run, Trial

STEPS = 40
DRAW = torch.Generator().manual_seed(0)
X = torch.randn(96, 6, generator=DRAW, dtype=torch.float64)
Y = (X @ torch.randn(6, 1, generator=DRAW, dtype=torch.float64)).tanh()
TRIALS = [Trial("momentum", lr, 1, STEPS) for lr in (0.01, 0.03, 0.1)]

pytestmark = pytest.mark.usefixtures("one_thread")


def layers(*more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), *more, nn.Linear(8, 1)).double()


def task(model: Any = layers, **more: Any) -> Task:
    given = {"data": (X[:64], Y[:64]), "validation": (X[64:], Y[64:]), "loss": nn.functional.mse_loss, "batch": 16}
    return Task(model=model, length=STEPS, **(given | more))


def off(training: Task, trials: list[Trial] = TRIALS, **optimizers: Any) -> float:
    """The largest relative difference of a group's losses from those of the same runs alone."""
    candidates = choose(optimizers or ["momentum"])
    group = train_group(training, candidates, trials, True)
    return max(itertools.starmap(_apart, zip(group, (train(training, t, candidates) for t in trials), strict=True)))


def _apart(run: Run, other: Run) -> float:
    assert (run.trial, run.status, run.curve["step"]) == (other.trial, other.status, other.curve["step"])
    pairs = zip(run.curve["loss"], other.curve["loss"], strict=True)
    return max(abs(a - b) / abs(b) for a, b in pairs if a is not None and b is not None)


class Transposed(nn.Module):
    """A parameter that does not lie in rows."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 12).double().reshape(2, 6).t())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.weight).sum(1, keepdim=True)


def test_parameters_in_any_order_of_memory() -> None:
    assert off(task(Transposed)) < 1e-9
    images = torch.randn(64, 3, 5, 5, generator=DRAW, dtype=torch.float64)

    def convolution() -> nn.Module:
        channels = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 1)).double()
        return channels.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    assert off(task(convolution, data=(images, Y[:64]), validation=(images, Y[:64]))) < 1e-9


class Scaled(nn.Module):
    """A parameter without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = layers(), nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.inner(x)


def test_a_parameter_without_dimensions_is_clipped_too() -> None:
    training = task(Scaled, clip_norm=0.05)
    assert way.unstackable(training, choose(["momentum"]), TRIALS) == ""
    assert off(training) < 1e-9


class Counting(nn.Linear):
    steps = 0


def _counted() -> nn.Module:
    return Counting(6, 1).double()


def _counts(model: Any, x: torch.Tensor) -> torch.Tensor:
    if model.training:
        model.steps += 1
    return model(x) * (1 + 0.1 * model.steps)


def _annealed() -> nn.Module:
    model = layers(nn.Dropout(0.5))
    dropout: Any = model[2]  # pyright: ignore[reportIndexIssue]
    dropout.register_forward_pre_hook(lambda part, _: setattr(part, "p", 0.95 * part.p))
    return model


@pytest.mark.parametrize(
    "given",
    [
        {"model": _counted, "call": _counts},
        {"loss": lambda out, y: (out - y).square().mean() * (1 + len(CALLS) % 3 if CALLS.append(0) is None else 0)},
        {"model": _annealed},
    ],
    ids=["call", "loss", "hook"],
)
def test_what_python_changes_is_not_frozen_into_a_trace(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Traced, "takes", 0.0)
    training = task(**given)
    trace = Traced._trace
    monkeypatch.setattr(Traced, "_trace", lambda *_: pytest.fail("a step was traced"))
    assert "loss" in given or off(training) < 1e-9
    CALLS.clear()
    train_group(training, choose(["momentum"]), TRIALS, True)
    assert "loss" not in given or len(CALLS) > STEPS
    seen = []
    monkeypatch.setattr(Traced, "_trace", lambda *args: seen.append(1) or trace(*args))
    monkeypatch.setattr(Traced, "takes", 0.0)
    assert off(task()) < 1e-9
    assert seen


def imported(out: Any, y: Any) -> Any:
    from torch.nn.functional import mse_loss

    return mse_loss(out, y)


def drawn(out: Any, y: Any) -> Any:
    from random import random

    return random() * (out - y).square().mean()


CALLS: list[int] = []
WEIGHT = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("loss", "fixed"),
    [
        (nn.functional.mse_loss, True), (nn.CrossEntropyLoss(weight=WEIGHT), True), (imported, True), (drawn, False),
        (lambda out, y: torch.nn.functional.cross_entropy(out, y, weight=WEIGHT), True),
        (lambda out, y: sum(each.abs().mean() for each in (out - y, out)), True),
        (lambda out, y, half=0.5: half * (out - y).square().mean(), True),
        (lambda out, y: random.random() * (out - y).square().mean(), False),
        (lambda out, y: CALLS.append(1) or (out - y).square().mean(), False),
        (lambda out, y: sum(random.random() * each.mean() for each in (out, y)), False),
    ],
)  # fmt: skip
def test_losses_that_can_be_traced(loss: Callable[..., Any], fixed: bool) -> None:
    assert is_fixed(loss) == fixed


class Replacing(nn.Module):
    """A buffer that is assigned, at every n-th step."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.inner, self.every, self.steps = layers(), every, 0
        self.register_buffer("mean", torch.zeros(6, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.steps += 1
            if self.steps % self.every == 0:
                self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return self.inner(x - self.mean)


def test_a_buffer_that_is_replaced_is_not_lost() -> None:
    assert "another tensor" in way.unstackable(task(lambda: Replacing(1)), choose(["momentum"]), TRIALS)
    with pytest.warns(UserWarning, match="3 runs are trained one by one, .* another tensor in the place of its buffer"):
        assert off(task(lambda: Replacing(5))) == 0


class Printing(nn.Module):
    """Needs a number where vmap has none, in evaluation alone."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = layers()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.inner(x)
        return out if self.training else out * (1.0 if float(out.sum()) < 1e9 else 2.0)


def test_what_fails_when_it_is_measured_is_found_before() -> None:
    assert "torch.vmap does not take the model" in way.unstackable(task(Printing), choose(["momentum"]), TRIALS)


def test_a_metric_of_shape_one() -> None:
    training = task(metric=lambda out, y: (out - y).abs().mean().reshape(1))
    (run, *_) = train_group(training, choose(["momentum"]), TRIALS, True)
    assert run.metric == pytest.approx(train(training, run.trial).metric)


def test_optimizers_that_stack_and_that_do_not_side_by_side() -> None:
    optimizers = {"mine": lambda ps, lr: torch.optim.SGD(ps, lr=lr), "adam": None, "adagrad_rowwise": None}
    trials = [Trial(name, lr, 0, 10) for name in optimizers for lr in (0.01, 0.1)]
    for ordered in (trials, trials[::-1]):
        found = way.measured(task(), choose(optimizers), ordered, workers=1)
        runs = train_group(task(), choose(optimizers), ordered, found.stacked)
        assert [run.trial for run in runs] == ordered
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert off(task(), ordered, **optimizers) < 1e-9


def test_a_loss_that_is_no_mean_over_rows_does_not_hang_on_the_size_of_the_group() -> None:
    x = torch.randn(9000, 2, generator=DRAW, dtype=torch.float64)
    y = (x[:, 0] > 1).long()
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 9.0]).double())
    training = task(lambda: nn.Linear(2, 2).double(), data=(x[:64], y[:64]), validation=(x, y), loss=loss)
    assert off(training, [Trial("adam", 0.01 * k, 0, 10) for k in range(1, 9)], adam=None) < 1e-12


def test_every_run_may_end_before_its_first_step() -> None:
    broken = task(validation=(X * np.nan, Y))
    for stacked in (False, True):
        runs = train_group(broken, choose(["momentum"]), [replace(t, steps=10) for t in TRIALS], stacked)
        assert [(run.status, run.taken) for run in runs] == [("diverged", 0)] * 3
    with pytest.raises(TaskError, match="the validation loss is nan before the first step"):
        way.check(broken, choose(["momentum"]), TRIALS[0])


class Once:
    """Gives its batches once."""

    def __init__(self) -> None:
        self.batches = iter([(X[:16], Y[:16])] * 3)

    def __iter__(self) -> Any:
        return self.batches


def test_a_loader_that_is_used_up_is_said() -> None:
    once = task(data=Once())
    with pytest.raises(TaskError, match="Once is used up after one pass"):
        train(once, TRIALS[0])


def test_a_step_and_a_measurement_that_fail_are_said() -> None:
    calls = itertools.count()

    def later(out: Any, y: Any) -> Any:
        if next(calls) == 9:
            raise RuntimeError("the disk is gone")
        return (out - y).square().mean()

    with pytest.raises(TaskError, match="a training step fails: RuntimeError: the disk is gone"):
        train(task(loss=later, validation=None), TRIALS[0])
    with pytest.raises(TaskError, match="measuring on the validation fails: KeyError"):
        way.check(task(metric=lambda *_: {}["x"]), choose(["momentum"]), TRIALS[0])


def test_a_batch_samplers_generator_is_put_where_the_seed_says() -> None:
    rows = torch.utils.data.TensorDataset(X)
    order = torch.utils.data.RandomSampler(rows, generator=torch.Generator().manual_seed(5))
    loader = torch.utils.data.DataLoader(rows, batch_sampler=torch.utils.data.BatchSampler(order, 96, False))
    first, again = (next(Loader(loader).passes(3))[0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, next(Loader(loader).passes(4))[0])
