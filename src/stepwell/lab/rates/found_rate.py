"""What a search for a learning rate found, to read, to paste, and to keep as JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

import stepwell
from stepwell.lab.documents import plain
from stepwell.lab.names import count
from stepwell.lab.rates.asked import Asked
from stepwell.lab.statistics import Basin

SCHEMA, VERSION = "stepwell.found_rate", 1
ROWS = 12  # of a round that are printed, at most


@dataclass(frozen=True)
class Round:
    """Runs of one length.

    Attributes:
        steps: of each run. rates: from the smallest.
        losses: for each rate the loss at each seed, ∞ where it diverged.
        initial: the same loss before training, the mean over seeds.
    """

    steps: int
    rates: tuple[float, ...]
    losses: tuple[tuple[float, ...], ...]
    initial: float

    @property
    def means(self) -> list[float]:
        """The mean loss over seeds at each rate; ∞ if any diverged."""
        return [float(np.mean(each)) for each in self.losses]


@dataclass(frozen=True)
class Cost:
    """What a search cost.

    Attributes:
        steps: of all runs, together. full: steps of a full run.
        seconds: from call to answer, measuring and preparing included.
        full_seconds: what the steps of a full run take by themselves, estimated from a few; NaN if none was taken.
        stacked: whether runs were trained as one; then steps do not tell what they cost.
    """

    steps: int
    full: int
    seconds: float
    full_seconds: float
    stacked: bool

    @property
    def runs(self) -> float:
        """The cost in full runs: of steps, or of seconds where runs were stacked."""
        return self.seconds / self.full_seconds if self.stacked else self.steps / self.full


@dataclass(frozen=True)
class FoundRate:
    """A learning rate for full runs, found by short ones; `print` shows it.

    Attributes:
        optimizer, task: their names. method: "sweep" or "range".
        rate: the best learning rate; None if there is no clear answer.
        reason: why there is none, or None.
        interval: (low, high) for the rate, at 95 %, over seeds; None if that is not known.
        interval_reason: why not, or None. It tells what chance does to the rate, not what shortness does.
        basin: the rates that do nearly as well, or None; its threshold is a loss of the longest round.
        edge: the rate from which on training ends above the loss with which it began; None if none did.
        short_rate: the best of the longest round, before it was moved to full runs; None where there is none.
        drift: the power of the length with which the best rate falls: rate = short_rate·(full/steps)^−drift.
        seeds: which were tried. rounds: what was tried, if anything. cost: what it took. way: how it was done, and why.
    """

    optimizer: str
    task: str
    method: str
    rate: float | None
    reason: str | None
    interval: tuple[float, float] | None
    interval_reason: str | None
    basin: Basin | None
    edge: float | None
    short_rate: float | None
    drift: float
    seeds: tuple[int, ...]
    rounds: tuple[Round, ...]
    cost: Cost
    way: str

    @property
    def paste(self) -> str:
        """The argument to paste, to two digits; empty without a clear answer.

        >>> short(0.00314), short(0.3), short(2.0), short(1.04e-5)
        ('3.1e-3', '0.3', '2', '1e-5')
        """
        return "" if self.rate is None else f"lr={short(self.rate)}"

    def to_json(self) -> dict[str, Any]:
        """All of it, and `paste` and `cost.runs`, as what `json.dumps` takes; a number that is not finite is None.

        By `schema` ("stepwell.found_rate") and `version` (1) its files are known; `stepwell` is what wrote it.
        """
        known = {"schema": SCHEMA, "version": VERSION, "stepwell": stepwell.__version__}
        derived = {"paste": self.paste, "cost": {**asdict(self.cost), "runs": self.cost.runs}}
        return plain({**known, **asdict(self), **derived})

    @classmethod
    def read(cls, path: Path) -> Self:
        """What a file holds that has `to_json()`. Errors: ValueError if it is something else."""
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict) or (content.get("schema"), content.get("version")) != (SCHEMA, VERSION):
            raise ValueError(f"{path} does not hold {SCHEMA} version {VERSION}")
        own = {field.name: content[field.name] for field in fields(cls)}
        own["interval"] = tuple(own["interval"]) if own["interval"] else None
        own["basin"] = Basin(**own["basin"]) if own["basin"] else None
        own["seeds"] = tuple(own["seeds"])
        own["rounds"] = tuple(map(_round, own["rounds"]))
        cost: dict[str, Any] = {field.name: content["cost"][field.name] for field in fields(Cost)}
        own["cost"] = Cost(**{**cost, "full_seconds": _number(cost["full_seconds"], math.nan)})
        return cls(**own)

    def __str__(self) -> str:
        return "\n".join([f"{self.paste or 'no clear answer'}    {self.optimizer} on {self.task}", "", *self._facts()]
                         + [line for each in self.rounds for line in ("", *_table(each, self.seeds))])  # fmt: skip

    def _facts(self) -> list[str]:
        facts = [("best rate", self._best())]
        if self.rate is not None:
            facts.append(("over seeds", self._over_seeds()))
        if self.basin is not None:
            facts.append(("nearly as good", _span(self.basin)))
        if self.edge is not None:
            facts.append(("too large from", _rounded(self.edge)))
        facts.append(("cost", self._cost()))
        return [f"{name:<16}{text}" for name, text in facts]

    def _best(self) -> str:
        if self.rate is None:
            return f"no clear answer: {self.reason}"
        text = f"{_rounded(self.rate)} for {self.cost.full} steps"
        if self.short_rate is None or self.short_rate == self.rate:
            return text
        return f"{text}; {_rounded(self.short_rate)} for {self.rounds[-1].steps}, falling as steps^-{self.drift:.2f}"

    def _over_seeds(self) -> str:
        if self.interval is None:
            return f"not known: {self.interval_reason}"
        return f"{_rounded(self.interval[0])} to {_rounded(self.interval[1])} at 95 %, {len(self.seeds)} seeds"

    def _cost(self) -> str:
        cost = self.cost
        if not cost.steps:
            return self.way
        text = f"{cost.runs:.2f} full runs: {cost.steps} steps in {_seconds(cost.seconds)}"
        return f"{text}; the {cost.full} of a full run take about {_seconds(cost.full_seconds)} ({self.way})"


def _round(content: Mapping[str, Any]) -> Round:
    losses = tuple(tuple(_number(loss, math.inf) for loss in each) for each in content["losses"])
    if len(losses) != len(content["rates"]) or not all(losses):
        raise ValueError(
            f"a round must have losses for each of its {count(len(content['rates']), 'rate')}; got {losses}"
        )
    return Round(content["steps"], tuple(content["rates"]), losses, _number(content["initial"], math.nan))


def _number(x: float | None, otherwise: float) -> float:
    """A number of a file, in which None stands for one that is not finite."""
    return otherwise if x is None else x


def too_short(task: str, optimizer: str, method: str, asked: Asked, cost: float) -> FoundRate:
    """The answer where full runs are so short that the shortest search costs more than it may; nothing is trained."""
    needed = math.ceil(100 * cost) / 100
    what = f"full runs have {count(asked.full, 'step')}, too few for a budget of {asked.budget:g}: even the shortest"
    return FoundRate(
        optimizer=optimizer,
        task=task,
        method=method,
        rate=None,
        reason=f"{what} search costs {needed:g} full runs; use stepwell.lab.sweep, or budget={needed:g}",
        interval=None,
        interval_reason="there is no clear answer",
        basin=None,
        edge=None,
        short_rate=None,
        drift=0.0,
        seeds=tuple(asked.seeds or [0]),
        rounds=(),
        cost=Cost(0, asked.full, 0.0, math.nan, stacked=False),
        way="nothing was trained",
    )


def short(rate: float) -> str:
    """A rate to two digits, as one writes it."""
    mantissa, exponent = f"{rate:.1e}".split("e")
    power = int(exponent)
    if -2 < power < 2:
        return f"{float(f'{rate:.1e}'):g}"
    return f"{mantissa.removesuffix('.0')}e{power}"


def _rounded(x: float) -> str:
    return f"{x:.3g}"


def _seconds(x: float) -> str:
    return f"{x:.2g} s" if x < 10 else f"{x:.0f} s"


def _span(basin: Basin) -> str:
    text = f"{_rounded(basin.low)} to {_rounded(basin.high)} learn 90 % as much or more"
    ends = [name for name, is_open in (("lower", basin.low_open), ("higher", basin.high_open)) if is_open]
    return f"{text}; perhaps {' and '.join(ends)} ones too" if ends else text


def _table(each: Round, seeds: tuple[int, ...]) -> list[str]:
    step = -(-len(each.rates) // ROWS)
    names = [f"seed {seed}" for seed in seeds] if len(seeds) > 1 else []
    lines = ["".join(f"{name:<12}" for name in ["rate", "loss", *names])]
    for rate, losses in list(zip(each.rates, each.losses, strict=True))[::step]:
        numbers = [np.mean(losses), *losses] if names else losses
        lines.append("".join(f"{x:<12}" for x in [_rounded(rate), *map(_loss, numbers)]))
    return [f"runs of {each.steps} steps", *(line.rstrip() for line in lines)]


def _loss(x: float) -> str:
    return f"{x:.5g}" if math.isfinite(x) else "diverged"
