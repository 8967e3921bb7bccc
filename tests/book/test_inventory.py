"""The settings of the chapter's experiments, each as the book has it: a number is worth what it was measured at."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stepwell import book
from stepwell.book import airfoil, comparison, lenet, loops, minibatch, practice, schedules, sgd, sparse, words
from stepwell.book.section import Options, Page, run
from tests.lab.conftest import data_folder

GD, MOMENTUM = "gradient_descent", "momentum"
TRAININGS: dict[str, list[tuple[str, dict[str, float], str]]] = {
    "minibatch": [
        (GD, {"lr": 1, "batch": 1500, "epochs": 10}, "0.242 to 0.261"),
        (GD, {"lr": 0.005, "batch": 1, "epochs": 2}, "0.242 to 0.256"),
        (GD, {"lr": 0.4, "batch": 100, "epochs": 2}, "0.242 to 0.263"),
        (GD, {"lr": 0.05, "batch": 10, "epochs": 2}, "0.242 to 0.257"),
    ],
    "momentum": [
        (MOMENTUM, {"lr": 0.02, "beta": 0.5, "batch": 10, "epochs": 2}, "0.242 to 0.251"),
        (MOMENTUM, {"lr": 0.01, "beta": 0.9, "batch": 10, "epochs": 2}, "0.244 to 0.254"),
        (MOMENTUM, {"lr": 0.005, "beta": 0.9, "batch": 10, "epochs": 2}, "0.242 to 0.250"),
    ],
    "adagrad": [("adagrad_eps_inside", {"lr": 0.1, "eps": 1e-6, "batch": 10, "epochs": 2}, "0.242 to 0.246")],
    "rmsprop": [
        ("rmsprop_eps_inside", {"lr": 0.01, "gamma": 0.9, "eps": 1e-6, "batch": 10, "epochs": 2}, "0.242 to 0.249")
    ],
    "adadelta": [("adadelta", {"lr": 1, "rho": 0.9, "eps": 1e-5, "batch": 10, "epochs": 2}, "at most 0.2482")],
    "adam": [
        ("adam", {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-6, "batch": 10, "epochs": 2}, "at most 0.2482")
    ],
    "yogi": [
        ("yogi", {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-3, "batch": 10, "epochs": 2}, "at most 0.2482")
    ],
}
SPELLING = {"momentum": "beta", "alpha": "gamma"}


class Recorder:
    """In the place of the two trainings: what they are asked for, as a rule's name and numbers."""

    def __init__(self) -> None:
        self.scratch: list[tuple[str, dict[str, float]]] = []
        self.concise: list[dict[str, float]] = []

    def from_scratch(self, task: Any, rule: Any, seed: int = 0, **given: Any) -> airfoil.Training:
        assert given.pop("framework", "torch") == "torch"
        loop = {name: given.pop(name, default) for name, default in (("batch", 10), ("epochs", 2))}
        complete = {k: v for k, v in rule.complete(given).items() if not k.startswith("initial")}
        self.scratch.append((rule.name, {**complete, **loop}))
        return training(loop["epochs"])

    def short(self, task: Any, optimizer: Any, seed: int = 0, **given: Any) -> airfoil.Training:
        import torch

        assert given.pop("framework", "torch") == "torch"
        loop = {name: given.pop(name, default) for name, default in (("batch", 10), ("epochs", 2))}
        (group,) = optimizer([torch.nn.Parameter(torch.zeros(1))], **given).param_groups
        numbers: dict[str, Any] = {SPELLING.get(str(k), str(k)): v for k, v in group.items() if k != "params"}
        betas = dict(zip(("beta1", "beta2"), group.get("betas", ()), strict=False))
        self.concise.append(numbers | betas | loop)
        return training(loop["epochs"])


def training(epochs: float) -> airfoil.Training:
    return airfoil.Training((0.0, epochs / 2, epochs), (0.5, 0.26, 0.245), (0.0, 0.1, 0.2))


def experiment(section: str) -> Callable[[Page], None]:
    return next(e for e in book.named[section].experiments if e.__name__ == "training")


@pytest.mark.parametrize("section", TRAININGS)
def test_airfoil_is_trained_as_the_book_says_from_scratch_and_concise(
    section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(airfoil, "from_scratch", recorder.from_scratch)
    monkeypatch.setattr(airfoil, "concise", recorder.short)
    page = run(experiment(section), Options(seeds=5, data=data_folder()))
    for rule, setting, edges in TRAININGS[section]:
        assert sum(found == (rule, setting) for found in recorder.scratch) >= 5, (rule, setting)
        assert sum(setting.items() <= found.items() for found in recorder.concise) >= 5, (rule, setting)
        assert sum(line.expected == edges for line in page.lines) >= 2


@pytest.mark.parametrize("section", TRAININGS)
def test_five_seeds_end_inside_the_bands(section: str) -> None:
    page = run(experiment(section), Options(seeds=5, data=data_folder()))
    bands = [line for line in page.lines if "(5 seeds)" in line.got]
    assert len(bands) >= 2 * len(TRAININGS[section])
    assert all(line.holds for line in bands)


def test_losses_are_recorded_every_200_samples() -> None:
    assert loops.EVERY == 200
    found = airfoil.from_scratch(airfoil.load(Page("", "", "", Options(data=data_folder()))), book_rule(), lr=0.05)
    assert found.epochs == tuple(k * 200 / 1500 for k in range(16))


def book_rule() -> Any:
    from stepwell import rules

    return rules.gradient_descent


def test_the_other_sections_have_the_books_numbers() -> None:
    assert (minibatch.SIZE, minibatch.BLOCK) == (256, 64)
    assert [steps for _, steps in sgd.RATES.values()] == [50, 1000, 50]
    assert words.GROUPS == 10
    assert comparison.RULES == ("momentum", "adam")
    assert Options().seeds == 5
    assert 5 <= practice.SWEEP <= 10
    assert (min(practice.RATES), max(practice.RATES)) == (1e-5, 1e-1)
    assert max(sparse.RATES) / min(sparse.RATES) >= 100
    betas = [line.what for line in run(book.named["momentum"].experiments[1]).lines]
    for beta in ("0.95", "0.9", "0.6", "0"):
        assert f"β = {beta}: β^τ" in betas


def test_lenet_is_trained_at_the_books_rate_with_every_schedule() -> None:
    assert (lenet.FULL_BATCH, lenet.FULL_EPOCHS) == (256, 30)
    assert {"constant", "square root", "factor", "multi-factor", "cosine", "warmup, cosine"} == set(schedules.TRAINED)
    first = {name: float(schedule(0)) for name, schedule in schedules.TRAINED.items()}
    assert first == {
        "constant": 0.3, "square root": 0.1, "factor": 0.3, "multi-factor": 0.5, "cosine": 0.3, "warmup, cosine": 0.0,
    }  # fmt: skip
    assert schedules.TRAINED["constant"](29) == 0.3
    ends = {name: float(schedules.TRAINED[name](20)) for name in ("cosine", "warmup, cosine")}
    assert ends == pytest.approx({"cosine": 0.01, "warmup, cosine": 0.01})
    assert float(schedules.TRAINED["multi-factor"](15)) == 0.25
    assert np.isclose(float(schedules.TRAINED["square root"](29)), 0.018257, atol=5e-7)
