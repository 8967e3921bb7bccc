"""RMSProp: Adagrad's scale for each coordinate, but from a leaky average, so that it follows the gradient and not time.

Adagrad's sum only grows, and its rate falls whether it should or not. With an average of recent squared gradients the
scale is one thing, and how the rate falls another, left to a schedule.
"""

from typing import Any

import numpy as np

from stepwell import rules
from stepwell.book import airfoil
from stepwell.book.section import Page, Section
from stepwell.functions import minimize, surfaces, theory
from stepwell.pages import plots
from stepwell.rule import NonNegative, Rate, rule, sqrt

section = Section("rmsprop", "RMSProp", __doc__)
START = surfaces.ravine.start
RULE = "rmsprop_eps_inside"
BOOK: dict[str, Any] = {"lr": 0.01, "gamma": 0.9}
SETTINGS = [airfoil.Setting("", rules.rmsprop_eps_inside, BOOK, "0.242 to 0.249")]


@rule
def rmsprop_adapting(g, s, t, *, lr: Rate = 1e-2, power: NonNegative = 1.0, eps: NonNegative = 1e-6):
    """RMSProp with γ = 1 - 1/t^power: an average over more and more steps, which no first step biases."""
    gamma = 1 - 1 / t**power
    s = gamma * s + (1 - gamma) * g**2
    return lr * g / sqrt(s + eps), s


@section.experiment
def ravine(page: Page) -> None:
    """.1x₁² + 2x₂² from (-5, -2), 20 steps, η = .4, γ = .9: Adagrad at this rate is still at -2.38 in x₁."""
    found = minimize(surfaces.ravine, START, RULE, lr=0.4, gamma=0.9, steps=20)
    page.number("η = .4, γ = .9: (x₁, x₂) after 20 steps", found.x, "-.010599, .000000")
    other = minimize(surfaces.ravine, START, "adagrad_eps_inside", lr=0.4, steps=20)
    ways = [
        plots.Line("RMSProp, γ = .9", found.path, rule=RULE),
        plots.Line("Adagrad", other.path, rule="adagrad_eps_inside"),
    ]
    page.figure("ravine", plots.figure("A ravine, 20 steps", plots.paths(surfaces.ravine, ways, "η = .4")))


@section.experiment
def weights(page: Page) -> None:
    """The weight of a squared gradient τ steps ago is (1-γ)γ^τ; all weights sum to 1.

    Half of a gradient's weight is gone after ln 2/-ln γ steps, 6.58 at γ = .9; 1/(1-γ) = 10 is the mean age plus one.
    """
    curves = []
    for gamma in (0.95, 0.9, 0.8, 0.7):
        found = theory.average_weights(RULE, 400, state="s", gamma=gamma)
        ages = np.arange(400)
        page.claim(f"γ = {gamma:g}: (1-γ)γ^τ, which sum to 1",
                   np.allclose(found, (1 - gamma) * gamma**ages) and np.isclose(found.sum(), 1),
                   f"{found[0]:.3g}, {found[1]:.3g}, {found[2]:.3g}, …")  # fmt: skip
        curves.append(plots.Line(f"γ = {gamma:g}", found[:40]))
    page.number("half-life at γ = .9, in steps", theory.half_life(0.9), "6.58")
    first = rules.rmsprop_eps_inside(7.0, 0.0, lr=1.0, gamma=0.9)[0]
    page.number("the first step at γ = .9, over η", first, "3.16")
    panel = plots.lines(curves, "found by feeding the rule one gradient", "steps ago, τ", "weight of g²")
    page.figure("weights", plots.figure("What the scale remembers", panel))


@section.in_any_framework
def framework(page: Page) -> None:
    """Airfoil in the framework asked for, from scratch and concise."""
    airfoil.elsewhere(page, SETTINGS)


