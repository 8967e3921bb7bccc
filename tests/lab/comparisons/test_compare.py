"""Which runs a comparison makes, what it makes of them, and that its file is all of it."""

import inspect
import itertools
import json
import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stepwell.lab import compare
from stepwell.lab.candidates import Candidate, choose
from stepwell.lab.comparisons import advice, pace
from stepwell.lab.comparisons.compare import Growing, planned
from stepwell.lab.comparisons.comparison import Comparison
from stepwell.lab.comparisons.contest import Contest, steps_to
from stepwell.lab.comparisons.pace import step_seconds
from stepwell.lab.comparisons.rounds import leader, paired, tuned
from stepwell.lab.goal import Goal
from stepwell.lab.store.study import Store, StoreError
from stepwell.lab.sweeps.search import Search
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Run, Trial
from stepwell.rules import named
from tests.lab.contests import contest, valley
from tests.lab.synthetic import of, run

PAIR = ["gradient_descent", "momentum"]
DEFAULTS = {name: given.default for name, given in inspect.signature(compare).parameters.items()}


def plan(*arguments: Any, **options: Any) -> list[Search]:
    """The searches of a comparison with these options."""
    names = list(inspect.signature(planned).parameters)[len(arguments) :]
    return planned(*arguments, **{name: options.get(name, DEFAULTS[name]) for name in names})


@pytest.fixture(scope="module")
def found() -> Comparison:
    """A comparison on two tasks, trained."""
    torch.set_num_threads(1)
    tasks = [valley(), valley(20, batch=16, name="noisy valley")]
    return compare(tasks, PAIR, trials=7, tuning_seeds=2, seeds=6, workers=1)


def falling(steps: int) -> Any:
    """A schedule that has a factor for each step of the run, and no more."""
    return [1 - k / steps for k in range(steps)].__getitem__


