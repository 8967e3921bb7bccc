"""Comparisons that were never trained, from losses; and small tasks that train in milliseconds."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from stepwell.lab.comparisons.contest import Contest
from stepwell.lab.task import Task
from stepwell.lab.trial import Run
from tests.lab.synthetic import results, run

Loss = float | None
Settings = Mapping[float, Loss]


def contest(
    tuning: Mapping[str, Settings],
    fresh: Mapping[str, Sequence[Loss]],
    again: Sequence[Loss] = (),
    spaces: Mapping[str, Mapping[str, list[float]]] | None = None,
    sampler: str | None = None,
    hyper: Mapping[str, tuple[tuple[str, float], ...]] | None = None,
    **task: Any,
) -> Contest:
    """A comparison on three tuning seeds; the leader's setting, the first in `tuning`'s order of loss, is run again.

    Args:
        tuning: for each optimizer the loss at each rate. fresh: its losses on fresh seeds, at its best rate.
        again: the leader's on further seeds. spaces: what was searched; by default the rates, from end to end.
        hyper: other hyperparameters of an optimizer. task: facts of it.
    """
    more = {name: (hyper or {}).get(name, ()) for name in tuning}
    best = {name: min(rates, key=lambda lr, r=rates: _order(r[lr])) for name, rates in tuning.items()}
    seeds = len(next(iter(fresh.values()), ()))
    runs = [
        run(name, lr, seed, loss, hyper=more[name])
        for name, rates in tuning.items()
        for lr, loss in rates.items()
        for seed in range(3)
    ]
    runs += [run(name, best[name], 3 + i, x, hyper=more[name]) for name, xs in fresh.items() for i, x in enumerate(xs)]
    first = min(fresh, key=lambda name: sum(map(_order, fresh[name])), default="")
    runs += [run(first, best[first], 3 + seeds + i, x, hyper=more[first]) for i, x in enumerate(again)]
    return of(
        runs, list(tuning), seeds, spaces or {n: {"lr": [min(r), max(r)]} for n, r in tuning.items()}, sampler, task
    )


def of(
    runs: list[Run], optimizers: list[str], seeds: int, spaces: Mapping[str, Any], sampler: str | None, task: Any
) -> Contest:
    """A contest of these runs: 3 tuning seeds, then the fresh ones, then as many again."""
    found = results(runs, **task)
    found.settings |= {
        "optimizers": optimizers, "seeds": [0, 1, 2], "confirmation": list(range(3, 3 + seeds)),
        "again": list(range(3 + seeds, 3 + 2 * seeds)), "level": 0.95, "spaces": spaces, "sampler": sampler,
        "rates": 12, "trials": 12 if sampler else 0,
    }  # fmt: skip
    return Contest(found, dict.fromkeys(optimizers, 0.001))


def valley(steps: int = 40, batch: int = 32, name: str = "valley", measurements: int = 4) -> Task:
    """Least squares with two columns of sizes 1 and 0.2: descent is slow along the second, momentum is less so."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 2, generator=generator, dtype=torch.float64)
    y = x.sum(1, keepdim=True) + 0.1 * torch.randn(32, 1, generator=generator, dtype=torch.float64)
    x = x * torch.tensor([1.0, 0.2])
    return Task(
        name=name, model=line, data=(x, y), validation=(x, y), loss=torch.nn.functional.mse_loss,
        batch=batch, length=steps, every=steps // measurements,
    )  # fmt: skip


def line() -> torch.nn.Module:
    """A linear model of two numbers."""
    return torch.nn.Linear(2, 1, bias=False).double()


class Noisy(torch.optim.SGD):
    """Gradient descent with gradients that have noise of their own: two of these are equal, and never the same."""

    def __init__(self, parameters: Any, lr: float, which: int):
        super().__init__(parameters, lr=lr)
        start = sum(float(p.detach().abs().sum()) for p in self.param_groups[0]["params"])
        self.noise = torch.Generator().manual_seed(int(start * 1e9) * 2 + which)

    def step(self, closure: Any = None) -> Any:
        for p in self.param_groups[0]["params"]:
            p.grad += 0.3 * torch.randn(p.shape, generator=self.noise, dtype=p.dtype)
        return super().step(closure)


def noisy(which: int) -> Any:
    """What makes one of them."""
    return lambda parameters, lr: Noisy(parameters, lr, which)


def _order(loss: Loss) -> float:
    return float("inf") if loss is None else loss
