"""Runs that are trained as one equal runs that are trained alone."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from stepwell import schedules
from stepwell.lab.candidates import choose, comparable
from stepwell.lab.goal import accuracy
from stepwell.lab.task import Task
from stepwell.lab.training import way
from stepwell.lab.training.drive import drive
from stepwell.lab.training.plain import one_thread, train
from stepwell.lab.training.stacked import Stacked, Unstackable
from stepwell.lab.training.stacked_step import refusal
from stepwell.lab.trial import Run, Trial

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(150, 1, 6, 6, generator=GENERATOR, dtype=torch.float64)
Y = (X.mean((1, 2, 3)) > 0).long() + 2 * (X[:, 0, 0, 0] > 0).long()


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.25), nn.Linear(36, 4),
    ).double()  # fmt: skip


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 4)).double()


def task(model: Any = convolutions, **more: Any) -> Task:
    given = {"data": (X[:110], Y[:110]), "validation": (X[110:], Y[110:]), "batch": 16} | more
    return Task(model=model, loss=nn.functional.cross_entropy, metric=accuracy, **given)


def together(training: Task, trials: Sequence[Trial]) -> list[Run]:
    candidates = choose(dict.fromkeys(t.optimizer for t in trials))
    with one_thread():
        return drive(training, Stacked(training, candidates, trials), trials, time.perf_counter())


def distance(run: Run, other: Run) -> float:
    """The largest relative difference of two runs' losses."""
    assert (run.trial, run.status, run.taken) == (other.trial, other.status, other.taken)
    assert run.curve["step"] == other.curve["step"]
    pairs = zip(run.curve["loss"], other.curve["loss"], strict=True)
    return max(abs(a - b) / abs(b) for a, b in pairs if a is not None or b is not None)


def test_batch_norm_dropout_schedule_and_clipping_equal_separate_runs_over_200_steps() -> None:
    training = task(schedule=schedules.cosine, clip_norm=0.5)
    trials = [
        Trial(name, rate, 3, 200, hyper)
        for name, rate, hyper in [
            ("gradient_descent", 0.1, ()), ("gradient_descent", 1.0, (("weight_decay", 0.01),)), ("momentum", 0.03, ()),
            ("momentum", 0.1, (("beta", 0.5),)), ("adagrad", 0.03, ()), ("adam", 0.003, ()), ("adam", 0.01, ()),
            ("adam", 0.003, (("beta1", 0.8), ("weight_decay", 0.1))), ("adamw", 0.01, ()), ("nadam", 0.003, ()),
            ("radam", 0.01, ()), ("yogi", 0.01, ()), ("adadelta", 1.0, ()),
        ]
    ]  # fmt: skip
    found = together(training, trials)
    for run in found:
        alone = train(training, run.trial)
        assert distance(run, alone) < 1e-7, run.trial
        assert run.metric == pytest.approx(alone.metric, abs=1e-9)
    assert len({run.loss for run in found}) == len(found)
    assert found[6].loss < 0.8 * found[6].curve["loss"][0]  # pyright: ignore[reportOptionalOperand]


def test_every_rule_equals_separate_runs() -> None:
    names = [name for name in comparable() if not refusal([choose([name])[name]], [])]
    assert len(names) > 40
    trials = [Trial(name, 0.3 * choose([name])[name].rate, 0, 12) for name in names]
    training = task(perceptron)
    for run in together(training, trials):
        assert distance(run, train(training, run.trial)) < 1e-9, run.trial