@section.experiment
def training(page: Page) -> None:
    """Airfoil at η = .01, γ = .9, and the same rule as a class.

    torch's RMSprop has ε outside the root, and its alpha, the book's γ, is .99 by default. Its average starts ten times
    as low, so that its first step is 10η and not 3.16η: a faster start.
    """
    from stepwell.torch import RMSprop

    task, edges = airfoil.load(page), SETTINGS[0].edges
    runs, _ = airfoil.both(page, task, SETTINGS[0], called="RmspropEpsInside")
    named = airfoil.band(
        page,
        "torch's RMSprop, alpha = .9",
        lambda seed: airfoil.concise(task, RMSprop, seed, lr=0.01, alpha=0.9),
        edges,
    )
    page.measured("ε = 1e-6 under the root, 1e-8 beside it: losses apart by at most", airfoil.apart(runs, named))
    default = [airfoil.concise(task, RMSprop, seed, lr=0.01) for seed in range(page.options.seeds)]
    page.measured("torch's RMSprop, alpha = .99, its default: median loss", float(np.median([r.loss for r in default])))
    early = np.array([[run.losses[1] for run in each] for each in (runs, default)])
    medians = "{:.3f} against {:.3f} (medians)".format(*np.median(early[::-1], axis=1))
    page.claim("alpha = .99 starts faster: less loss after 200 samples", bool((early[1] < early[0]).all()), medians)
    curves = [
        airfoil.curve("γ = .9", runs, RULE),
        airfoil.curve("torch's RMSprop, alpha = .99", default, "rmsprop"),
    ]
    panel = airfoil.panel(task, "b = 10, η = .01", curves)
    page.figure("training", plots.figure("Airfoil: median and range over seeds", panel))


@section.experiment
def no_forgetting(page: Page) -> None:
    """Exercise: γ = 1. Nothing ever enters the average; the scale stays √ε, and the rule is gradient descent at η/√ε.

    With ε = 1e-6 that is a rate a thousand times η.
    """
    lr, eps = 0.4e-3, 1e-6
    found = minimize(surfaces.ravine, START, RULE, lr=lr, gamma=1.0, eps=eps, steps=20)
    plain = minimize(surfaces.ravine, START, lr=lr / np.sqrt(eps), steps=20)
    off = np.abs(found.path - plain.path).max()
    page.claim("γ = 1 is gradient descent at η/√ε", off < 1e-9, f"η = .0004: the ways part by {off:.0e}")
    wild = minimize(surfaces.ravine, START, RULE, lr=0.4, gamma=1.0, steps=20)
    page.claim("so at η = .4 it diverges", not wild.success, f"f = {surfaces.ravine(wild.path[-1]):.1e} after 20 steps")


@section.experiment
def adapting(page: Page) -> None:
    """Exercise: γ closer to 1 as time passes, 1 - 1/t^power.

    At power 1 the average is the plain mean of all squares so far, which is Adagrad at a rate of η√t; at power 0 it is
    the last square alone, and each step is η·sgn g. In between it forgets, but ever less.
    """
    powers, g = (0.0, 0.5, 0.8, 1.0), np.random.default_rng(0).normal(size=(200, 3))
    root = np.sqrt(np.arange(1, 201))[:, None]
    exact = {"eps": 0.0, "lr": 1.0}
    adagrad = theory.effective_rate("adagrad_eps_inside", g, **exact) * root
    mean = theory.effective_rate(rmsprop_adapting, g, power=1.0, **exact)
    page.claim("at power 1 it is Adagrad at rate η√t", np.allclose(mean, adagrad, rtol=1e-12))
    signs = theory.effective_rate(rmsprop_adapting, g, power=0.0, **exact) * g
    page.claim("at power 0 each step is η·sgn g", np.allclose(signs, np.sign(g), rtol=1e-12))
    task, f, curves, rows = airfoil.load(page), surfaces.ravine, [], []
    kinds = {f"γ = 1 - 1/t^{power:g}": (rmsprop_adapting, {"power": power}) for power in powers}
    for name, (kind, hyper) in {"γ = .9": (rules.rmsprop_eps_inside, {}), **kinds}.items():
        path = minimize(f, START, kind, lr=0.4, steps=60, **hyper).path
        ends = [airfoil.from_scratch(task, kind, seed, lr=0.01, **hyper).loss for seed in range(page.options.seeds)]
        rows.append((name, f"{f(path[20]):.1e}", f"{f(path[60]):.1e}", f"{np.median(ends):.4f}"))
        curves.append(plots.Line(name, f(path), rule=RULE if kind is rules.rmsprop_eps_inside else None))
    columns = ["", "ravine, η = .4: f after 20", "after 60", "airfoil, η = .01: median loss"]
    page.table(columns, rows)
    page.say(
        "At a fixed γ the descent is thrown back near the minimum: s has forgotten all but ε there, and η/√ε = 400."
    )
    panel = plots.lines(curves, "η = .4", "step", "f", log="y", ylim=(1e-12, 30))
    page.figure("adapting", plots.figure("An average that grows longer, on .1x₁² + 2x₂²", panel))
