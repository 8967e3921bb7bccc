"""The answer of short runs: which rate, how sure, and at what cost."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stepwell.lab.candidates import Candidate
from stepwell.lab.names import count
from stepwell.lab.rates.asked import Asked
from stepwell.lab.rates.found_rate import Cost, FoundRate, Round, too_short
from stepwell.lab.rates.short_runs import DECADES, ShortRuns, drift, least, lowest, sparsely_measured, two_rounds
from stepwell.lab.statistics import BestRate, best_rate, divergence_edge, interval, seed_noise
from stepwell.lab.statistics import basin as basin_of
from stepwell.lab.task import Task
from stepwell.lab.training import way as ways
from stepwell.lab.training.group import Way
from stepwell.lab.training.plain import Plain, one_thread
from stepwell.lab.training.stacked import Stacked
from stepwell.lab.trial import Trial

MOST_SEEDS = 5  # that are taken unasked
MEASURING = 3000  # steps of a search from which on finding the quickest way, about 150 steps, is worth its cost
ALONE = Way(False, 1, 1, 1, "one run after the other")


def swept(task: Task, candidate: Candidate, asked: Asked) -> FoundRate:
    """Find the rate by two rounds of short runs."""
    if (cost := least(task, asked.full)) > asked.budget * (1 + 1e-9):
        return too_short(task.name, candidate.name, "sweep", asked, cost)
    began = time.perf_counter()
    task, full = sparsely_measured(task, asked.full), asked.full
    grid = np.geomspace(asked.middle, asked.middle * 10**-DECADES, asked.rates).tolist()
    trials = [Trial(candidate.name, rate, 0, full, asked.hyper) for rate in grid]
    way, plain, seeds = ALONE, None, asked.seeds or [0]
    if asked.workers > 1 or len(seeds) * asked.budget * full > MEASURING:
        way = ways.measured(task, {candidate.name: candidate}, trials, asked.workers)
    if way.stacked:
        plain = _seconds_a_step(task, candidate, trials, stacked=False)
        if asked.seeds is None:
            fit = len(trials) * plain / _seconds_a_step(task, candidate, trials, stacked=True)
            seeds = [*range(min(max(int(fit), 1), MOST_SEEDS))]
    runs = ShortRuns(task, candidate, seeds, asked.hyper, way)
    try:
        rounds = two_rounds(runs, asked.middle, full, asked.budget, asked.rates)
    finally:
        runs.close()
    plain = plain or runs.seconds / runs.taken
    cost = Cost(runs.taken, full, time.perf_counter() - began, plain * full, way.stacked)
    reason = way.reason
    if len(rounds[0].rates) < asked.rates:
        reason += f"; {asked.rates} rates take more than the budget"
    return answer(task.name, candidate.name, rounds, seeds, cost, reason)


def _seconds_a_step(task: Task, candidate: Candidate, trials: Sequence[Trial], *, stacked: bool) -> float:
    """Seconds of a step of one trial alone, or of all of them stacked."""
    with one_thread():
        if stacked:
            return ways.seconds_a_step(task, lambda: Stacked(task, {candidate.name: candidate}, trials), trials[0])
        return ways.seconds_a_step(task, lambda: Plain(task, candidate, trials[0]), trials[0])


def answer(task: str, optimizer: str, rounds: Sequence[Round], seeds: Sequence[int], cost: Cost, way: str) -> FoundRate:
    """What these rounds say of full runs."""
    last = rounds[-1]
    best = judged(rounds)
    power = drift(rounds)
    moved = (cost.full / last.steps) ** -power
    basin = basin_of(last.rates, last.means, initial=last.initial)
    spread, unknown = _interval(last) if best.rate else (None, "there is no clear answer")
    return FoundRate(
        optimizer=optimizer,
        task=task,
        method="sweep",
        rate=best.rate and best.rate * moved,
        reason=best.reason,
        interval=spread and (spread[0] * moved, spread[1] * moved),
        interval_reason=unknown,
        basin=basin and replace(basin, low=basin.low * moved, high=basin.high * moved),
        edge=edge(rounds),
        short_rate=best.rate,
        drift=power,
        seeds=tuple(seeds),
        rounds=tuple(rounds),
        cost=cost,
        way=way,
    )


def judged(rounds: Sequence[Round]) -> BestRate:
    """The best rate of the last round, unless what the rounds show is not more than noise, or not all of the curve.

    The last round may end at its best rate for want of budget, if the first round has rates on both sides of its own.
    """
    first, last = rounds[0], rounds[-1]
    wide = best_rate(first.rates, first.means, _noise(first), first.initial)
    inside = first.rates[0] < (wide.lowest or 0.0) < first.rates[-1]
    if inside and wide.rate is None:
        return wide
    best = best_rate(last.rates, last.means, 0.0, last.initial)
    if not best.loss < last.initial - _noise(last):
        return best_rate(last.rates, last.means, _noise(last), last.initial)
    return replace(best, rate=best.lowest, reason=None) if inside and best.rate is None else best


def _noise(each: Round) -> float:
    """The difference of losses that chance gives; 0 with one seed, which cannot tell."""
    return seed_noise(np.transpose(each.losses)) if len(each.losses[0]) > 1 else 0.0


def edge(rounds: Sequence[Round]) -> float | None:
    """The rate from which on the loss ends above the one with which it began; None if no rate was so large."""
    fails = {
        rate: math.inf if loss > each.initial else loss
        for each in rounds
        for rate, loss in zip(each.rates, each.means, strict=True)
    }
    return divergence_edge(list(fails), list(fails.values()))


def _interval(last: Round) -> tuple[tuple[float, float] | None, str | None]:
    """An interval on the mean over seeds of the logarithm of the best rate, or why there is none."""
    each = [lowest(last, losses) for losses in zip(*last.losses, strict=True)]
    if len(each) < 3:
        return (
            None,
            f"{count(len(each), 'seed')} {'are' if len(each) > 1 else 'is'} too few; seeds=3 or more would tell",
        )
    if None in each:
        return None, "at some seed every rate diverged"
    found = interval(np.log(np.array(each, dtype=float)))
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return None, "the seeds' best rates are too much alike for their spread to be known"
    return (math.exp(found.low), math.exp(found.high)), None
