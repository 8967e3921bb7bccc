"""What a sampler chooses: which hyperparameters, from where, and the same again; nothing is trained."""

import math
import statistics
from collections import Counter

import pytest

from stepwell.lab.candidates import choose
from stepwell.lab.sweeps.sampled import FEW, MORE, REACH, SLOW, WAVE
from tests.lab.proposed import NAMES, completed, near, rough, sampled


def searched(trials_: int, name: str, sampler: str = "tpe") -> set[str]:
    """The hyperparameters that the choices of an optimizer have, but for the rate."""
    found = {frozenset(dict(run.hyper)) for run in completed(sampled(trials_, sampler, names=[name]), rough(0))}
    assert len(found) == 1  # all of its choices have the same
    return set(found.pop())


@pytest.mark.parametrize("sampler", ["tpe", "qmc"])
@pytest.mark.parametrize(
    ("name", "momentum", "eps"),
    [
        ("adam", {"beta1"}, {"eps"}),
        ("momentum", {"beta"}, set()),
        ("adadelta", {"rho"}, {"eps"}),
        ("adagrad", set(), {"eps"}),
        ("gradient_descent", set(), set()),
    ],
)
def test_more_trials_search_more_than_the_rate(name: str, momentum: set[str], eps: set[str], sampler: str) -> None:
    assert searched(FEW - 1, name, sampler) == set()
    assert searched(FEW, name, sampler) == momentum
    assert searched(MORE - 1, name, sampler) == momentum
    assert searched(MORE, name, sampler) == momentum | eps


def test_few_and_more_are_ten_and_twenty() -> None:
    assert (FEW, MORE) == (10, 20)


@pytest.mark.parametrize("sampler", ["tpe", "qmc"])
def test_choices_are_in_their_ranges_and_fill_them(sampler: str) -> None:
    runs = completed(sampled(64, sampler), rough(1))
    lrs = [run.lr for run in runs]
    assert 1e-3 / REACH <= min(lrs) < 1e-3 / 20
    assert 1e-3 * 20 < max(lrs) <= 1e-3 * REACH
    memories = [1 - dict(run.hyper)["beta1"] for run in runs]
    assert SLOW[0] - 1e-12 <= min(memories) < 5e-3
    assert 0.1 < max(memories) <= SLOW[1] + 1e-12


def test_each_choice_has_every_seed() -> None:
    runs = completed(sampled(5, seeds=(2, 7), names=NAMES), rough(2))
    assert Counter((run.optimizer, run.seed) for run in runs) == {(name, seed): 5 for name in NAMES for seed in (2, 7)}
    assert {len({run.seed for run in runs if run.trial.point == each.trial.point}) for each in runs} == {2}


@pytest.mark.parametrize("sampler", ["tpe", "qmc"])
def test_equal_seeds_choose_equally_and_others_otherwise(sampler: str) -> None:
    first, again, other = (
        [run.trial.settings for run in completed(sampled(FEW, sampler, seeds), rough(3))]
        for seeds in ((0,), (0,), (1,))
    )
    assert first == again
    assert first != other


def test_a_wave_is_asked_at_once_and_the_next_learns_from_it() -> None:
    strategy = sampled(4 * WAVE)
    assert len(strategy.propose([])) == WAVE
    low, high = (
        [run.lr for run in completed(strategy, near(optimum))][2 * WAVE :] for optimum in (1e-5, 1e-1)
    )  # fmt: skip
    assert statistics.median(low) < 1e-4 < 1e-2 < statistics.median(high)


def test_qmc_fills_the_space_more_evenly_than_chance() -> None:
    """Of 16 equal parts of four decades, 17 throws of a die leave more than five empty on average."""
    for seed in range(4):
        runs = completed(sampled(17, "qmc", (seed,), ["gradient_descent"]), rough(4))
        middle = choose(["gradient_descent"])["gradient_descent"].rate
        parts = {int(math.log10(run.lr * REACH / middle) * 4) for run in runs}
        assert len(parts) >= 15


@pytest.mark.parametrize("sampler", ["tpe", "qmc"])
def test_runs_that_diverge_stop_no_sampler(sampler: str) -> None:
    assert len(completed(sampled(2 * WAVE, sampler), lambda trial: None)) == 2 * WAVE


def test_what_no_sampler_can_do_is_refused() -> None:
    with pytest.raises(ValueError, match="sampler must be one of tpe, qmc; got 'cmaes'"):
        sampled(3, "cmaes")
    with pytest.raises(ValueError, match="trials must be an integer ≥ 1; got 0"):
        sampled(0)
