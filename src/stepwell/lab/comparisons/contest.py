"""The comparison on one task: what its runs say, each part computed from them when it is asked for."""

import functools
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stepwell.lab.comparisons.judge import Judgement, judge
from stepwell.lab.comparisons.rounds import of_seeds, paired, tuned
from stepwell.lab.goal import Goal
from stepwell.lab.statistics import expected_best
from stepwell.lab.statistics.budget import Reached, time_to_target
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.strategy import Point, medians
from stepwell.lab.trial import Run

QUARTERS = (0.25, 0.5, 0.75)
MARGIN = 0.05  # the share of a sampled range, by its logarithm, in which a choice is at its edge


@dataclass(frozen=True)
class Luck:
    """What k tuning trials give: the best of k of the settings that were tried, picked blindly, for k = 1 … all.

    Attributes:
        trials: k.
        mean: of the best loss; ∞ for as many k as settings diverged.
        low, median, high: the best loss that a quarter, half and three quarters of such searches reach.
    """

    trials: list[int]
    mean: list[float]
    low: list[float]
    median: list[float]
    high: list[float]


@dataclass(frozen=True)
class Pace:
    """How quickly an optimizer reaches the target.

    Attributes:
        steps: over the confirmation seeds: see `statistics.time_to_target`.
        seconds: the median of the steps, at the optimizer's own seconds a step; None where either is not known.
    """

    steps: Reached
    seconds: float | None


@dataclass(frozen=True)
class Contest:
    """The comparison of some optimizers on a task.

    Attributes:
        results: every run, of all rounds (see `stepwell.lab.comparisons.rounds`), and the settings.
        step_seconds: by optimizer, seconds of a training step at its best setting, trained alone on one thread.
    """

    results: Results
    step_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The task's name."""
        return self.results.task["name"]

    @property
    def optimizers(self) -> list[str]:
        """What is compared, in the order in which it was given."""
        return self.results.settings["optimizers"]

    @functools.cached_property
    def tuning(self) -> Results:
        """The runs of the first round."""
        return self._part(of_seeds(self.results.runs, self._seeds("seeds")), "seeds")

    @functools.cached_property
    def settings(self) -> dict[str, Point]:
        """Each optimizer's best setting."""
        return tuned(self.tuning.runs)

    @functools.cached_property
    def confirmed(self) -> dict[str, list[Run]]:
        """Each optimizer's runs of the second round, at the same seeds in the same order; {} before it."""
        if set(self.settings) != set(self.optimizers):
            return {}
        found = paired(self.results.runs, self.settings, self._seeds("confirmation"))
        return {name: found[name] for name in self.optimizers} if all(found.values()) else {}

    @functools.cached_property
    def confirmation(self) -> Results:
        """The runs of the second round."""
        return self._part([run for runs in self.confirmed.values() for run in runs], "confirmation")

    @functools.cached_property
    def again(self) -> list[Run]:
        """The leader's runs of the third round; [] until it is over."""
        runs = of_seeds(self.results.runs, self._seeds("again"))
        return runs if len(runs) == len(self._seeds("again")) else []

    @functools.cached_property
    def judgement(self) -> Judgement | None:
        """Who is better, by the second round and the third; None before the second, and if everything diverged."""
        if not self.confirmed:
            return None
        losses = {name: [run.cost for run in runs] for name, runs in self.confirmed.items()}
        return judge(losses, [run.cost for run in self.again] or None, self.results.settings["level"])

    @property
    def leader(self) -> str | None:
        """The first."""
        return self.judgement.standings[0].optimizer if self.judgement else None

    @functools.cached_property
    def luck(self) -> dict[str, Luck]:
        """By optimizer, what fewer tuning trials would have given: each setting counts as its median over the seeds."""
        found = medians(self.tuning.runs)
        return {
            name: _luck([loss for (other, *_), loss in found.items() if other == name])
            for name in self.optimizers
            if any(other == name for other, *_ in found)
        }

    @functools.cached_property
    def target(self) -> Goal | None:
        """What is to be reached: the task's goal, if half of some optimizer's runs reach it; else what all reach.

        That is the loss at which the last of the optimizers ends in half of its runs, but for those that diverge.
        """
        known = self.results.task["goal"]
        goal = Goal(**known) if known else None
        if goal and any(steps_to(goal, runs).median is not None for runs in self.confirmed.values()):
            return goal
        ends = [statistics.median(run.cost for run in runs) for runs in self.confirmed.values()]
        worst = max(filter(math.isfinite, ends), default=None)
        return None if worst is None else Goal("loss", worst, f"a loss of {worst:.4g}")

    @property
    def paces(self) -> dict[str, Pace]:
        """How quickly each optimizer reaches the target; {} where there is none."""
        found = {}
        for name, runs in self.confirmed.items() if self.target else ():
            assert self.target is not None
            steps = steps_to(self.target, runs)
            each = self.step_seconds.get(name)
            seconds = None if steps.median is None or each is None else steps.median * each
            found[name] = Pace(steps, seconds)
        return found

    def edges(self, name: str) -> dict[str, str]:
        """The hyperparameters of an optimizer's best setting that are at an end of their range: "low" or "high"."""
        if name not in self.settings or not any(run.loss is not None for run in self._of(name)):
            return {}
        _, lr, hyper = self.settings[name]
        margin = MARGIN if self.results.settings["sampler"] else 0.0
        found: dict[str, str] = {}
        for key, (low, high) in self.results.settings["spaces"][name].items():
            bare, value = key.removeprefix("1-"), {"lr": lr, **dict(hyper)}[key.removeprefix("1-")]
            place = _place(value if key == bare else 1 - value, low, high)
            if not margin + 1e-3 < place < 1 - margin - 1e-3:
                found[bare] = "low" if (place < 0.5) == (key == bare) else "high"
        return found

    def _of(self, name: str) -> list[Run]:
        return [run for run in self.tuning.runs if run.optimizer == name]

    def _seeds(self, which: str) -> list[int]:
        return self.results.settings[which]

    def _part(self, runs: list[Run], seeds: str) -> Results:
        return replace(self.results, runs=runs, settings=self.results.settings | {"seeds": self._seeds(seeds)})


def steps_to(goal: Goal, runs: Sequence[Run]) -> Reached:
    """When runs reach a goal, by their measurements."""
    return time_to_target([(run.curve["step"], _short_of(goal, run)) for run in runs], 0.0)


def _short_of(goal: Goal, run: Run) -> list[float]:
    """For each measurement 0 if the goal is reached, 1 if it is not, infinite where the run diverged."""
    pairs = itertools.zip_longest(run.curve["loss"], run.curve["metric"])
    return [math.inf if loss is None else float(not goal.reached(loss, score)) for loss, score in pairs]


def _luck(losses: Sequence[float]) -> Luck:
    low, median, high = (expected_best(losses, share) for share in QUARTERS)
    return Luck(
        median.trials.tolist(),
        median.mean.tolist(),
        low.quantile.tolist(),
        median.quantile.tolist(),
        high.quantile.tolist(),
    )


def _place(value: float, low: float, high: float) -> float:
    """Where a value is in a range, by logarithms: 0 at its low end, 1 at its high one; ½ where it was not searched."""
    return math.log(value / low) / math.log(high / low) if low < high else 0.5
