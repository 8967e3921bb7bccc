"""The training that the sections share: by hand, from scratch and concise, and the bands that it makes."""

import time
from functools import cache
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from stepwell import torch as door
from stepwell.book import airfoil, loops
from stepwell.book.loops import torch as torch_loops
from stepwell.book.section import Options, Page
from stepwell.lab import tasks
from stepwell.lab.task import Task
from stepwell.rule import Rule
from tests.lab.conftest import data_folder

SAME = {
    "gradient_descent": (rules.gradient_descent, door.SGD, {"lr": 0.05}, {}),
    "momentum": (rules.momentum, door.SGD, {"lr": 0.02}, {"momentum": 0.9}),
    "nesterov": (rules.nesterov, door.SGD, {"lr": 0.01}, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (rules.adagrad, door.Adagrad, {"lr": 0.1}, {}),
    "adagrad_eps_inside": (rules.adagrad_eps_inside, door.AdagradEpsInside, {"lr": 0.1}, {}),
    "rmsprop": (rules.rmsprop, door.RMSprop, {"lr": 0.01}, {}),
    "rmsprop_eps_inside": (rules.rmsprop_eps_inside, door.RmspropEpsInside, {"lr": 0.01}, {}),
    "adadelta": (rules.adadelta, door.Adadelta, {"eps": 1e-5}, {}),
    "adam": (rules.adam, door.Adam, {"lr": 0.01}, {}),
    "adamw": (rules.adamw, door.AdamW, {"lr": 0.01}, {}),
    "yogi": (rules.yogi, door.Yogi, {"lr": 0.01}, {}),
}
BANDS: dict[str, tuple[Rule, dict[str, Any], float, float]] = {
    "gradient descent": (rules.gradient_descent, {"lr": 1.0, "batch": 1500, "epochs": 10}, 0.242, 0.261),
    "b = 100": (rules.gradient_descent, {"lr": 0.4, "batch": 100}, 0.242, 0.263),
    "b = 10": (rules.gradient_descent, {"lr": 0.05}, 0.242, 0.257),
    "momentum .5": (rules.momentum, {"lr": 0.02, "beta": 0.5}, 0.242, 0.251),
    "momentum .9": (rules.momentum, {"lr": 0.01, "beta": 0.9}, 0.244, 0.254),
    "momentum .9, half the rate": (rules.momentum, {"lr": 0.005, "beta": 0.9}, 0.242, 0.250),
}


@cache
def task() -> Task:
    return tasks.airfoil(data_folder())


def by_hand(seed: int, batch: int, epochs: int, lr: float) -> list[float]:
    """Gradient descent in float64, from the formula of the loss."""
    x = np.column_stack([task().data.inputs.astype(float), np.ones(1500)])
    y = task().data.targets[:, 0].astype(float)
    rng = np.random.default_rng(seed)
    w = np.append(rng.normal(0, 0.01, 5), 0.0)
    losses = []
    for _ in range(epochs):
        order = rng.permutation(1500)
        for i in range(0, 1500, batch):
            rows = order[i : i + batch]
            w = w - lr * x[rows].T @ (x[rows] @ w - y[rows]) / len(rows)
            losses.append(np.mean((x @ w - y) ** 2) / 2)
    return losses


@pytest.mark.parametrize(("batch", "lr"), [(10, 0.05), (100, 0.4), (1500, 1.0)])
def test_gradient_descent_is_what_it_is_by_hand(batch: int, lr: float) -> None:
    run = airfoil.from_scratch(task(), rules.gradient_descent, 3, batch=batch, lr=lr)
    expected = by_hand(3, batch, 2, lr)
    assert run.loss == pytest.approx(expected[-1], abs=2e-6)
    at = [round(epoch * 1500 / batch) for epoch in run.epochs[1:]]
    assert run.losses[1:] == pytest.approx([expected[k - 1] for k in at], abs=2e-6)
    assert run.losses[0] == pytest.approx(0.493, abs=0.02)


def test_it_is_measured_every_200_samples_and_at_the_end() -> None:
    run = airfoil.from_scratch(task(), rules.gradient_descent)
    assert [round(1500 * epoch) for epoch in run.epochs] == list(range(0, 3001, 200))
    whole = airfoil.from_scratch(task(), rules.gradient_descent, batch=1500, epochs=3)
    assert whole.epochs == (0.0, 1.0, 2.0, 3.0)
    uneven = airfoil.from_scratch(task(), rules.gradient_descent, batch=700, epochs=1)
    assert [round(1500 * epoch) for epoch in uneven.epochs] == [0, 700, 1400, 1500]


def test_measuring_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch_loops.from_scratch

    def slow(*given: Any) -> loops.Loop:
        made = right(*given)
        return loops.Loop(made.step, lambda x, y: time.sleep(0.01) or made.loss(x, y))

    monkeypatch.setattr(torch_loops, "from_scratch", slow)
    started = time.perf_counter()
    run = airfoil.from_scratch(task(), rules.gradient_descent)
    assert run.seconds[-1] < time.perf_counter() - started - 0.15
    assert run.seconds[0] == 0
    assert all(np.diff(run.seconds) > 0)


@pytest.mark.parametrize("name", SAME)
def test_from_scratch_and_concise_are_one_training(name: str) -> None:
    rule, optimizer, hyper, more = SAME[name]
    runs = [airfoil.from_scratch(task(), rule, seed, epochs=1, **hyper) for seed in range(2)]
    short = [airfoil.concise(task(), optimizer, seed, epochs=1, **hyper, **more) for seed in range(2)]
    assert airfoil.apart(runs, short) < airfoil.SAME
    assert [run.epochs for run in runs] == [run.epochs for run in short]


@pytest.mark.parametrize(
    ("rule", "optimizer", "hyper"),
    [
        (rules.nesterov, door.Momentum, {"lr": 0.01}),
        (rules.yogi, door.Adam, {"lr": 0.01, "eps": 1e-3}),
        (rules.adam, door.Amsgrad, {"lr": 0.05}),
        (rules.rmsprop, door.RmspropEpsInside, {"lr": 0.01, "gamma": 0.99, "eps": 1e-4}),
    ],
)
def test_kin_are_not_one_training(rule: Rule, optimizer: Any, hyper: dict[str, Any]) -> None:
    run, other = airfoil.from_scratch(task(), rule, **hyper), airfoil.concise(task(), optimizer, **hyper)
    page = Page("", "", "", Options())
    airfoil.same(page, "two formulas", [run], [other])
    assert not page.holds


@pytest.mark.parametrize("name", BANDS)
def test_twenty_seeds_make_the_band_and_not_another(name: str) -> None:
    rule, hyper, low, high = BANDS[name]
    losses = [airfoil.from_scratch(task(), rule, seed, **hyper).loss for seed in range(20)]
    assert (round(min(losses), 3), round(max(losses), 3)) == (low, high)


def test_a_band_is_judged_to_its_digits() -> None:
    def ends(*losses: float) -> Page:
        page = Page("", "", "", Options(seeds=len(losses)))
        airfoil.band(page, "", lambda seed: airfoil.Training((2.0,), (losses[seed],), (0.0,)), "0.242 to 0.261")
        return page

    assert ends(0.2416, 0.26149).holds
    assert not ends(0.2416, 0.26151).holds
    assert not ends(0.2414, 0.25).holds
    assert not ends(0.25, float("nan")).holds
    page = Page("", "", "", Options(seeds=1))
    airfoil.band(page, "", lambda seed: airfoil.Training((2.0,), (0.24826,), (0.0,)), "at most 0.2482")
    assert not page.holds


def test_an_order_may_be_given() -> None:
    seen: list[int] = []

    def backwards(generator: np.random.Generator, n: int) -> np.ndarray:
        seen.append(n)
        return np.arange(n)[::-1].copy()

    runs = [airfoil.from_scratch(task(), rules.gradient_descent, lr=0.05, order=backwards) for _ in range(2)]
    assert seen == [1500] * 4
    assert runs[0].losses == runs[1].losses != airfoil.from_scratch(task(), rules.gradient_descent, lr=0.05).losses
    assert sorted(airfoil.permutation(np.random.default_rng(0), 1500)) == list(range(1500))