def test_no_run_is_trained_beyond_its_own_steps() -> None:
    (only,) = compare(replace(valley(8), schedule=falling), PAIR, trials=3, tuning_seeds=1, seeds=2, workers=1).contests
    assert set(only.step_seconds) == set(PAIR)
    assert min(only.step_seconds.values()) > 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock by which steps are timed shows; it ticks a millisecond whenever it is read."""
    shown = [0.0]

    def read() -> float:
        shown[0] += 1e-3
        return shown[0]

    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=read))
    return shown


def test_a_step_is_timed_without_what_begins_a_run(clock: list[float]) -> None:
    def slow() -> torch.nn.Module:
        clock[0] += 10
        return torch.nn.Linear(2, 1, bias=False).double()

    task, trial = replace(valley(4), model=slow), Trial("adam", 0.01, 0, 4)
    assert step_seconds(task, choose("adam"), {"adam": trial})["adam"] == pytest.approx(1e-3)
    assert clock[0] > 20


@pytest.mark.parametrize(
    ("goal", "metric"), [(Goal("accuracy", 0.95, "95 %"), 0.95 - 5e-8), (Goal("loss", 0.3, "0.3"), 0.1)]
)
def test_a_goal_is_reached_by_one_rule(goal: Goal, metric: float) -> None:
    near = run("adam", 0.1, 0, 0.3 * (1 + 5e-7), metric)
    assert goal.reached(near.loss or 0.0, metric)
    assert steps_to(goal, [near]).median == near.steps
    far = run("adam", 0.1, 0, 0.31, 0.94)
    assert steps_to(goal, [far]).median is None
    lost = run("adam", 0.1, 0, None, metric)
    assert steps_to(Goal("accuracy", 0.95, "95 %"), [lost]).reached == 0


def rounds(loss: Any, seeds: int = 4, trials: int = 3, sampler: str = "grid") -> list[list[Trial]]:
    """What is proposed in turn to a search whose runs come to the loss of their trial."""
    (search,) = plan(valley(10), PAIR, trials=trials, tuning_seeds=3, seeds=seeds, sampler=sampler)
    strategy = search.strategy
    done, found = [], []
    while trials_ := strategy.propose(done):
        found.append(trials_)
        done += [of(trial, loss(trial)) for trial in trials_]
    assert len(done) == strategy.expected([]) == strategy.expected(done) or not done[-1].loss
    return found


def test_budgets_are_equal_also_where_the_best_is_at_an_edge() -> None:
    tuning, *_ = rounds(lambda trial: 1 / trial.lr if trial.optimizer == "momentum" else abs(trial.lr - 0.01))
    assert Counter(trial.optimizer for trial in tuning) == dict.fromkeys(PAIR, 9)
    assert {trial.steps for trial in tuning} == {10}
    assert Counter((trial.optimizer, trial.seed) for trial in tuning) == {(n, s): 3 for n in PAIR for s in range(3)}


def test_the_best_settings_of_the_tuning_are_run_on_fresh_seeds_and_the_first_again() -> None:
    better = {"gradient_descent": 0.1, "momentum": 0.2}

    def loss(trial: Trial) -> float:
        gain = -1 if trial.seed > 2 and trial.lr != 0.01 else 0  # what is better on fresh seeds is not looked at
        return better[trial.optimizer] + abs(trial.lr - 0.01) + gain

    _, fresh, again = rounds(loss)
    assert [(t.optimizer, t.seed) for t in fresh] == list(zip(PAIR * 4, [3, 3, 4, 4, 5, 5, 6, 6], strict=True))
    assert {t.lr for t in fresh} == {0.01}
    assert [(t.optimizer, t.lr, t.seed) for t in again] == [("gradient_descent", 0.01, seed) for seed in range(7, 11)]


def test_fresh_seeds_tell_a_sampler_nothing() -> None:
    found = rounds(lambda trial: abs(trial.lr - 0.01) + (100 if trial.seed > 2 else 0), trials=20, sampler="tpe")
    assert [len(trials) for trials in found] == [2 * 8 * 3, 2 * 8 * 3, 2 * 4 * 3, 2 * 4, 4]


def test_a_setting_is_best_by_its_median_over_the_tuning_seeds() -> None:
    lucky = {0: 0.0, 1: 0.9, 2: 0.9}
    runs = [run("adam", 0.1, seed, loss) for seed, loss in lucky.items()] + [run("adam", 0.2, s, 0.5) for s in lucky]
    assert tuned(runs) == {"adam": ("adam", 0.2, ())}


def test_where_everything_diverges_the_tuning_is_all() -> None:
    assert len(rounds(lambda trial: None)) == 1
    assert len(rounds(lambda trial: None if trial.optimizer == "momentum" else 1.0)) == 3


def test_only_seeds_that_all_have_are_paired() -> None:
    runs = [run("adam", 0.1, 3, 1.0), run("adam", 0.1, 4, 2.0), run("lion", 0.1, 4, 1.0), run("lion", 0.5, 3, 0.0)]
    pairs = paired(runs, {"adam": ("adam", 0.1, ()), "lion": ("lion", 0.1, ())}, [3, 4])
    assert {name: [each.loss for each in runs] for name, runs in pairs.items()} == {"adam": [2.0], "lion": [1.0]}
    assert leader(pairs) == "lion"


def test_a_comparison_trains_what_it_says(found: Comparison) -> None:
    for done, task in zip(found.contests, [valley(), valley(20, batch=16, name="noisy valley")], strict=True):
        assert done.results.complete
        assert len(done.results.runs) == 2 * 7 * 2 + 2 * 6 + 6
        for name, runs in done.confirmed.items():
            assert [each.seed for each in runs] == list(range(2, 8))
            alone = train(task, runs[2].trial)
            assert alone.curve["loss"] == pytest.approx(runs[2].curve["loss"], rel=1e-9)
            best = min(done.luck[name].median)
            assert best == statistics.median(each.cost for each in done.tuning.best()[name])
        assert {each.seed for each in done.again} == set(range(8, 14))
        assert {each.optimizer for each in done.again} == {done.leader}


def test_momentum_is_better_in_a_valley(found: Comparison) -> None:
    judgement = found.contests[0].judgement
    assert judgement is not None
    assert [(each.optimizer, each.verdict) for each in judgement.standings] == [
        ("momentum", "best"),
        ("gradient_descent", "worse"),
    ]
    losses = [[each.cost for each in found.contests[0].confirmed[name]] for name in ("gradient_descent", "momentum")]
    gap = judgement.standings[1].against
    assert gap is not None
    assert gap.estimate == pytest.approx(statistics.mean(losses[0]) - statistics.mean(losses[1]))
    assert 0 < gap.low < gap.estimate < gap.high


def test_one_rule_by_two_names_is_a_tie(tmp_path: Path) -> None:
    twins = {"one": named["adam"], "twin": named["adam"]}
    (contest,) = compare(valley(8), twins, trials=3, tuning_seeds=1, seeds=6, workers=1).contests  # pyright: ignore[reportArgumentType]
    assert contest.judgement is not None
    first, second = contest.judgement.standings
    assert second.verdict == "tie"
    assert second.against is not None
    assert (second.against.low, second.against.high) == (0, 0)
    assert first.mean == second.mean


def test_the_file_is_all_of_it(found: Comparison, tmp_path: Path) -> None:
    found.write(tmp_path)
    again = Comparison.read(tmp_path)
    assert again.document() == found.document()
    assert again.contests[0].judgement == found.contests[0].judgement
    assert again.json() == (tmp_path / "comparison.json").read_text("utf-8") == found.json()
    document = json.loads(found.json())
    first = document["contests"][0]
    assert (document["schema"], document["version"]) == ("stepwell.comparison", 1)
    assert [each["verdict"] for each in first["standings"]] == ["best", "worse"]
    assert first["answer"] == advice.sentence(found.contests[0])
    assert {each["optimizer"] for each in first["runs"]} == set(PAIR)
    (tmp_path / "comparison.json").write_text("{}")
    with pytest.raises(ValueError, match=r"does not hold stepwell\.comparison version 1"):
        Comparison.read(tmp_path)


def test_infinite_numbers_are_null_in_the_file(tmp_path: Path) -> None:
    lost = Comparison([contest({"adam": {0.1: 1.0}, "lion": {0.1: None}}, {"adam": [1.0] * 6, "lion": [None] * 6})])
    lost.write(tmp_path)
    assert Comparison.read(tmp_path).document() == lost.document()
    lion = lost.document()["contests"][0]["standings"][1]
    assert (lion["loss"]["mean"], lion["diverged"], lion["difference"]["low"]) == (None, 6, None)
    assert lion["verdict"] == "worse"


def test_several_tasks_have_a_profile() -> None:
    tuning, quick, late = {"adam": {0.1: 0.1}, "lion": {0.1: 0.1}}, [0.1] * 3, [0.9] * 3
    goals = [{"metric": "loss", "value": value, "words": ""} for value in (0.5, 0.5, 1.0)]
    pairs = [{"adam": quick, "lion": late}, {"adam": late, "lion": quick}, {"adam": quick, "lion": late}]
    made = [contest(tuning, pair, goal=goal) for pair, goal in zip(pairs, goals, strict=True)]
    made[2].step_seconds["lion"] = 0.004
    profiles = Comparison(made).profiles
    assert profiles["steps"].shares.tolist() == [[pytest.approx(2 / 3)], [pytest.approx(2 / 3)]]
    assert profiles["seconds"].factors.tolist() == [1.0, 4.0]
    assert profiles["seconds"].shares.tolist() == [pytest.approx([2 / 3, 2 / 3]), pytest.approx([1 / 3, 2 / 3])]
    assert Comparison(made[:1]).profiles == {}


def test_steps_and_seconds_to_the_goal_or_else_to_what_all_reach() -> None:
    losses = {"adam": [0.2, 0.4, 0.6], "lion": [0.7, 0.8, 0.9]}
    made = contest({"adam": {0.1: 0.1}, "lion": {0.1: 0.1}}, losses)  # measured at steps 0, 5 and 10: 2, 1, the loss
    assert made.target == Goal("loss", 0.5, "half")
    paces = made.paces
    assert (paces["adam"].steps.steps, paces["adam"].steps.median) == ((10, 10, None), 10)
    assert paces["adam"].seconds == pytest.approx(10 * 0.001)
    assert (paces["lion"].steps.median, paces["lion"].seconds) == (None, None)
    far = contest(
        {"adam": {0.1: 0.1}, "lion": {0.1: 0.1}}, losses, goal={"metric": "loss", "value": 0.1, "words": "far"}
    )
    assert far.target == Goal("loss", 0.8, "a loss of 0.8")
    assert (far.paces["adam"].steps.median, far.paces["lion"].steps.reached) == (10, 2)
    lost = contest({"adam": {0.1: 0.1}, "lion": {0.1: 0.1}}, {"adam": [0.3] * 3, "lion": [None] * 3}, goal=None)
    assert lost.target is not None
    assert lost.target.value == 0.3


def test_a_goal_of_accuracy_is_reached_from_below_and_not_by_a_run_that_diverges() -> None:
    runs = [
        run("adam", 0.1, 0, 0.5, metric=0.95),
        run("adam", 0.1, 1, 0.5, metric=0.85),
        run("adam", 0.1, 2, None, 0.99),
    ]
    assert steps_to(Goal("accuracy", 0.9, "90 %"), runs).steps == (10, None, None)
    assert steps_to(Goal("accuracy", 0.5, "50 %"), runs).steps == (5, 5, 5)


def test_the_luck_of_a_tuning_is_the_best_of_some_of_its_settings() -> None:
    made = contest({"adam": {0.1: 4.0, 0.2: 1.0, 0.3: None, 0.4: 2.0}}, {})
    luck = made.luck["adam"]
    assert luck.trials == [1, 2, 3, 4]
    pairs = [min(pair) for pair in itertools.combinations([4.0, 1.0, float("inf"), 2.0], 2)]
    assert luck.median[1] == sorted(pairs)[2]
    assert luck.mean == [float("inf"), *[pytest.approx(x) for x in (statistics.mean(pairs), 1.25, 1.0)]]
    assert luck.low[0] == 1.0
    assert luck.high[0] == 4.0


def test_a_best_setting_at_the_end_of_its_range_is_at_an_edge() -> None:
    rates = {0.001: 3.0, 0.01: 2.0, 0.1: 1.0}
    fresh = {name: [1.0] * 3 for name in ("adam", "lion", "yogi")}
    made = contest({"adam": rates, "lion": dict(zip(rates, (1.0, 2.0, 3.0), strict=True)),
                    "yogi": dict(zip(rates, (2.0, 1.0, 2.0), strict=True))}, fresh)  # fmt: skip
    assert [made.edges(name) for name in fresh] == [{"lr": "high"}, {"lr": "low"}, {}]
    space = {"lr": [1e-4, 1.0], "1-beta1": [1e-3, 0.5], "eps": [1e-10, 0.1]}
    sampled = contest({"adam": {0.01: 1.0}}, {"adam": [1.0] * 3}, sampler="qmc", spaces={"adam": space},
                      hyper={"adam": (("beta1", 0.9988), ("eps", 0.08))})  # fmt: skip
    assert sampled.edges("adam") == {"beta1": "high", "eps": "high"}


def test_a_sampler_has_the_same_budget_and_says_what_it_searched() -> None:
    (search,) = plan(
        valley(4), ["gradient_descent", "adam"], trials=10, tuning_seeds=1, seeds=2, sampler="qmc", workers=1
    )
    spaces = search.settings()["spaces"]
    assert set(spaces["adam"]) == {"lr", "1-beta1"}
    assert set(spaces["gradient_descent"]) == {"lr"}
    growing = Growing.of(search)
    for _ in growing.gather(search):
        continue
    done = growing.contest()
    assert Counter(each.optimizer for each in done.tuning.runs) == {"gradient_descent": 10, "adam": 10}
    assert len({each.trial.point for each in done.tuning.runs}) == 20
    assert all(len(done.confirmed[name]) == 2 for name in done.optimizers)


def test_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    options: dict[str, Any] = {"trials": 3, "tuning_seeds": 1, "seeds": 3, "workers": 1, "storage": url}

    def stop(run: Run) -> None:
        seen.append(run)
        if len(seen) == 8:
            raise KeyboardInterrupt

    seen: list[Run] = []
    with pytest.raises(KeyboardInterrupt):
        compare(valley(8), PAIR, progress=stop, **options)
    with pytest.raises(StoreError, match="resume goes on"):
        compare(valley(8), PAIR, **options)
    later: list[Run] = []
    resumed = compare(valley(8), PAIR, resume=True, progress=later.append, **options)
    plain: dict[str, Any] = {**options, "storage": None}
    whole = compare(valley(8), PAIR, **plain)
    kept = Store.open(url, "compare:valley", planned_settings(options), resume=True)
    assert len(kept.runs()) == len(resumed.runs) == len(whole.runs) == 2 * 3 + 2 * 3 + 3
    assert not {each.trial for each in later} & {each.trial for each in seen}
    assert resumed.contests[0].judgement == whole.contests[0].judgement


def planned_settings(options: dict[str, Any]) -> dict[str, Any]:
    kept = {name: options[name] for name in ("trials", "tuning_seeds", "seeds", "workers")}
    return plan(valley(8), PAIR, **kept)[0].settings()


def test_seeds_of_the_rounds_have_none_in_common() -> None:
    (search,) = plan(valley(), PAIR, tuning_seeds=[5, 7], seeds=3)
    assert {name: search.settings()[name] for name in ("seeds", "confirmation", "again")} == {
        "seeds": [5, 7],
        "confirmation": [8, 9, 10],
        "again": [11, 12, 13],
    }
    (search,) = plan(valley(), PAIR, tuning_seeds=1, seeds=[4, 2])
    assert search.settings()["again"] == [5, 6]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizers": ["adam"]}, "optimizers must be two or more, to be compared; got adam alone"),
        ({"optimizers": ["adam", "lino"]}, "did you mean lion"),
        ({"seeds": 1}, "seeds must be 2 or more; got 1: one cannot tell .* at 95 % needs 3, and 6 where"),
        ({"seeds": [2, 3]}, r"seeds must be one or more different integers, none of them 0, 1, 2; got \[2, 3\]"),
        ({"seeds": [4, 4]}, "seeds must be one or more different integers"),
        ({"tuning_seeds": 0}, "tuning_seeds must be an integer ≥ 1; got 0"),
        ({"tuning_seeds": [-1]}, "each of tuning_seeds must be an integer ≥ 0; got -1"),
        ({"trials": 0}, "trials must be an integer ≥ 1; got 0"),
        ({"sampler": "random"}, "sampler must be one of grid, tpe, qmc; got 'random'"),
        ({"level": 95}, r"level must be a number in \(0, 1\); got 95"),
        ({"epochs": 0}, "epochs must be"),
        ({"tasks": []}, "tasks must be one or more, of different names; got none"),
        ({"tasks": [valley(), valley()]}, "different names; got valley, valley"),
    ],
)
def test_what_cannot_be_compared_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare(**{"tasks": valley(), "optimizers": PAIR, "workers": 1} | options)


def test_where_everything_diverges_it_is_said() -> None:
    wild = [replace(choose([name])[name], rate=1e200) for name in PAIR]
    (contest,) = compare(valley(8), wild, trials=2, tuning_seeds=1, seeds=3, workers=1).contests  # pyright: ignore[reportArgumentType]
    assert (len(contest.results.runs), contest.judgement, contest.results.complete) == (4, None, True)
    assert advice.sentence(contest) == (
        "valley: every run diverged; try smaller learning rates, or look at the data and the model."
    )
    assert advice.lines(contest) == ""
    assert contest.paces == {}


def test_the_seconds_of_a_step_are_those_of_the_optimizer_alone(clock: list[float]) -> None:
    class Slow(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            clock[0] += 0.005
            return super().step(closure)

    task = valley(4)
    candidates = choose({"slow": Slow, "adam": None})
    trials = {name: Trial(name, 0.01, 0, 4) for name in candidates}
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    found = step_seconds(task, candidates, trials)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert found == {"slow": pytest.approx(0.006), "adam": pytest.approx(0.001)}
    assert isinstance(candidates["slow"], Candidate)


def test_an_interrupted_comparison_says_what_it_can(found: Comparison) -> None:
    whole = found.contests[0]

    def first(count: int) -> Contest:
        runs = sorted(whole.results.runs, key=lambda each: (each.seed, each.optimizer))
        return Contest(replace(whole.results, runs=runs[:count], complete=False))

    nothing = first(5)
    assert (nothing.judgement, nothing.confirmed) == (None, {})
    assert advice.sentence(nothing) == "valley: nothing can be said yet."
    some = first(2 * 7 * 2 + 2 * 4 + 1)
    assert [len(runs) for runs in some.confirmed.values()] == [4, 4]
    assert some.judgement is not None
    assert some.judgement.noise is None
    assert advice.warnings(some)[0].startswith("interrupted")
    for each in (nothing, some, first(0)):
        assert Comparison([each]).document()["complete"] is False
