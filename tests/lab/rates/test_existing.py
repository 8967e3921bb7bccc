"""An existing training is the same to the last bit after a search, however the search ends."""

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

import stepwell.torch
from stepwell.lab import find_lr
from stepwell.lab.batches import TaskError

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = ("sweep", "range")


class Noisy(Dataset[Any]):
    """Rows with noise from generators of its own, and a count of what was asked for."""

    def __init__(self) -> None:
        self.x = torch.linspace(-1, 1, 40)[:, None].repeat(1, 3)
        self.numpy, self.python = np.random.default_rng(1), random.Random(2)
        self.asked = 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, k: int) -> Any:
        self.asked += 1
        noise = float(self.numpy.normal()) + self.python.random() + random.random() + float(np.random.rand())  # noqa: NPY002
        return self.x[k] + 0.01 * noise, self.x[k].sum()[None]


class Remembering(Sampler[int]):
    """An order that is another one in each pass."""

    def __init__(self, length: int):
        self.length, self.passes, self.seen = length, 0, [0]
        self.generator = torch.Generator().manual_seed(5)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        self.passes += 1
        self.seen.append(self.passes)
        shift = int(torch.randint(self.length, (), generator=self.generator))
        return iter([(k * 7 + shift + self.passes) % self.length for k in range(self.length)])


class Net(nn.Module):
    """With batch norm, dropout, a part that is frozen and one that is in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.drop, self.last = (
            nn.Linear(3, 8),
            nn.BatchNorm1d(8),
            nn.Dropout(0.3),
            nn.Linear(8, 1),
        )
        self.frozen = nn.Linear(8, 8)
        self.frozen.requires_grad_(False)
        self.norm.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.norm.calls += 1  # pyright: ignore
        return self.last(self.frozen(self.drop(self.norm(self.first(x)).relu())))


class Training:
    """A loop in the middle: three steps are done, there is momentum, and gradients are there."""

    def __init__(self, make: Callable[[Any], Any], loader: str = "sampler"):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        self.model = Net()
        self.optimizer = make(self.model)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)
        data = Noisy()
        options: dict[str, Any] = {
            "sampler": {"sampler": Remembering(len(data))},
            "generator": {"shuffle": True, "generator": torch.Generator().manual_seed(3)},
            "global": {"shuffle": True},
        }[loader]
        self.loader = DataLoader(data, 8, **options)
        self.steps(3)
        self.calls = 0

    def steps(self, count: int) -> None:
        while count:
            for x, y in self.loader:
                self.optimizer.zero_grad(set_to_none=False)
                functional.mse_loss(self.model(x), y).backward()
                self.optimizer.step()
                count -= 1
                if not count:
                    break
        self.scheduler.step()

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss, with a term that reads the model itself, and so gives it gradients."""
        self.calls += 1
        return functional.mse_loss(output, target) + 1e-4 * self.model.last.weight.square().sum()

    def everything(self) -> dict[str, Any]:
        """All that must be the same, in comparable form."""
        data = self.loader.dataset
        assert isinstance(data, Noisy)
        own = [getattr(self.loader, "generator", None), getattr(self.loader.sampler, "generator", None)]
        found = {
            "weights": {k: _bits(v) for k, v in self.model.state_dict().items()},
            "places": [p.data_ptr() for p in self.model.parameters()],
            "gradients": [None if p.grad is None else (id(p.grad), _bits(p.grad)) for p in self.model.parameters()],
            "asks for gradients": [p.requires_grad for p in self.model.parameters()],
            "modes": [m.training for m in self.model.modules()],
            "optimizer": _plain(self.optimizer.state_dict()),
            "groups": [{k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups],
            "members": [[id(p) for p in g["params"]] for g in self.optimizer.param_groups],
            "scheduler": {k: v for k, v in self.scheduler.state_dict().items() if not callable(v)},
            "torch": _bits(torch.get_rng_state()),
            "numpy": repr(np.random.get_state()),  # noqa: NPY002
            "python": random.getstate(),
            "loader's": [None if g is None else _bits(g.get_state()) for g in own],
            "data's": (repr(data.numpy.bit_generator.state), data.python.getstate(), data.asked),
            "sampler's": {k: repr(v) for k, v in vars(self.loader.sampler).items() if k != "generator"},
            "threads": torch.get_num_threads(),
            "grad mode": torch.is_grad_enabled(),
        }
        return copy.deepcopy(found)


def _bits(x: torch.Tensor) -> bytes:
    return (
        x.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if x.numel() and x.ndim else repr(x).encode()
    )


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: _plain(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(v) for v in tree]
    return _bits(tree) if isinstance(tree, torch.Tensor) else repr(tree)


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
    "adamw in groups": lambda m: torch.optim.AdamW(
        [{"params": m.first.parameters()}, {"params": m.last.parameters(), "lr": 0.1}], lr=0.01
    ),
    "no rule's": lambda m: torch.optim.Rprop(m.parameters(), lr=0.01),
    "ours": lambda m: stepwell.torch.Adam(m.parameters(), lr=0.01),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_is_changed(name: str, method: str) -> None:
    training = Training(OPTIMIZERS[name])
    before = training.everything()
    found = _search(training, method)
    assert training.everything() == before
    assert training.calls > 30
    assert found.optimizer == type(training.optimizer).__name__.lower()


@pytest.mark.parametrize("loader", ["generator", "global"])
def test_nothing_of_other_loaders_is_changed(loader: str) -> None:
    training = Training(OPTIMIZERS["sgd"], loader)
    before = training.everything()
    _search(training, "sweep")
    assert training.everything() == before


@pytest.mark.parametrize("method", METHODS)
def test_gradients_that_were_not_there_are_not_there(method: str) -> None:
    training = Training(OPTIMIZERS["sgd"])
    training.optimizer.zero_grad(set_to_none=True)
    before = training.everything()
    _search(training, method)
    assert training.everything() == before


@pytest.mark.parametrize("method", METHODS)
def test_what_makes_an_optimizer_may_draw(method: str) -> None:
    def drawing(parameters: Any, lr: float) -> Any:
        random.random()
        return torch.optim.SGD(parameters, lr=lr + 0 * float(torch.rand(())) + 0 * np.random.rand())  # noqa: NPY002

    training = Training(OPTIMIZERS["sgd"])
    training.optimizer = drawing
    state = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert _search(training, method).optimizer == "drawing"
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1:] == (repr(np.random.get_state()), random.getstate())  # noqa: NPY002


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("call", [1, 40])
def test_nothing_is_changed_where_it_fails_or_is_interrupted(
    call: int, error: type[BaseException], method: str
) -> None:
    training = Training(OPTIMIZERS["sgd"])
    before = training.everything()
    whole = training.loss

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if training.calls == call - 1:
            training.model.eval()
            raise error("in the middle")
        return whole(output, target)

    training.loss = loss  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises((error, TaskError), match="in the middle"):
        _search(training, method)
    assert training.everything() == before


