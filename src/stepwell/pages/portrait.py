"""Two pictures of a rule: the way it takes down the ravine, and the rates at which it is stable."""

from typing import TYPE_CHECKING

import numpy as np

from stepwell.domain import Decay, Share, domain_of
from stepwell.functions import minimize, surfaces, theory
from stepwell.pages import plots
from stepwell.rule import Rule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATE = 0.4
"""The rate of the book's descents on the ravine."""
STEPS = 20
PRODUCTS = np.geomspace(0.03, 60.0, 49)
"""η·λ, from far below gradient descent's limit of 2 to beyond that of Adam's kin at β₁ = .9, 38."""
DECAYS = np.linspace(0.01, 0.98, 25)
TOP = 2.0
"""Radii are drawn up to here."""
HELD = "Second moments stand at 1 after each step, as of a rule that has seen gradients of that size for long."
NEVER = "Its step does not shrink with the gradient, so at no rate does it settle: it ends in steps of one size."
READING = "On ½λx² the error shrinks by the spectral radius at each step, in the long run; the edge of stability is 1."


def path(rule: Rule) -> "Figure":
    """Its way down .1x₁² + 2x₂² from (-5, -2), and how the function falls."""
    found = minimize(surfaces.ravine, surfaces.ravine.start, rule, lr=RATE, steps=STEPS)
    ways = plots.paths(surfaces.ravine, [plots.Line("", found.path, rule=rule.name)], f"{len(found.path) - 1} steps")
    fall = plots.lines(
        [plots.Line("", found.values, rule=rule.name)], "How the function falls", "step", "f(x)", log="y"
    )
    return plots.figure(f"{rule.name}, η = {RATE:g}", ways, fall)


def stability(rule: Rule) -> tuple["Figure | None", str]:
    """Its spectral radius over ηλ, and over the decay that matters, if one does; with the words that belong to it.

    None for the figure where the radius is infinite at every rate.
    """
    held = _held(rule)
    if not np.isfinite(_radius(rule, 0.5, held)):
        return None, NEVER
    words = f"{READING} {HELD}" if held else READING
    decay = _main_decay(rule, held)
    if decay is None:
        radii = np.array([_radius(rule, product, held) for product in PRODUCTS])
        shown = np.where(radii <= TOP, radii, np.nan)
        curve = plots.Line("", shown, PRODUCTS, rule=rule.name)
        panel = plots.lines(
            [curve], rule.name, "ηλ", "spectral radius", log="x", ylim=(0.0, TOP), level=1.0, level_label="edge"
        )
        return plots.figure("Where it is stable", panel), words
    radii = [[_radius(rule, product, held, **{decay: value}) for product in PRODUCTS] for value in DECAYS]
    labels = ("ηλ", decay, f"spectral radius, {TOP:g} and more alike")
    panel = plots.heat(PRODUCTS, DECAYS, np.minimum(radii, TOP), rule.name, labels, log="x", edge=1.0)
    return plots.figure("Where it is stable: left of the white line", panel), words


def _radius(rule: Rule, product: float, held: dict[str, float], **hyper: float) -> float:
    settled = Rule(rule.formula)  # at rest it is forgotten where a state began, and from 0 all are soon at rest
    return theory.stability(settled, product, 1.0, state=held, **hyper).radius


def _held(rule: Rule) -> dict[str, float]:
    """The states that do not respond to a small change of the parameter and need not be 0: second moments, at 1."""
    moving = theory.stability(Rule(rule.formula), 0.5, 1.0).coordinates
    held: dict[str, float] = {}
    for name in (state for state in rule.state if state not in moving):
        try:
            theory.stability(Rule(rule.formula), 0.5, 1.0, state=held | {name: 1.0})
        except ValueError:
            continue  # a product of momenta, which goes to 0
        held[name] = 1.0
    return held


def _main_decay(rule: Rule, held: dict[str, float]) -> str | None:
    """The first of its decays on which the radius depends, if a state moves with the parameter."""
    if len(theory.stability(Rule(rule.formula), 0.5, 1.0, state=held).coordinates) == 1:
        return None
    decays = [h.name for h in rule.hyperparameters.values() if h.domain in (domain_of(Decay), domain_of(Share))]
    for name in decays:
        for product in (0.5, 3.0):  # inside and outside the edge of gradient descent
            if np.ptp([_radius(rule, product, held, **{name: value}) for value in (0.1, 0.5, 0.8)]) > 1e-6:
                return name
    return None
