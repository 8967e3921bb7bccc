"""The texts' errors put into the library, one for each erratum: (where, what, the faulty thing)."""

import math
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from stepwell import rules, schedules
from stepwell.book import airfoil, lenet, minibatch
from stepwell.book.errata import mathematics, training
from stepwell.book.errata import rules as of_rules
from stepwell.functions import minimize, surfaces, theory
from stepwell.rule import Decay, NonNegative, Rate, Share, rule, sign, sqrt, where
from tests.book.errata_loops import Remembering, buffered


@rule
def adam_misplaced(g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return lr * (m / (1 - beta1**t)) / sqrt(v / (1 - beta2**t)) - eps, m, v


@rule
def adam_at_one(g, m, v, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return lr * (m / (1 - beta1)) / (sqrt(v / (1 - beta2)) + eps), m, v


@rule
def adam_a_term_more(g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return lr * (m / (1 - beta1 ** (t + 1))) / (sqrt(v / (1 - beta2 ** (t + 1))) + eps), m, v


@rule
def yogi_small(g, m, v, t, *, lr: Rate = 1e-2, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-6):
    m = beta1 * m + (1 - beta1) * g
    v = v + (1 - beta2) * g**2 * sign(g**2 - v)
    return lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps), m, v


@rule
def adadelta_fivefold(g, s, d, *, lr: Rate = 5.0, rho: Share = 0.9, eps: NonNegative = 1e-6):
    s = rho * s + (1 - rho) * g**2
    step = sqrt(d + eps) / sqrt(s + eps) * g
    return lr * step, s, rho * d + (1 - rho) * step**2


@rule
def rmsprop_of_gradients(g, s, t, *, lr: Rate = 1e-2, gamma: Share = 0.9, eps: NonNegative = 1e-6):
    s = where(t > 1, gamma * s + (1 - gamma) * g, g)
    return lr * g / s, s


@rule
def rmsprop_short(g, s, *, lr: Rate = 1e-2, gamma: Share = 0.9, eps: NonNegative = 1e-6):
    s = gamma * gamma * s + (1 - gamma) * g**2
    return lr * g / sqrt(s + eps), s


@dataclass(frozen=True)
class climbing(schedules.Schedule):
    """PyTorch's cosine, which goes up again past its end."""

    steps: int
    rate: float
    end: float

    def formula(self, k: Any, xp: Any) -> Any:
        return self.end + (self.rate - self.end) * (1 + math.cos(math.pi * k / self.steps)) / 2


def late(optimizer: Any, schedule: Any) -> Any:
    asked = iter(range(1000))
    return SimpleNamespace(step=lambda: optimizer.param_groups[0].update(lr=schedule(next(asked))))


def task_with(**changes: Any) -> Any:
    load = airfoil.load
    return lambda page: replace(load(page), **changes)


def other(**wrong: Any) -> dict[str, Any]:
    return {**rules.named, **wrong}


def timed_by_interval(*args: Any, **kwargs: Any) -> Any:
    run = TRAIN(*args, **kwargs)
    return replace(run, seconds=run.seconds / (len(run.curve["step"]) - 1))


def averaging(seed: int) -> torch.nn.Sequential:
    layers = [each for each in LENET(seed).modules() if not isinstance(each, torch.nn.Sequential)]
    return torch.nn.Sequential(
        *(torch.nn.AvgPool2d(2) if isinstance(each, torch.nn.MaxPool2d) else each for each in layers)
    )


def judged_by_one(*args: Any, **kwargs: Any) -> Any:
    result = minimize(*args, **kwargs)
    result.success = result.success and kwargs["lr"] <= 1
    return result


TRAIN, FROM_SCRATCH, QUADRATIC, LENET = training.train, airfoil.from_scratch, surfaces.quadratic, lenet.lenet
SWAPPED = {"adagrad": rules.adagrad_eps_inside, "adagrad_eps_inside": rules.adagrad}

MUTANTS: dict[int, tuple[Any, str, Any]] = {
    1: (rules, "adam", adam_misplaced),
    2: (of_rules, "minimize", lambda f, x, method, **hyper: minimize(f, x, adam_at_one, **hyper)),
    3: (rules, "yogi", yogi_small),
    4: (rules, "named", other(**SWAPPED)),
    5: (airfoil, "load", task_with(loss=torch.nn.MSELoss())),
    6: (airfoil, "load", task_with(epochs=4)),
    7: (airfoil, "load", task_with(model=lambda: torch.nn.Linear(5, 1))),
    8: (airfoil, "from_scratch", partial(FROM_SCRATCH, order=buffered)),
    9: (training, "train", timed_by_interval),
    10: (theory, "stability_limit", lambda rule: 2.5),
    11: (minibatch, "SIZE", 1000),
    12: (rules, "adadelta", adadelta_fivefold),
    13: (rules, "named", other(rmsprop=rules.rmsprop_eps_inside)),
    14: (lenet, "lenet", averaging),
    15: (schedules.Schedule, "per_epoch", lambda self, steps: self),
    16: (schedules, "as_torch", late),
    17: (schedules, "multi_factor", lambda *a, **k: Remembering([0.5] * 15 + [0.25] * 15 + [0.125] * 31)),
    18: (schedules, "factor", lambda *a, **k: Remembering([max(1e-2, 2 * 0.9**t) for t in range(1, 400)])),
    19: (schedules, "cosine", climbing),
    20: (schedules, "polynomial", lambda alpha, beta, rate: schedules.exponential(alpha * beta, rate)),
    21: (surfaces, "quadratic", lambda Q, c, b: QUADRATIC(Q, -np.asarray(c), b)),
    22: (mathematics, "minimize", judged_by_one),
    23: (rules, "adam", adam_a_term_more),
    24: (rules, "named", other(rmsprop_eps_inside=rmsprop_short)),
    25: (surfaces, "rotated", lambda surface: surfaces.ravine_rotated_doubled),
    26: (rules, "rmsprop_eps_inside", rmsprop_of_gradients),
}