@pytest.mark.parametrize("method", METHODS)
def test_the_training_goes_on_as_if_there_had_been_no_search(method: str) -> None:
    alone = Training(OPTIMIZERS["sgd"])
    alone.steps(7)
    after = [_bits(p) for p in alone.model.state_dict().values()]
    searched = Training(OPTIMIZERS["sgd"])
    _search(searched, method)
    searched.steps(7)
    assert [_bits(p) for p in searched.model.state_dict().values()] == after


def test_a_model_that_is_being_evaluated_is_trained_all_the_same_and_stays_so() -> None:
    training = Training(OPTIMIZERS["sgd"])
    trained = _search(training, "sweep")
    training.model.eval()
    training.model.norm.train()
    before = training.everything()
    with torch.no_grad():
        evaluated = _search(training, "sweep")
    assert training.everything() == before
    assert evaluated.rounds == trained.rounds


def test_the_runs_go_on_from_weights_and_state() -> None:
    """A run at the training's own rate, one pass long, is what the training itself does next."""
    torch.manual_seed(0)
    x = torch.randn(32, 3)
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 8)  # in order, so that each pass is the same
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for inputs, target in loader:
        optimizer.zero_grad()
        functional.mse_loss(model(inputs), target).backward()
        optimizer.step()
    found = find_lr(
        model=model, optimizer=optimizer, loss=functional.mse_loss, loader=loader, steps=4, budget=1e3,
        validation=(x, x.sum(1, keepdim=True)),
    )  # fmt: skip
    (only,) = found.rounds
    assert only.steps == 4
    for inputs, target in loader:
        optimizer.zero_grad()
        functional.mse_loss(model(inputs), target).backward()
        optimizer.step()
    expected = functional.mse_loss(model(x), x.sum(1, keepdim=True)).item()
    assert only.losses[only.rates.index(0.01)][0] == pytest.approx(expected, rel=1e-5)


