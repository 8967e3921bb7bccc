"""Runs as trials: the distributions that Optuna compares, and what its tools make of runs that diverged."""

import math

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)

from stepwell.lab.store.records import RUN, distribution, to_run, to_trial
from stepwell.lab.store.study import Store
from tests.lab.stored import run

NAMES = ("adam", "momentum")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lr", [1e-10, 1e-3, 1e4]), ("eps", [1e-8, 1e-3]), ("beta1", [0.0, 0.9, 1.0]), ("momentum", [0.0, 0.5]),
        ("seed", [0, 1, 99]), ("steps", [1, 100, 10**7]), ("optimizer", ["adam", "momentum"]),
    ],
)  # fmt: skip
def test_values_as_they_come_share_a_distribution(name: str, values: list[float]) -> None:
    assert len({distribution(name, value, NAMES) for value in values}) == 1


@pytest.mark.parametrize(
    ("name", "usual", "strange", "kind"),
    [
        ("lr", 1e-3, 1e-300, FloatDistribution), ("lr", 1e-3, 1e300, FloatDistribution),
        ("lr", 1e-3, 5e-324, FloatDistribution), ("eps_root", 1e-8, 1e-16, FloatDistribution),
        ("weight_decay", 0.0, -5.0, FloatDistribution), ("threshold", 0.5, 5.0, FloatDistribution),
        ("seed", 0, 2**32 - 1, IntDistribution), ("steps", 100, 10**9, IntDistribution),
    ],
)  # fmt: skip
def test_strange_values_have_another_that_optuna_takes_beside_it(
    name: str, usual: float, strange: float, kind: type
) -> None:
    first, second = distribution(name, usual, NAMES), distribution(name, strange, NAMES)
    assert isinstance(first, kind)
    assert isinstance(second, kind)
    assert first != second
    assert first is not None
    assert second is not None
    check_distribution_compatibility(first, second)


@pytest.mark.parametrize(
    ("name", "value"), [("lr", 0.0), ("lr", -1.0), ("eps", 0.0), ("beta1", 1e300), ("optimizer", "sgd")]
)
def test_values_that_are_no_parameters(name: str, value: float) -> None:
    assert distribution(name, value, NAMES) is None


def test_choices_that_change_are_refused_by_optuna() -> None:
    """Why all optimizers of a sweep are choices from the first trial on."""
    study = optuna.create_study(storage="sqlite:///:memory:")
    for choices in (NAMES, (*NAMES, "adagrad")):
        trial = optuna.trial.create_trial(
            value=1.0, params={"optimizer": "adam"}, distributions={"optimizer": CategoricalDistribution(choices)}
        )
        if choices == NAMES:
            study.add_trial(trial)
    with pytest.raises(ValueError, match="does not support dynamic value space"):
        study.add_trial(trial)


def test_a_hyperparameter_never_hides_a_parameter() -> None:
    trial = to_trial(run(3, hyper=(("seed", 0.5), ("steps", 0.5))), NAMES)
    assert (trial.params["seed"], trial.params["steps"]) == (3, 400)
    assert to_run(trial.number, trial.user_attrs[RUN]) == run(3, hyper=(("seed", 0.5), ("steps", 0.5)))


def sweep() -> Store:
    """Losses that are least at a rate of 1e-2; from 0.1 on every run diverges."""
    store = Store.open(None, "sweep", {"optimizers": NAMES})
    rates = [10 ** (k / 10 - 4) for k in range(50)]
    losses = [None if lr > 0.09 else (math.log10(lr) + 2) ** 2 for lr in rates]
    both = [run(0, loss, lr=lr, optimizer=name) for lr, loss in zip(rates, losses, strict=True) for name in NAMES]
    store.add(both)
    return store


def test_samplers_learn_from_runs_that_diverged() -> None:
    study = sweep().study
    space: dict[str, BaseDistribution] = {"lr": FloatDistribution(1e-10, 1e4, log=True)}
    asked: dict[bool, list[float]] = {}
    for known in (True, False):
        trials = [t for t in study.trials if known or t.value is not None]
        other = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
        other.add_trials(trials)
        asked[known] = [other.ask(space).params["lr"] for _ in range(60)]
    above = {known: sum(lr > 0.1 for lr in rates) for known, rates in asked.items()}
    assert above[True] < above[False]


def test_all_parameters_are_in_the_space_that_trials_share() -> None:
    """Which Optuna's samplers and importances go by."""
    shared = optuna.search_space.intersection_search_space(sweep().study.trials)
    assert set(shared) == {"optimizer", "lr", "seed", "steps", "beta1", "eps"}
