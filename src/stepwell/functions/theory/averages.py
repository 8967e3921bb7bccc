"""What a rule makes of the gradients it has seen: the rates it comes to, and the weights in its moving averages."""

import math
from typing import Any

import numpy as np

from stepwell.domain import Decay, check
from stepwell.functions.given import reals
from stepwell.functions.theory.feed import feed, rule_of
from stepwell.rule import Rule
from stepwell.schedules.domains import Period

PROBE = 16
"""The gradients that superposition is checked on."""


def effective_rate(rule: Rule | str, gradients: Any, **hyper: float) -> np.ndarray:
    """step / gradient after each of `gradients`, of shape (T, …): the rate of gradient descent that does the same.

    The rule starts anew, its parameter stays at 0. A gradient of 0 gives nan, or ±inf where the step is not 0.

    >>> effective_rate("adagrad", [3.0, 3.0, 3.0, 3.0], lr=0.3, eps=0.0).round(6)  # η/√(Σg²)
    array([0.1     , 0.070711, 0.057735, 0.05    ])

    Errors: those of the rule's hyperparameters; a ValueError for no gradients, or what is not finite; a TypeError for
    what is not real.
    """
    rule = rule_of(rule)
    complete = rule.complete(hyper)
    words = "gradients must be an array of finite numbers, of shape (T, …)"
    g = reals(words, gradients)
    if g.ndim < 1 or not g.size or not np.isfinite(g).all():
        raise ValueError(f"{words}; got {gradients!r}")
    steps = np.array([step for step, _ in feed(rule, g, complete)], dtype=np.float64)
    with np.errstate(all="ignore"):
        return steps / g


def average_weights(rule: Rule | str, steps: Period, state: str = "v", **hyper: float) -> np.ndarray:
    """The weight in a state of the gradient of τ = 0 … steps-1 steps ago, shape (steps,): of g, or of g².

    Found by feeding the rule one unit gradient among zeros, and checked by superposition on random gradients.

    >>> average_weights("momentum", 4, beta=0.5)
    array([1.   , 0.5  , 0.25 , 0.125])
    >>> average_weights("rmsprop", 3, state="s", gamma=0.9).round(6)  # of g²: (1-γ)γ^τ
    array([0.1  , 0.09 , 0.081])

    Errors: those of the rule's hyperparameters; a ValueError for steps < 1 (a TypeError where it is no integer), for a
    state that the rule does not have, and for one that is no fixed sum of g or of g² (Yogi's v, AMSGrad's v_max).
    """
    rule = rule_of(rule)
    complete = rule.complete(hyper)
    steps = check(Period, "steps", steps)
    if state not in rule.state:
        raise ValueError(
            f"state must be one of {rule.name}'s, {', '.join(rule.state) or 'which has none'}; got {state!r}"
        )

    def response(gradients: np.ndarray) -> np.ndarray:
        after_rest = np.concatenate([[0.0], gradients])  # the first step of some rules is special
        pair = np.stack([after_rest, np.zeros_like(after_rest)], axis=1)[..., None]  # each a row of its own
        kept = np.array([np.broadcast_to(s[state], (2, 1)) for _, s in feed(rule, pair, complete)], np.float64)[..., 0]
        return (kept[1:, 0] - kept[1:, 1])[: len(gradients)]

    length = max(steps, PROBE)
    weights = response(np.eye(1, length)[0])
    random = np.random.default_rng(0).normal(size=length) * np.geomspace(4, 0.25, length)
    for probe in (random, random[::-1]):
        answer, room = response(probe), 1e-9 * np.abs(weights).max() * np.abs(probe).sum()
        sums = [np.convolve(weights, source)[:length] for source in (probe, probe**2)]
        if not weights.any() or not any(np.abs(answer - total).max() <= room for total in sums):
            words = f"a fixed sum of gradients or of their squares, which {rule.name}'s is not"
            raise ValueError(f"state must be {words}; got {state!r}")
    return weights[:steps]


def bias_correction(rule: Rule | str | float, t: Period, state: str = "m", **hyper: float) -> float:
    """The weights of the first t gradients in an average that starts at 0, summed: 1-βᵗ, what to divide it by.

    That is where a constant gradient of 1 brings the state in t steps. A number for `rule` is β itself.

    >>> round(bias_correction("adam", 10, beta1=0.9), 5), round(bias_correction(0.9, 10), 5)
    (0.65132, 0.65132)

    Errors: those of `average_weights`; a ValueError where β is not in [0, 1).
    """
    t = check(Period, "t", t)
    if isinstance(rule, (Rule, str)):
        return float(average_weights(rule, t, state, **hyper).sum())
    beta = check(Decay, "beta", rule)
    if hyper:
        raise TypeError(f"a number has no hyperparameter {next(iter(hyper))!r}")
    return 1 - beta**t


def half_life(beta: Decay) -> float:
    """ln 2 / -ln β: the steps after which a gradient's weight βᵗ has halved. Not 1/(1-β), the sum of the weights.

    >>> round(half_life(0.9), 2)
    6.58

    Errors: a ValueError where β is not in [0, 1).
    """
    beta = check(Decay, "beta", beta)
    return math.log(2) / -math.log(beta) if beta else 0.0