def test_the_rates_of_groups_keep_their_proportion() -> None:
    rates: set[tuple[float, float]] = set()

    class Heard(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.add(tuple(group["lr"] for group in self.param_groups))  # pyright: ignore[reportArgumentType]
            return super().step(closure)

    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    optimizer = Heard([{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.1}], lr=0.01)
    _simple(model, optimizer)
    assert len(rates) > 5
    assert all(second == pytest.approx(10 * first) for first, second in rates)


class Counting(torch.optim.Optimizer):
    """A user's own, with attributes, that remembers what it was called with."""

    rates: list[float]
    factor = 1.0

    def __init__(self, parameters: Any, lr: float):
        super().__init__(parameters, {"lr": lr})
        self.count, self.factor, self.rates = 0, 0.5, []
        self.first = self.param_groups[0]["params"][0]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        self.count += 1
        assert self.first is self.param_groups[0]["params"][0]
        for p in self.param_groups[0]["params"]:
            p -= self.param_groups[0]["lr"] * self.factor * p.grad


class Wrapping(torch.optim.Optimizer):
    """One around another, with which it shares its groups."""

    def __init__(self, parameters: Any, lr: float):
        super().__init__(parameters, {"lr": lr})
        self.base = torch.optim.SGD(self.param_groups, lr=lr)
        self.param_groups = self.base.param_groups

    def step(self, closure: Any = None) -> Any:
        return self.base.step()


@pytest.mark.parametrize("kind", [Counting, Wrapping])
def test_an_optimizer_of_the_users_own_keeps_its_attributes(kind: Any) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optimizer = kind(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 5)  # which puts a step into the optimizer that is the original's
    before = [_bits(p) for p in model.parameters()]
    found = _simple(model, optimizer, seeds=[0])
    assert [_bits(p) for p in model.parameters()] == before
    assert vars(optimizer).get("count", 0) == 0
    rate = optimizer.factor * 0.1 if kind is Counting else 0.1
    plain = _simple(model, torch.optim.SGD(model.parameters(), lr=rate), seeds=[0])
    assert np.ravel(found.rounds[0].losses[:2]) == pytest.approx(np.ravel(plain.rounds[0].losses[:2]), rel=0.01)


class Unique(torch.optim.SGD):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("there is only one")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (torch.optim.LBFGS, "LBFGS needs a closure for each step"),
        (Unique, "cannot be copied: TypeError: there is only"),
    ],
)
def test_an_optimizer_that_cannot_be_tried_is_refused(kind: Any, words: str) -> None:
    model = nn.Linear(3, 1)
    with pytest.raises(TaskError, match=words):
        _simple(model, kind(model.parameters(), lr=0.1))


def test_a_rate_of_0_is_no_place_to_begin() -> None:
    model = nn.Linear(3, 1)
    found = _simple(model, torch.optim.SGD(model.parameters(), lr=0.0))
    assert 1e-3 in found.rounds[0].rates


def test_a_model_of_the_user_may_be_searched_with_a_rule() -> None:
    assert _simple(nn.Linear(3, 1), "adam").optimizer == "adam"


def test_a_loader_with_persistent_workers_goes_on_with_its_pass() -> None:
    x = torch.randn(16, 3)  # spawned, since a process forked from one with OpenMP threads may hang
    loader = DataLoader(
        TensorDataset(x, x.sum(1, keepdim=True)),
        4,
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context="spawn",
    )
    under_way = iter(loader)
    first = next(under_way)[0]
    model = nn.Linear(3, 1)
    find_lr(model=model, optimizer="adam", loss=functional.mse_loss, loader=loader, steps=20)
    rest = [batch[0] for batch in under_way]
    assert torch.equal(torch.cat([first, *rest]), x)


def _simple(model: nn.Module, optimizer: Any, **more: Any) -> Any:
    x = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 8, shuffle=True)
    options: dict[str, Any] = {"model": model, "optimizer": optimizer, "loss": functional.mse_loss, "loader": loader}
    return find_lr(**{**options, "epochs": 5, **more})


def _search(training: Training, method: str) -> Any:
    return find_lr(
        model=training.model, optimizer=training.optimizer, loss=lambda *pair: training.loss(*pair),
        loader=training.loader, epochs=20, method=method, seeds=[11],
    )  # fmt: skip


def _frozen() -> nn.Module:
    model = nn.Linear(3, 1)
    model.requires_grad_(False)
    return model