@pytest.mark.parametrize("held", [{}, {"validation": None}], ids=["validation", "training loss"])
@pytest.mark.parametrize("clip_norm", [None, 1e9])
@pytest.mark.parametrize(("wild", "closed"), [(1, False), (5, True)])
def test_runs_that_diverge_leave_and_the_others_go_on(
    wild: int, closed: bool, clip_norm: float | None, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few stay in the stack, where nothing is made of them; without many it is closed up."""
    close_up, sizes = Stacked._close_up, []
    monkeypatch.setattr(Stacked, "_close_up", lambda self: sizes.append(len(self.alive)) or close_up(self))
    training = task(perceptron, every=3, clip_norm=clip_norm, **held)
    rates = [0.1, *[1e308] * wild, 0.2]
    names = ["gradient_descent"] * (wild + 1) + ["nadam"]
    trials = [Trial(name, lr, 0, 30) for name, lr in zip(names, rates, strict=True)]
    found = together(training, [*trials, Trial("momentum", 0.01, 0, 30), Trial("adam", 0.01, 0, 30)])
    assert [run.status for run in found] == ["done", *["diverged"] * wild, "done", "done", "done"]
    assert all(run.taken < 30 for run in found[1 : wild + 1])
    assert bool(sizes) == closed
    for run in found:
        if run.status == "done":
            assert distance(run, train(training, run.trial)) < 1e-9


def test_float32_stacks_equal_to_rounding() -> None:
    training = task(
        lambda: perceptron().float(), data=(X[:110].float(), Y[:110]), validation=(X[110:].float(), Y[110:])
    )
    for run in together(training, [Trial("adam", 1e-2, 0, 20), Trial("momentum", 1e-2, 0, 20)]):
        assert distance(run, train(training, run.trial)) < 1e-4


class Unused(nn.Module):
    """The second layer has no gradient until the third pass, and a constant that is no parameter."""

    constant: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(36, 4).double(), nn.Linear(36, 4).double()
        self.register_buffer("constant", torch.full((4,), 2.0, dtype=torch.float64))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        found = self.first(x.flatten(1)) * self.constant
        return found + self.second(x.flatten(1)) if self.calls > 5 else found


def test_a_parameter_without_a_gradient_rests_as_it_does_alone() -> None:
    training = task(Unused)
    trials = [Trial("adam", lr, 0, 20, (("weight_decay", 0.1),)) for lr in (0.01, 0.03)]
    for run in together(training, trials):
        assert distance(run, train(training, run.trial)) < 1e-9


def test_buffers_that_never_change_are_not_copied() -> None:
    trials = [Trial("adam", 1e-3, 0, 5)] * 2
    assert Stacked(task(Unused), choose(["adam"]), trials).buffers == {}
    assert len(Stacked(task(), choose(["adam"]), trials).buffers) == 3


def test_a_model_of_torch_modules_is_traced_and_another_is_not() -> None:
    for model, traced in ((convolutions, True), (Unused, False)):
        training, candidates, trials = task(model), choose(["adam"]), [Trial("adam", 1e-3, 0, 40_000)] * 3
        learner = Stacked(training, candidates, trials)
        batches = training.source.passes(0)
        for _ in range(8):
            learner.step(next(batches))
        assert any(learner._gradients.graphs.values()) == traced


@pytest.mark.parametrize("kind", ["dict", "tuple", "tensor", "named call"])
def test_batches_of_every_kind(kind: str) -> None:
    flat = X.flatten(1)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(36, 36).double()

        def forward(self, x: torch.Tensor, scale: Any = 1.0) -> torch.Tensor:
            return self.layer(x) * scale

    def loss(output: Any, target: Any) -> torch.Tensor:
        wanted = target["x"] if isinstance(target, dict) else target
        return ((output - wanted) ** 2).mean()

    half = torch.full((150, 1), 0.5, dtype=torch.float64)
    data = {
        "dict": {"x": flat, "scale": half}, "tuple": ((flat, half), flat), "tensor": flat, "named call": (flat, flat),
    }[kind]  # fmt: skip
    call = (lambda model, x: model(x, scale=0.5)) if kind == "named call" else None
    training = Task(model=Model, data=data, loss=loss, call=call, batch=32, epochs=4)
    found = together(training, [Trial("momentum", lr, 0, 20) for lr in (0.01, 0.1)])
    for run in found:
        assert distance(run, train(training, run.trial)) < 1e-9
    assert found[1].loss < 0.9 * found[1].curve["loss"][0]  # pyright: ignore[reportOptionalOperand]


class Choosing(nn.Module):
    """It looks at its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(36, 4).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.layer(x.flatten(1))
        return found if found.sum() > 0 else -found


def test_what_cannot_be_stacked_is_said() -> None:
    trials = [Trial("adam", 1e-3, 0, 5)] * 2
    assert "torch.vmap does not take the model" in way.unstackable(task(Choosing), choose(["adam"]), trials)
    rows = [Trial("adagrad_rowwise", 1e-3, 0, 5)] * 2
    assert "whole rows" in way.unstackable(task(), choose(["adagrad_rowwise"]), rows)
    own = choose({"mine": lambda ps, lr: torch.optim.SGD(ps, lr=lr)})
    assert "mine is not a rule" in way.unstackable(task(), own, [Trial("mine", 1e-3, 0, 5)] * 2)
    halves = task(lambda: perceptron().bfloat16(), data=(X.bfloat16(), Y), validation=None)
    with pytest.raises(Unstackable, match="bfloat16"):
        Stacked(halves, choose(["adam"]), trials)
    assert not way.unstackable(task(), choose(["adam"]), trials)


class Own(nn.Dropout):
    """A generator of its own: each model draws from its own place of it."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(torch.randint(1000, ()).item())  # pyright: ignore[reportArgumentType]

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input * (torch.rand(input.shape, generator=self.generator, dtype=input.dtype) > 0.5)


def test_a_model_that_draws_from_its_own_generator_is_stacked_and_equal() -> None:
    training = task(lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 8).double(), Own(), nn.Linear(8, 4).double()))
    trials = [Trial("momentum", lr, 0, 20) for lr in (0.01, 0.1)]
    for run in together(training, trials):
        assert distance(run, train(training, run.trial)) < 1e-9
