"""Successive halving: how long each rung's runs are, and which go on; nothing is trained."""

import math
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.lab.sweeps.strategy import Halving, medians
from stepwell.lab.trial import Run
from tests.lab.proposed import NAMES, completed, grid, near, rates, rough


def rungs(runs: Iterable[Run]) -> dict[int, list[Run]]:
    found: dict[int, list[Run]] = {}
    for run in runs:
        found.setdefault(run.steps, []).append(run)
    return found


@pytest.mark.parametrize(
    ("steps", "factor", "budgets"), [(900, 3, [100, 300, 900]), (100, 2, [25, 50, 100]), (5, 4, [1, 1, 5])]
)
def test_budgets_grow_by_the_factor_to_a_whole_run(steps: int, factor: int, budgets: list[int]) -> None:
    strategy = Halving(grid(steps=steps), factor)
    assert strategy.budgets == budgets
    assert strategy.steps == steps
    assert {trial.steps for trial in strategy.propose([])} == {budgets[0]}


def test_each_rung_has_the_best_of_the_one_below() -> None:
    runs = completed(Halving(grid(7, (0, 1))), near(1e-3))
    found = {budget: sorted({run.lr for run in own}) for budget, own in rungs(runs).items()}
    assert found == {100: sorted(rates(runs)), 300: [3.16e-4, 1e-3, 3.16e-3], 900: [1e-3]}
    assert {budget: len(own) for budget, own in rungs(runs).items()} == {100: 14, 300: 6, 900: 2}


def test_a_rung_is_judged_by_its_own_runs() -> None:
    """What is best when it is short is not what is best when it is longer."""
    short, longer = near(3.16e-4), near(1e-4)
    runs = completed(Halving(grid(7)), lambda trial: (short if trial.steps == 100 else longer)(trial))
    assert sorted(run.lr for run in rungs(runs)[300]) == [1e-4, 3.16e-4, 1e-3]
    assert [run.lr for run in rungs(runs)[900]] == [1e-4]


def test_each_optimizer_keeps_its_share_however_bad_it_is() -> None:
    worse = {"adam": 0.0, "momentum": 10.0, "gradient_descent": 20.0}
    runs = completed(Halving(grid(6, names=NAMES)), lambda trial: worse[trial.optimizer] + trial.lr % 1)
    for budget, kept in ((300, 2), (900, 1)):
        assert Counter(run.optimizer for run in rungs(runs)[budget]) == dict.fromkeys(NAMES, kept)


def test_the_first_rung_goes_beyond_the_grid() -> None:
    runs = rungs(completed(Halving(grid(3)), near(0.0316)))
    assert 0.0316 in rates(runs[100])
    assert [run.lr for run in runs[900]] == [0.0316]


def test_an_optimizer_that_always_diverges_is_run_whole_once() -> None:
    """So that a ranking has it, as diverged."""
    runs = rungs(completed(Halving(grid(3, (0, 1))), lambda trial: None))
    assert [len(runs[budget]) for budget in (300, 900)] == [2, 2]


@given(st.integers(0, 99), st.integers(3, 9), st.integers(2, 4))
@settings(max_examples=30)
def test_survivors_are_never_worse_than_what_fell(word: int, number: int, factor: int) -> None:
    strategy = Halving(grid(number, (0, 1), NAMES[:2]), factor)
    runs, kept = rungs(completed(strategy, rough(word))), number
    for below, budget in zip(strategy.budgets, strategy.budgets[1:], strict=False):
        kept = -(-kept // factor)
        for name in NAMES[:2]:
            before = medians(run for run in runs[below] if run.optimizer == name)
            after = {run.trial.point for run in runs[budget] if run.optimizer == name}
            assert 1 <= len(after) <= kept
            fallen = [loss for point, loss in before.items() if point not in after]
            assert max(before[point] for point in after) <= min(fallen, default=math.inf)