def _scheduled(model: nn.Module) -> Any:
    return stepwell.torch.Adam(model.parameters(), lr=lambda k: 0.1 / (k + 1))


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"model": _frozen(), "optimizer": "adam"}, TaskError, "no parameter that is trained"),
        (
            {"optimizer": torch.optim.SGD(nn.Linear(3, 1).parameters(), lr=0.1)},
            TaskError,
            "none of the model's parameters",
        ),
        ({"model": "net"}, TaskError, "model must be a torch.nn.Module; got str"),
        ({"model": None}, TypeError, "got no model"),
        ({"loss": None}, TypeError, "got no loss"),
        ({"loss": functional.nll_loss}, TaskError, "a training step fails"),
        ({"loss": nn.MSELoss(reduction="none")}, TaskError, "loss must give a scalar tensor"),
        ({"loss": lambda output, target: output.mean() * float("nan")}, TaskError, "loss is nan before the first step"),
        ({"loader": []}, TaskError, "loader must not be empty"),
        ({"loader": iter([(torch.ones(1, 3), torch.ones(1, 1))])}, TaskError, "used up after one pass"),
        ({"loader": 3}, TaskError, "data must be arrays, a Dataset, a loader"),
        ({"nonsense": 3}, TypeError, "nonsense"),
        ({"hyper": {"lr": 1.0}}, ValueError, "hyper must not have lr"),
        ({"optimizer": "adamm"}, ValueError, "there is no optimizer 'adamm'"),
    ],
)
def test_what_is_wrong_is_said(more: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        _simple(**{"model": nn.Linear(3, 1), "optimizer": "adam", **more})


MADE: dict[str, tuple[Callable[[Any], Any], str | None]] = {
    "sgd": (lambda p: torch.optim.SGD(p, lr=0.1), "gradient_descent"),
    "nesterov": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.1), "nesterov"),
    "adam": (lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.9), weight_decay=0.1), "adam"),
    "adamw": (lambda p: torch.optim.AdamW(p, lr=0.1), "adamw"),
    "adagrad": (lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.1), "adagrad_decayed"),
    "rmsprop": (lambda p: torch.optim.RMSprop(p, lr=0.1, centered=True), "rmsprop_centered"),
    "maximize": (lambda p: torch.optim.Adam(p, lr=0.1, maximize=True), None),
    "no rule's": (lambda p: torch.optim.Rprop(p, lr=0.1), None),
    "in groups": (lambda p: torch.optim.SGD([{"params": [each]} for each in p], lr=0.1), None),
    "a part": (lambda p: torch.optim.SGD(list(p)[:1], lr=0.1), None),
}


@pytest.mark.parametrize("name", MADE)
def test_torchs_own_optimizers_are_rules_with_the_same_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from stepwell.lab.rates import existing

    make, rule = MADE[name]
    torch.manual_seed(0)
    x = torch.randn(32, 3)
    model = nn.Linear(3, 1)
    optimizer = make(model.parameters())
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "loss": functional.mse_loss}
    parts["loader"] = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 8)
    with existing.existing_training(**parts) as (_, candidate, _):
        assert (candidate.rule and candidate.rule.name) == rule
        assert candidate.rate == 0.1
    found = find_lr(**parts, epochs=5)
    monkeypatch.setattr(existing, "_as_rule", lambda *_: None)
    copied = find_lr(**parts, epochs=5)
    assert (found.optimizer, copied.optimizer) == (type(optimizer).__name__.lower(),) * 2
    for one, other in zip(found.rounds[0].losses, copied.rounds[0].losses, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_an_optimizer_that_has_begun_is_no_rule() -> None:
    from stepwell.lab.rates import existing

    training = Training(OPTIMIZERS["sgd"])
    with existing.existing_training(training.model, training.optimizer, training.loss, training.loader) as (
        _,
        found,
        own,
    ):
        assert found.rule is None
        assert own == {}


def test_an_optimizer_with_a_schedule_inside_is_refused() -> None:
    model = nn.Linear(3, 1)
    with pytest.raises(TaskError, match="follows a schedule"):
        _simple(model, _scheduled(model))


@pytest.mark.parametrize("name", ["adam", "no rule's"])
def test_an_optimizer_has_its_own_hyperparameters(name: str) -> None:
    model = nn.Linear(3, 1)
    with pytest.raises(TypeError, match="hyper belongs to a rule"):
        _simple(model, MADE[name][0](model.parameters()), hyper={"beta1": 0.5})


def test_an_optimizer_needs_its_model() -> None:
    from stepwell.lab import tasks

    with pytest.raises(TypeError, match="needs its model, loss and loader"):
        find_lr(tasks.digits(), torch.optim.SGD(nn.Linear(3, 1).parameters(), lr=0.1))
