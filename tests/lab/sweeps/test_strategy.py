"""What is tried, as a function of what is done: what all strategies have in common, and grids; nothing is trained."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.lab.sweeps.sampled import FEW
from stepwell.lab.sweeps.strategy import FARTHER, Halving, Strategy, best_of, medians, per_decade, rate
from stepwell.lab.trial import Trial
from stepwell.rules import named
from tests.lab.proposed import NAMES, STEPS, completed, grid, near, rates, rough, sampled, trials
from tests.lab.synthetic import of

STRATEGIES = {
    "grid": lambda: grid(3, (0, 1), ("adam", "momentum")),
    "grid of many": lambda: grid(8, (4,), ("adam",)),
    "halving": lambda: Halving(grid(5, (0, 1), ("adam", "momentum"))),
    "tpe": lambda: sampled(FEW, "tpe", (0, 1), ("adam", "momentum")),
    "qmc": lambda: sampled(FEW, "qmc", (3,), ("adam", "momentum")),
}
every_strategy = pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES)


@every_strategy
@settings(max_examples=8, deadline=None)
@given(word=st.integers(0, 99), shuffled=st.randoms(use_true_random=False))
def test_the_order_in_which_runs_end_changes_nothing(make: Callable[[], Strategy], word: int, shuffled: Any) -> None:
    """One run at a time, any of those proposed, told in any order: the same trials in the end."""
    strategy, loss = make(), rough(word)
    whole, runs = completed(strategy, loss), []
    while proposed := strategy.propose(shuffled.sample(runs, len(runs))):
        waiting = shuffled.sample(proposed, min(len(proposed), shuffled.choice((1, len(proposed)))))
        runs += [of(trial, loss(trial)) for trial in waiting]
        assert len(runs) <= len(whole)
    assert trials(runs) == trials(whole)


@every_strategy
@settings(max_examples=8, deadline=None)
@given(word=st.integers(0, 99), lost=st.randoms(use_true_random=False), share=st.floats(0, 1))
def test_from_any_runs_that_are_left_exactly_the_others_are_done(
    make: Callable[[], Strategy], word: int, lost: Any, share: float
) -> None:
    strategy, loss = make(), rough(word)
    whole = completed(strategy, loss)
    left = [run for run in whole if lost.random() < share]
    again = completed(strategy, loss, left)
    assert trials(again[: len(left)]) == trials(left)
    assert trials(again) == trials(whole)
    assert len(again) == len(whole)


@every_strategy
def test_what_is_done_is_the_end(make: Callable[[], Strategy]) -> None:
    strategy = make()
    whole = completed(strategy, near(1e-3))
    assert strategy.propose(whole) == []
    assert strategy.expected(whole) == len(whole)
    assert strategy.expected([]) >= len(strategy.propose([]))


# A grid


@given(st.integers(1, 12), st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True), st.integers(1, 3))
def test_a_grid_has_every_point_once(number: int, seeds: list[int], names: int) -> None:
    strategy = grid(number, seeds, NAMES[:names])
    proposed = strategy.propose([])
    counts = Counter((trial.optimizer, trial.seed) for trial in proposed)
    assert counts == {(name, seed): number for name in NAMES[:names] for seed in seeds}
    assert len(set(proposed)) == len(proposed)
    assert {(trial.steps, trial.hyper) for trial in proposed} == {(STEPS, ())}


def test_a_grids_rates_stand_around_each_rules_default() -> None:
    assert sorted(rates(completed(grid(), near(1e-3)))) == [1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2]
    assert [each.lr for each in grid(5).propose([])] == [1e-3, 3.16e-3, 3.16e-4, 1e-2, 1e-4]  # from it outwards
    for name in ("adam", "adadelta", "lion"):
        (first,) = grid(1, names=[name]).propose([])
        assert first.lr == named[name].hyperparameters["lr"].default


def test_a_large_grid_is_finer() -> None:
    assert [per_decade(number) for number in (7, 8)] == [2, 3]
    assert sorted(rates(completed(grid(8), near(1e-3)))) == [
        1e-4, 2.15e-4, 4.64e-4, 1e-3, 2.15e-3, 4.64e-3, 1e-2, 2.15e-2,
    ]  # fmt: skip


def test_a_best_rate_inside_the_grid_ends_the_search() -> None:
    assert len(completed(grid(5, (0, 1)), near(3e-3))) == 10


@pytest.mark.parametrize(
    ("optimum", "beyond"), [(0.0316, [1e-2, 0.0316, 0.1]), (3.16e-5, [1e-4, 3.16e-5, 1e-5]), (1e-2, [1e-2, 0.0316])]
)
def test_a_best_rate_at_an_edge_is_followed_until_one_beyond_it_is_worse(optimum: float, beyond: list[float]) -> None:
    runs = completed(grid(3, (0, 1)), near(optimum))
    assert rates(runs) == [1e-3, 3.16e-3, 3.16e-4, *beyond]
    assert set(Counter(run.lr for run in runs).values()) == {2}


@pytest.mark.parametrize(("optimum", "end"), [(1e9, 2 + FARTHER), (1e-9, -2 - FARTHER)], ids=["upward", "downward"])
def test_a_search_beyond_the_grid_ends(optimum: float, end: int) -> None:
    found = rates(completed(grid(5), near(optimum)))
    assert len(found) == 5 + FARTHER
    assert found[-1] == rate(1e-3, end, 5)


def test_where_all_diverges_smaller_rates_are_tried() -> None:
    found = rates(completed(grid(3), lambda trial: None))
    assert sorted(found) == [rate(1e-3, place, 3) for place in range(-1 - FARTHER, 2)]


def test_smaller_rates_are_tried_until_one_is_finite_and_one_is_worse() -> None:
    found = rates(completed(grid(3), lambda trial: None if trial.lr > 5e-5 else 1 / trial.lr))
    assert found == [1e-3, 3.16e-3, 3.16e-4, 1e-4, 3.16e-5, 1e-5]


@pytest.mark.parametrize("number", [1, 2])
def test_a_grid_of_one_or_two_has_no_edge(number: int) -> None:
    assert len(completed(grid(number), near(1e9))) == number


def test_each_optimizer_is_extended_on_its_own() -> None:
    runs = completed(
        grid(3, names=("adam", "lion")), lambda t: t.lr if t.optimizer == "adam" else near(1e-4)(t)
    )  # fmt: skip
    assert Counter(run.optimizer for run in runs) == {"adam": 3 + FARTHER, "lion": 3}


def test_runs_of_another_length_or_with_other_settings_are_no_part_of_a_grid() -> None:
    strategy = grid(3)
    others = [of(Trial("adam", 1e-3, 0, STEPS // 3), 0.0), of(Trial("adam", 1e-3, 0, STEPS, (("eps", 0.1),)), 0.0)]
    assert strategy.propose(others) == strategy.propose([])


@given(st.integers(0, 99), st.integers(3, 9))
def test_the_best_is_inside_or_the_search_went_as_far_as_it_may(word: int, number: int) -> None:
    runs = completed(grid(number, (0, 1, 2)), rough(word))
    losses = {lr: loss for (_, lr, _), loss in medians(runs).items()}
    best = min(sorted(losses), key=losses.__getitem__)
    inside = min(losses) < best < max(losses)
    assert number <= len(losses) <= number + FARTHER
    assert inside or len(losses) == number + FARTHER


# Medians


def test_the_median_counts_a_run_that_diverged_as_the_worst() -> None:
    runs = [of(Trial("adam", 0.1, seed, STEPS), loss) for seed, loss in enumerate((0.5, None, 0.1))]
    assert medians(runs) == {("adam", 0.1, ()): 0.5}
    assert medians(runs[:2]) == {("adam", 0.1, ()): math.inf}
    assert medians([]) == {}


def test_a_choice_with_fewer_seeds_is_left_out() -> None:
    runs = [of(Trial("adam", lr, seed, STEPS), 1.0 - lr) for lr, seed in ((0.1, 0), (0.1, 1), (0.2, 0))]
    assert list(medians(runs)) == [("adam", 0.1, ())]


def test_the_best_are_finite_and_one_at_least() -> None:
    runs = [of(Trial("adam", lr, 0, STEPS), loss) for lr, loss in ((0.1, 0.5), (0.2, None), (0.3, 0.4), (0.4, 0.6))]
    assert [point[1] for point in best_of(runs, 2)] == [0.3, 0.1]
    assert [point[1] for point in best_of(runs, 4)] == [0.3, 0.1, 0.4]
    assert [point[1] for point in best_of(runs[1:2], 3)] == [0.2]
    assert best_of([], 3) == []
