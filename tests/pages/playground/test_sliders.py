"""Sliders from domains and defaults, for every hyperparameter of every rule."""

import math
from typing import Annotated

import pytest

from stepwell.domain import REAL, Domain, Real, Share, domain_of
from stepwell.pages.playground.sliders import bounds, default, slider
from stepwell.rule import Hyperparameter
from stepwell.rules import named

EVERY = [(rule.name, hyper) for rule in named.values() for hyper in rule.hyperparameters.values()]


def ends(made: dict) -> list[float]:
    """The values at both ends of a slider."""
    if made["kind"] == "linear":
        return [made["left"], made["right"]]
    return [
        made["origin"] if made[end] == made["exact"] else made["origin"] + made["sign"] * 10 ** made[end]
        for end in ("left", "right")
    ]


@pytest.mark.parametrize(("rule", "hyper"), EVERY, ids=lambda x: getattr(x, "name", x))
def test_both_ends_lie_in_the_domain_and_the_default_between(rule: str, hyper: Hyperparameter) -> None:
    low, high = ends(slider(hyper))
    assert low < high
    assert hyper.domain.holds(low)
    assert hyper.domain.holds(high)
    assert hyper.default is not None
    assert low <= hyper.default <= high


@pytest.mark.parametrize(
    ("domain", "low", "high"),
    [
        (domain_of(Share), (0.0, True), (1.0, True)),
        (named["adam"].hyperparameters["beta1"].domain, (0.0, True), (1.0, False)),
        (named["radam_corrected"].hyperparameters["threshold"].domain, (4.0, True), (math.inf, False)),
        (REAL, (-math.inf, False), (math.inf, False)),
        (Domain("a number in (2, 3]", lambda x: 2 < x <= 3, example=2.5), (2.0, False), (3.0, True)),
    ],
)
def test_the_bounds_of_a_domain_are_found(domain: Domain, low: tuple, high: tuple) -> None:
    found = [(bound["at"], bound["holds"]) for bound in bounds(domain)]
    assert found == [low, high]


def test_a_rate_has_decades_to_both_sides() -> None:
    for rule in named.values():
        hyper = rule.hyperparameters["lr"]
        (low, high), usual = ends(slider(hyper)), default(hyper)
        assert low <= usual / 900
        assert high >= max(usual * 100, 10)
        assert low > 0


def test_what_may_be_0_is_0_at_the_left_end() -> None:
    assert ends(slider(named["adam"].hyperparameters["eps"]))[0] == 0
    assert ends(slider(named["adamw"].hyperparameters["weight_decay"]))[0] == 0
    assert ends(slider(named["rmsprop"].hyperparameters["gamma"])) == [0.0, 1.0]


def test_a_hyperparameter_of_any_sign_is_linear_about_its_default() -> None:
    assert slider(Hyperparameter("a", 3.0, domain_of(Real) or REAL)) == {"kind": "linear", "left": 0.0, "right": 6.0}
    own = domain_of(Annotated[float, Domain("a number ≥ -2", lambda x: x >= -2, example=-1.0)])
    assert own is not None
    assert ends(slider(Hyperparameter("a", None, own)))[0] == -2
