"""The search for a learning rate on tasks whose answer is known, and what it says when there is none."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from stepwell import schedules
from stepwell.lab import find_lr
from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import choose
from stepwell.lab.rates.found_rate import Cost, Round
from stepwell.lab.rates.short_runs import SECOND, ShortRuns, drift, final, sparsely_measured, two_rounds
from stepwell.lab.rates.swept import ALONE, answer
from stepwell.lab.task import Task
from stepwell.lab.training.group import Way
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial

pytestmark = pytest.mark.usefixtures("one_thread")


def regression(rows: int = 96, **more: Any) -> Task:
    """A small perceptron on a smooth function, with a validation."""
    draw = np.random.default_rng(3)
    x = draw.standard_normal((rows + 32, 4)).astype(np.float32)
    y = np.sin(x @ np.array([1.0, -0.5, 0.3, 0.0], np.float32))[:, None]
    options: dict[str, Any] = {"batch": 8, "epochs": 20, "name": "waves", "validation": (x[rows:], y[rows:])}
    return Task(model=_perceptron, data=(x[:rows], y[:rows]), loss=functional.mse_loss, **{**options, **more})


def _perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


class Curve(ShortRuns):
    """Runs that were never trained: their loss is a function of rate, steps and seed."""

    def __init__(self, loss: Callable[[float, int, int], float], initial: float = 100.0, seeds: Sequence[int] = (0,)):
        super().__init__(regression(), choose(["adam"])["adam"], seeds, (), ALONE)
        self.loss, self.before = loss, initial

    def initial(self, steps: int) -> float:
        return self.before

    def losses(self, rates: Sequence[float], steps: int) -> dict[float, tuple[float, ...]]:
        self.taken += steps * len(rates) * len(self.seeds)
        return {rate: tuple(self.loss(rate, steps, seed) for seed in self.seeds) for rate in rates}


def valley(best: float, power: float = 0.0, width: float = 1.0) -> Callable[[float, int, int], float]:
    """Losses that are least at best·(steps/1000)^−power."""
    return lambda rate, steps, _: (math.log(rate / best * (steps / 1000) ** power) / width) ** 2


@pytest.mark.parametrize("best", [3e-6, 1e-3, 0.07])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_both_rounds_end_with_the_best_inside_and_cost_no_more_than_the_budget(best: float, power: float) -> None:
    runs = Curve(valley(best, power))
    rounds = two_rounds(runs, 1e-3, 1000, 1.1, 7)
    assert runs.taken <= 1100
    assert len(rounds) == 2
    for each in rounds:
        lowest = each.rates[int(np.argmin(each.means))]
        assert each.rates[0] < lowest < each.rates[-1]
        assert abs(math.log(lowest / (best * (each.steps / 1000) ** -power))) < math.log(4.7) / 2


@pytest.mark.parametrize("budget", [0.3, 1.1, 4.0])
@pytest.mark.parametrize("count", [3, 7, 12])
def test_the_budget_holds_for_every_number_of_rates_and_its_runs_are_as_long_as_it_allows(
    budget: float, count: int
) -> None:
    runs = Curve(valley(1e-3))
    rounds = two_rounds(runs, 1e-3, 10_000, budget, count)
    assert 0.5 * budget < runs.taken / 10_000 <= budget
    assert len(rounds[0].rates) == count
    assert rounds[1].steps > 2 * rounds[0].steps


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 6, 10, 17, 20, 40, 80])
@pytest.mark.parametrize("options", [{}, {"rates": 50}, {"budget": 0.2}, {"budget": 3.0}, {"method": "range"}])
def test_a_short_training_costs_no_more_than_the_budget_or_none(
    validated: bool, steps: int, options: dict[str, Any]
) -> None:
    task = regression() if validated else regression(validation=None)
    found = find_lr(task, "momentum", steps=steps, **options)
    budget = options.get("budget", 1.1)
    assert found.cost.steps <= budget * steps
    if found.cost.steps:
        assert min(len(each.rates) for each in found.rounds) >= 2
        assert "use stepwell.lab.sweep" not in str(found)
        return
    least = 3 / steps if options.get("method") else 6 * (1 if validated else 3) / steps
    if steps <= (1 if validated else 3) and not options.get("method"):
        least = 3.0
    assert least > budget
    assert (found.rate, found.rounds) == (None, ())
    assert f"even the shortest search costs {math.ceil(100 * least) / 100:g} full runs" in str(found)
    json.dumps(found.to_json(), allow_nan=False)


def test_the_budget_that_is_asked_for_is_enough() -> None:
    task = regression(validation=None)
    refused = find_lr(task, "momentum", steps=11)
    assert refused.reason is not None
    budget = float(refused.reason.rpartition("=")[2])
    found = find_lr(task, "momentum", steps=11, budget=budget)
    assert [len(each.rates) for each in found.rounds] == [3, 3]
    assert "7 rates take more than the budget" in found.way


def test_each_seed_has_the_budget() -> None:
    alone, three = Curve(valley(1e-3)), Curve(valley(1e-3), seeds=(0, 1, 2))
    assert [r.steps for r in two_rounds(alone, 1e-3, 1000, 1.1, 7)] == [
        r.steps for r in two_rounds(three, 1e-3, 1000, 1.1, 7)
    ]
    assert three.taken == 3 * alone.taken


def test_a_first_round_in_which_nothing_is_learnt_is_the_last() -> None:
    runs = Curve(lambda rate, steps, seed: 1.0 + rate, initial=1.0)
    assert len(two_rounds(runs, 1e-3, 1000, 1.1, 7)) == 1


def test_a_round_goes_on_at_an_end_but_not_for_ever() -> None:
    runs = Curve(lambda rate, steps, seed: -math.log(rate))
    rounds = two_rounds(runs, 1e-3, 1000, 1.1, 7)
    assert [len(each.rates) for each in rounds] == [11, SECOND]


@pytest.mark.parametrize(("power", "expected"), [(0.0, 0.25), (0.5, 0.5), (1.0, 0.75), (2.0, 0.75), (-0.5, 0.25)])
def test_the_drift_is_the_mean_of_theory_and_of_what_is_seen_within_0_and_1(power: float, expected: float) -> None:
    rounds = two_rounds(Curve(valley(1e-3, power)), 1e-3, 1000, 1.1, 7)
    assert drift(rounds) == pytest.approx(expected, abs=0.02)


def test_the_rate_of_full_runs_is_that_of_the_second_round_moved_by_the_drift() -> None:
    found = _answer(two_rounds(Curve(valley(1e-2, 0.5)), 1e-3, 1000, 1.1, 7))
    assert found.rate == pytest.approx(1e-2, rel=0.05)
    assert found.basin is not None
    assert found.short_rate is not None
    moved = found.rate / found.short_rate  # pyright: ignore[reportOptionalOperand]
    assert moved == pytest.approx((1000 / found.rounds[-1].steps) ** -0.5, rel=0.05)
    assert found.basin.low < found.rate < found.basin.high  # pyright: ignore[reportOptionalOperand]


def _answer(rounds: Sequence[Round]) -> Any:
    seeds = range(len(rounds[0].losses[0]))
    return answer("task", "adam", rounds, seeds, Cost(1100, 1000, 2.0, 1.9, stacked=False), "way")


def test_the_rate_is_about_the_best_of_a_full_search_and_costs_what_it_says() -> None:
    steps = 0

    def counted(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        steps += torch.is_grad_enabled()
        return functional.mse_loss(output, target)

    task = replace(regression(), loss=counted)
    found = find_lr(task, "momentum")
    assert steps == found.cost.steps + 1  # the one with which the task is tried
    assert found.cost.runs == found.cost.steps / 240 <= 1.1
    assert (found.cost.full, found.seeds) == (240, (0,))
    candidates = choose(["momentum"])
    rates = [10 ** (k / 3) for k in range(-12, 3)]
    losses = [train(task, Trial("momentum", lr, 100, 240), candidates).cost for lr in rates]
    best = rates[int(np.argmin(losses))]
    assert found.rate is not None
    assert 1 / 4 < found.rate / best < 4
    mine = train(task, Trial("momentum", found.rate, 100, 240), candidates).cost
    assert mine < min(losses) + 0.1 * (losses[0] - min(losses))


def test_equal_questions_have_equal_answers_and_no_generator_moves() -> None:
    before = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    first, second = (find_lr(regression(epochs=5), "adam", seeds=[4]) for _ in range(2))
    assert (first.rate, first.rounds) == (second.rate, second.rounds)
    assert first.rounds != find_lr(regression(epochs=5), "adam", seeds=[5]).rounds
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == repr(np.random.get_state())  # noqa: NPY002


def test_each_short_run_has_its_own_whole_schedule() -> None:
    lengths: set[int] = set()

    def schedule(steps: int) -> Callable[[int], float]:
        lengths.add(steps)
        return schedules.cosine(steps)

    found = find_lr(regression(schedule=schedule), "adam")
    assert lengths == {1, *(each.steps for each in found.rounds)}


def test_losses_are_those_of_whole_runs_of_that_length() -> None:
    task = regression(epochs=4)
    found = find_lr(task, "adam", seeds=[1], hyper={"beta1": 0.5})
    for each in found.rounds:
        run = train(task, Trial("adam", each.rates[1], 1, each.steps, (("beta1", 0.5),)))
        assert each.losses[1] == (run.loss,)


def test_without_a_validation_the_last_quarter_of_training_ranks() -> None:
    task = sparsely_measured(regression(validation=None), 240)
    run = train(task, Trial("adam", 1e-2, 0, 40))
    losses = [float(x) for x in _training_losses(task, 40)]
    assert final(task, run) == pytest.approx(np.mean(losses[-10:]))
    assert find_lr(task, "adam").rate is not None


@pytest.mark.parametrize("epochs", [3, 4, 40])
def test_short_trainings_without_a_validation_have_an_answer_too(epochs: int) -> None:
    found = find_lr(regression(validation=None, epochs=epochs), "adam")
    assert found.rate is not None
    assert found.rounds[0].steps >= 3
    assert found.cost.runs <= 1.1


def _training_losses(task: Task, steps: int) -> list[float]:
    from stepwell.lab.training.drive import drive
    from stepwell.lab.training.plain import Plain

    found: list[float] = []

    class Heard(Plain):
        def step(self, batch: Any) -> torch.Tensor:
            loss = super().step(batch)
            found.append(float(loss))
            return loss

    trial = Trial("adam", 1e-2, 0, steps)
    drive(task, Heard(task, choose(["adam"])["adam"], trial), [trial], 0.0)
    return found


def test_stacked_and_in_processes_the_losses_are_the_same() -> None:
    candidate = choose(["adam"])["adam"]
    ways = [ALONE, Way(True, 7, 1, 1, ""), Way(False, 1, 2, 1, "")]
    found = []
    for way in ways:
        runs = ShortRuns(sparsely_measured(regression(), 240), candidate, (0, 1), (), way)
        try:
            found.append(runs.round([1e-3, 1e-2, 1e-1], 10.0, 3, 30))
        finally:
            runs.close()
        assert runs.taken == 180
    for each in found[1:]:
        np.testing.assert_allclose(each.losses, found[0].losses, rtol=1e-4)


def test_a_long_search_is_stacked_and_has_as_many_seeds_as_there_is_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from stepwell.lab.rates import swept
    from stepwell.lab.training import way

    stacked = Way(True, 7, 1, 1, "stacked")
    monkeypatch.setattr(way, "measured", lambda *_: stacked)
    seconds = {False: 1.0, True: 2.2}
    monkeypatch.setattr(swept, "_seconds_a_step", lambda *_, stacked: seconds[stacked])
    found = find_lr(regression(), "adam", steps=3000)
    assert found.seeds == (0, 1, 2)  # seven runs take the time of 2.2
    assert found.cost.stacked
    assert found.cost.runs == found.cost.seconds / 3000
    assert find_lr(regression(), "adam", steps=3000, seeds=[7]).seeds == (7,)
    seconds[True] = 0.1
    assert len(find_lr(regression(), "adam", steps=3000).seeds) == 5
    assert len(find_lr(regression(), "adam", steps=300).seeds) == 1


def test_three_seeds_give_an_interval_and_fewer_say_that_they_are_too_few() -> None:
    shifts = {0: 0.8, 1: 1.0, 2: 1.25}
    loss = lambda rate, steps, seed: valley(1e-2)(rate / shifts[seed], steps, 0)  # noqa: E731
    found = _answer(two_rounds(Curve(loss, seeds=(0, 1, 2)), 1e-3, 1000, 1.1, 7))
    assert found.interval is not None
    low, high = found.interval
    half = 4.303 * np.std(np.log([*shifts.values()]), ddof=1) / math.sqrt(3)  # Student's 97.5 % point with 2 degrees
    assert math.sqrt(low * high) == pytest.approx(found.rate, rel=0.03)
    assert math.log(high / low) / 2 == pytest.approx(half, rel=0.05)
    for seeds, words in (((0,), "1 seed is too few"), ((0, 1), "2 seeds are too few")):
        fewer = _answer(two_rounds(Curve(loss, seeds=seeds), 1e-3, 1000, 1.1, 7))
        assert fewer.interval is None
        assert words in fewer.interval_reason


def test_the_edge_is_where_training_ends_above_its_beginning() -> None:
    def loss(rate: float, steps: int, seed: int) -> float:
        return valley(1e-3)(rate, steps, seed) if rate < 0.05 else 200.0 if rate < 0.5 else math.inf

    found = _answer(two_rounds(Curve(loss), 1e-3, 1000, 1.1, 7))
    assert found.edge is not None
    assert 0.0215 < found.edge < 0.1
    assert "too large from" in str(found)
    assert _answer(two_rounds(Curve(valley(1e-3, width=5)), 1e-3, 1000, 1.1, 7)).edge is None


@pytest.mark.parametrize(
    ("loss", "initial", "words"),
    [
        (lambda rate, steps, seed: math.inf, 1.0, "diverged at every rate"),
        (lambda rate, steps, seed: 1.0, 1.0, "no rate brings the loss more than 0 below the 1"),
        (lambda rate, steps, seed: 1.0 + rate, 1.0, "no rate brings the loss"),
        (lambda rate, steps, seed: -math.log(rate), 100.0, "at the highest rate"),
        (lambda rate, steps, seed: math.log(rate), 100.0, "at the lowest rate"),
        (lambda rate, steps, seed: _chance(rate, seed), 1.0, "within the noise"),
        (lambda rate, steps, seed: 0.95 + _chance(rate, seed), 1.0, "no rate brings the loss more than"),
    ],
)
def test_no_clear_answer_says_why(loss: Callable[[float, int, int], float], initial: float, words: str) -> None:
    runs = Curve(loss, initial, seeds=(0, 1, 2))
    found = _answer(two_rounds(runs, 1e-3, 1000, 1.1, 7))
    assert found.rate is None
    assert found.paste == ""
    assert words in (found.reason or "")
    assert str(found).startswith("no clear answer")
    assert words in str(found)
    json.dumps(found.to_json(), allow_nan=False)


def test_a_second_round_that_ends_at_its_best_is_an_answer_where_the_first_has_both_sides() -> None:
    first = Round(30, (1e-4, 1e-3, 1e-2), ((2.0,), (1.0,), (2.0,)), 3.0)
    second = Round(150, (2e-4, 4e-4, 8e-4), ((0.5,), (0.6,), (0.7,)), 3.0)
    found = _answer([first, second])
    assert found.short_rate == 2e-4
    assert found.basin is not None
    assert found.basin.low_open
    assert _answer([replace(first, losses=((0.5,), (1.0,), (2.0,))), second]).rate is None


def _chance(rate: float, seed: int) -> float:
    return 0.1 * float(np.random.default_rng([int(1e9 * rate), seed]).standard_normal())


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_loss_that_nothing_moves_has_no_best_rate(seeds: int) -> None:
    task = replace(regression(), loss=lambda output, target: (0 * output + target).square().mean())
    found = find_lr(task, "adam", seeds=seeds)
    assert found.rate is None
    assert "no rate brings the loss" in (found.reason or "")


def test_it_reads_well_and_is_json() -> None:
    found = find_lr(regression(epochs=5), "adam", seeds=2)
    text = str(found)
    assert text.startswith(f"{found.paste}    adam on waves\n")
    assert found.rate is not None
    assert float(found.paste.removeprefix("lr=")) == pytest.approx(found.rate, rel=0.05)
    assert all(len(line) <= 200 and line == line.rstrip() for line in text.splitlines())
    for each in found.rounds:
        assert f"runs of {each.steps} steps" in text
    packed = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert packed["rate"] == found.rate
    assert packed["cost"]["runs"] == found.cost.runs
    assert packed["rounds"][0]["losses"][0] == list(found.rounds[0].losses[0])
    assert packed["paste"] == found.paste


def test_an_optimizer_may_be_a_rule_or_a_function() -> None:
    from stepwell import rules

    task = regression(epochs=3)
    by_name, by_rule = find_lr(task, "adam"), find_lr(task, rules.adam)
    assert by_name.rounds == by_rule.rounds
    found = find_lr(task, torch.optim.Adamax, middle=1e-3)
    assert found.optimizer == "adamax"
    assert found.rate is not None


def test_the_middle_and_the_number_of_rates_are_the_first_round() -> None:
    found = find_lr(regression(epochs=5), "adam", middle=0.01, rates=5)
    assert found.rounds[0].rates == (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def _nan() -> nn.Module:
    model = _perceptron()
    nn.init.constant_(model[0].weight, math.nan)  # pyright: ignore
    return model


def _broken() -> nn.Module:
    raise RuntimeError("no such file")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"optimizer": "adamm"}, ValueError, "there is no optimizer 'adamm'"),
        ({"optimizer": 3}, TypeError, "rule"),
        ({"rates": 2}, ValueError, "rates must be an integer ≥ 3; got 2"),
        ({"rates": 7.0}, TypeError, "rates must be an integer ≥ 3; got 7.0"),
        ({"budget": 0}, ValueError, "budget must be a finite number > 0; got 0"),
        ({"budget": math.nan}, ValueError, "budget must be"),
        ({"workers": 0}, ValueError, "workers must be an integer ≥ 1; got 0"),
        ({"steps": 0}, ValueError, "steps must be an integer ≥ 1; got 0"),
        ({"middle": 0.0}, ValueError, "middle must be a number from 1e-300 to 1e300; got 0"),
        ({"middle": 1e308}, ValueError, "middle must be a number from 1e-300 to 1e300; got 1e"),
        ({"seeds": 0}, ValueError, "seeds must be an integer ≥ 1; got 0"),
        ({"seeds": []}, ValueError, "seeds must be one or more different integers; got"),
        ({"seeds": [1, 1]}, ValueError, "seeds must be one or more different integers; got"),
        ({"seeds": [-1]}, ValueError, "each of seeds must be an integer ≥ 0; got -1"),
        ({"hyper": {"lr": 1.0}}, ValueError, "hyper must not have lr"),
        ({"hyper": {"momentum": 1.0}}, TypeError, "no hyperparameter 'momentum'"),
        ({"hyper": {"beta1": 1.0}}, ValueError, "beta1 must be"),
        ({"method": "guess"}, ValueError, "there is no method 'guess'"),
        ({"loader": []}, TypeError, "loader belongs to an existing training"),
        ({"metric": len}, TypeError, "metric belongs to an existing training"),
        ({"task": None}, TypeError, "got no model"),
    ],
)
@pytest.mark.parametrize("method", ["sweep", "range"])
def test_bad_arguments(options: dict[str, Any], error: type[Exception], words: str, method: str) -> None:
    with pytest.raises(error, match=words):
        find_lr(**{"task": regression(), "method": method, **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": _nan}, "loss is nan before the first step"),
        ({"model": _broken}, "the model cannot be built: RuntimeError: no such file"),
        ({"model": nn.Identity}, "no parameter that is trained"),
        ({"loss": lambda output, target: (output - target) ** 2}, "loss must give a scalar tensor"),
        ({"data": []}, "loader must not be empty"),
        ({"model": dict}, "model must give a torch.nn.Module; got dict"),
    ],
)
@pytest.mark.parametrize("method", ["sweep", "range"])
def test_bad_tasks(options: dict[str, Any], words: str, method: str) -> None:
    with pytest.raises(TaskError, match=words):
        find_lr(replace(regression(), **options), "adam", method=method)
