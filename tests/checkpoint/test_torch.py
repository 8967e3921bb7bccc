"""torch's optimizers through a file: every class, groups, averages, tables, halves, parameters of every kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stepwell.numpy
import stepwell.torch as door
from stepwell import checkpoint, schedules
from stepwell.checkpoint import CheckpointError, reader
from tests.checkpoint.things import frozen, linear, train
from tests.torch.options import NAMES, rich

Module = Any  # torch's says that a layer's weight may be a module


def goes_on(tmp_path: Path, make: Any, build: Any = linear, learn: Any = train) -> Any:
    """Four steps, saved and taken over after two, equal four steps; the optimizer that took over."""
    whole = build()
    straight = make(whole)
    learn(whole, straight, range(4))
    early = build()
    first = make(early)
    learn(early, first, range(2))
    checkpoint.save(tmp_path / "file", first, early)
    saved = frozen(first)  # which settles rows: not before they are saved
    late = build()
    with torch.no_grad():
        for p in late.parameters():
            p.fill_(7)
    second = make(late)
    checkpoint.load(tmp_path / "file", second, late)
    assert frozen(second) == saved
    learn(late, second, range(2, 4))
    assert frozen(second) == frozen(straight)
    return second


@pytest.mark.parametrize("name", NAMES)
def test_every_class_goes_on_to_the_bit(name: str, tmp_path: Path) -> None:
    goes_on(tmp_path, lambda model: getattr(door, name)(model.parameters(), lr=0.1, **rich(name)))


def test_sgd_without_state_has_steps(tmp_path: Path) -> None:
    goes_on(tmp_path, lambda model: door.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_every_dtype_with_an_average(dtype: torch.dtype, tmp_path: Path) -> None:
    goes_on(tmp_path, lambda m: door.Adam(m.parameters(), lr=0.1, ema=0.9), lambda: linear().to(dtype))


def test_groups_keep_their_own_hyperparameters(tmp_path: Path) -> None:
    def make(model: Module, lr: float = 0.1) -> Any:
        groups = [
            {"params": model[0].parameters()},
            {"params": model[2].parameters(), "lr": lr / 7, "betas": (0.5, 0.6)},
        ]
        return door.Adam(groups, lr=lr, amsgrad=True)

    goes_on(tmp_path, make)
    other = make(model := linear(), 3.0)
    checkpoint.load(tmp_path / "file", other, model)
    assert [group["lr"] for group in other.param_groups] == [0.1, 0.1 / 7]
    assert other.param_groups[1]["betas"] == (0.5, 0.6)


def test_one_group_cannot_take_over_two_sets_of_hyperparameters(tmp_path: Path) -> None:
    model = linear()
    two = door.Adam([{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 1.0}])
    checkpoint.save(tmp_path / "file", two, model)
    one = door.Adam(model.parameters())
    before = frozen(one)
    with pytest.raises(CheckpointError, match=r"'0\.weight' and '2\.weight' share their options .* and \{'lr': 1\.0"):
        checkpoint.load(tmp_path / "file", one, model)
    assert frozen(one) == before


def test_a_schedule_goes_on_and_is_not_replaced(tmp_path: Path) -> None:
    rate = schedules.cosine(10)
    second = goes_on(tmp_path, lambda model: door.NAdam(model.parameters(), lr=rate))
    assert second.param_groups[0]["lr"] == rate(3)
    plain = door.NAdam((model := linear()).parameters(), lr=0.25)
    checkpoint.load(tmp_path / "file", plain, model)
    assert plain.param_groups[0]["lr"] == 0.25  # the file has none


def test_a_number_in_the_file_leaves_a_schedule_in_place(tmp_path: Path) -> None:
    model = linear()
    constant = door.Adam(model.parameters(), lr=0.1)
    train(model, constant, range(3))
    checkpoint.save(tmp_path / "file", constant, model)
    rate = schedules.linear(10, 1.0, 0.0)
    scheduled = door.Adam(model.parameters(), lr=rate)
    checkpoint.load(tmp_path / "file", scheduled, model)
    train(model, scheduled, range(1))
    assert scheduled.param_groups[0]["lr"] == rate(3)


def test_schedules_at_different_steps_are_refused(tmp_path: Path) -> None:
    model = linear()
    optimizer = door.Adam(model[0].parameters(), lr=schedules.cosine(10))
    train(model, optimizer, range(2))
    optimizer.add_param_group({"params": model[2].parameters()})
    with pytest.raises(ValueError, match=r"stand at different steps, \[0, 2\]"):
        checkpoint.save(tmp_path / "file", optimizer, model)
    assert not (tmp_path / "file").exists()


def test_a_parameter_without_gradients_takes_no_memory(tmp_path: Path) -> None:
    model = linear()
    model[0].requires_grad_(False)
    optimizer = door.Adam(model.parameters(), lr=0.1)
    train(model, optimizer, range(2))
    checkpoint.save(tmp_path / "file", optimizer, model)
    assert set(optimizer.state) == set(model[2].parameters())
    again = door.Adam((other := linear()).parameters(), lr=0.1)
    checkpoint.load(tmp_path / "file", again, other)
    assert set(again.state) == set(other[2].parameters())


def test_a_shared_parameter_is_saved_once(tmp_path: Path) -> None:
    def build() -> Module:
        model: Module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
        torch.nn.init.eye_(model[0].weight)
        model[1].weight = model[0].weight
        for layer in model:
            torch.nn.init.zeros_(layer.bias)
        return model

    goes_on(tmp_path, lambda model: door.Adam(model.parameters(), lr=0.1), build)
    assert {"0.weight", "0.bias", "1.bias"} == set(reader.read(tmp_path / "file")[1]["parameters"])


@pytest.mark.parametrize("rule", ["Adam", "AdagradRowwise", "Adadelta"])
def test_tables_are_settled_before_they_are_saved(rule: str, tmp_path: Path) -> None:
    def learn(table: Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            optimizer.zero_grad()
            table(torch.tensor([step, step + 1, step])).square().sum().backward()
            optimizer.step()

    def build() -> Module:
        torch.manual_seed(0)
        return torch.nn.Embedding(8, 3, sparse=True)

    goes_on(tmp_path, lambda m: getattr(door, rule)(m.parameters(), lr=0.1, sparse="exact", ema=0.9), build, learn)


def test_complex_and_odd_layouts(tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c = torch.nn.Parameter(torch.full((2, 3), 1 + 2j))
            self.t = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).t())
            self.none = torch.nn.Parameter(torch.empty(0, 4))
            self.one = torch.nn.Parameter(torch.tensor(3.0))

    def learn(model: Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            for p in model.parameters():
                p.grad = (p.detach() * (step + 1)).clone()
            optimizer.step()

    second = goes_on(tmp_path, lambda model: door.Adagrad(model.parameters(), lr=0.1), Odd, learn)
    assert second.param_groups[0]["params"][1].stride() == (1, 3)


def test_names_may_come_from_the_optimizer(tmp_path: Path) -> None:
    model = linear()
    optimizer = door.Adam(model.named_parameters(), lr=0.1)
    checkpoint.save(tmp_path / "file", optimizer)
    checkpoint.load(tmp_path / "file", optimizer)
    with pytest.raises(TypeError, match=r"params must be the torch\.nn\.Module, or a mapping"):
        checkpoint.save(tmp_path / "file", door.Adam(model.parameters()))


def test_params_that_do_not_name_all_are_refused(tmp_path: Path) -> None:
    model = linear()
    optimizer = door.Adam(model.parameters())
    with pytest.raises(ValueError, match=r"4 have no name there, of shape \(4, 3\), \(4,\)"):
        checkpoint.save(tmp_path / "file", optimizer, linear())
    with pytest.raises(TypeError, match="params must have text as names; got 0"):
        checkpoint.save(tmp_path / "file", optimizer, dict(enumerate(model.parameters())))


def test_nothing_is_saved_or_loaded_among_averages(tmp_path: Path) -> None:
    model = linear()
    optimizer = door.Adam(model.parameters(), ema=0.9)
    train(model, optimizer, range(1))
    checkpoint.save(tmp_path / "file", optimizer, model)
    with optimizer.swap_ema():
        for use in (checkpoint.save, checkpoint.load):
            with pytest.raises(RuntimeError, match="inside swap_ema"):
                use(tmp_path / "file", optimizer, model)


def test_hyperparameters_that_mean_another_rule_are_refused(tmp_path: Path) -> None:
    """SGD without momentum is gradient descent: it could not keep the velocity."""
    model = linear()
    zero = door.Momentum(model.parameters(), beta=0.0)
    checkpoint.save(tmp_path / "file", zero, model)
    sgd = door.SGD(model.parameters(), momentum=0.9)
    before = frozen(sgd)
    with pytest.raises(CheckpointError, match="this optimizer's rule is gradient_descent, and no longer momentum"):
        checkpoint.load(tmp_path / "file", sgd, model)
    assert frozen(sgd) == before


def test_graphs_see_that_parameters_were_replaced(tmp_path: Path) -> None:
    model = linear()
    optimizer = door.Adam(model.parameters())
    checkpoint.save(tmp_path / "file", optimizer, model)
    loss = model(torch.ones(1, 3)).sum()
    checkpoint.load(tmp_path / "file", optimizer, model)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def wider() -> Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))


@pytest.mark.parametrize(
    ("build", "make", "words"),
    [
        (wider, door.Adam, r"parameter '0\.weight': it has shape \(4, 3\); the optimizer's has \(5, 3\)"),
        (lambda: linear().double(), door.Adam, r"parameter '0\.weight': it has dtype float32; .* float64"),
        (linear, door.SparseAdam, r"its rule is adam; this optimizer's is adam_eps_hat"),
        (linear, lambda ps: door.Adam(ps, ema=0.9), r"state 'ema' is missing; it has 'm', 'v'"),
        (lambda: linear()[:1], door.Adam, r"parameter '2\.weight', '2\.bias' is not the optimizer's"),
    ],
)
def test_what_does_not_fit_changes_nothing(build: Any, make: Any, words: str, tmp_path: Path) -> None:
    model = linear()
    optimizer = door.Adam(model.parameters(), lr=0.1)
    train(model, optimizer, range(2))
    checkpoint.save(tmp_path / "file", optimizer, model)
    other = build()
    mine = make(other.parameters())
    train(other, mine, range(3))
    before = frozen(mine)
    with pytest.raises(CheckpointError, match=words):
        checkpoint.load(tmp_path / "file", mine, other)
    assert frozen(mine) == before


def test_more_steps_than_torch_counts_are_refused(tmp_path: Path) -> None:
    arrays = {"w": np.ones(2, "f4")}
    long = stepwell.numpy.Adam(arrays)
    long.step({"w": np.ones(2, "f4")})
    long.state["w"]["step"] = 2**24 + 1
    checkpoint.save(tmp_path / "file", long)
    w = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(CheckpointError, match="its step 16777217 is more than torch counts"):
        checkpoint.load(tmp_path / "file", door.Adam([w]), {"w": w})
