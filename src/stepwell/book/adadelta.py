"""Adadelta: no learning rate, but steps of the size that steps have had, over gradients of the size that they have had.

Its second state is an average of the squared steps themselves. So a step comes in the units of the parameter, and how
large the first steps are is up to ε: √(ε/(1-ρ)), .01 at the book's ρ = .9 and ε = 1e-5.
"""

from typing import Any

import numpy as np

from stepwell import rules
from stepwell.book import airfoil
from stepwell.book.section import Page, Section
from stepwell.functions import minimize, surfaces
from stepwell.pages import plots
from stepwell.rule import NonNegative, Share, rule, sqrt

section = Section("adadelta", "Adadelta", __doc__)
START = surfaces.ravine.start
EPS = 1e-5
BOOK: dict[str, Any] = {"rho": 0.9, "eps": EPS}
SETTINGS = [airfoil.Setting("", rules.adadelta, BOOK, airfoil.EDGE)]


@rule
def adadelta_in_place(g, s, d, *, rho: Share = 0.9, eps: NonNegative = EPS):
    """Adadelta without a name for the rescaled gradient: its square, ratio·g², goes into d directly."""
    s = rho * s + (1 - rho) * g**2
    ratio = (d + eps) / (s + eps)
    return sqrt(ratio) * g, s, rho * d + (1 - rho) * ratio * g**2


@section.experiment
def first_steps(page: Page) -> None:
    """The first step is about .01·sgn g, whatever the gradient: √ε/√((1-ρ)g² + ε)·g."""
    gradients = np.array([-100.0, -1.0, 0.1, 10.0])
    step, *_ = rules.adadelta(gradients, 0.0, 0.0, eps=EPS)
    page.claim("≈ .01·sgn g for g = -100, -1, .1 and 10", np.allclose(step, 0.01 * np.sign(gradients), rtol=0.01),
               ", ".join(f"{x:.5f}" for x in step))  # fmt: skip


@section.in_any_framework
def framework(page: Page) -> None:
    """Airfoil in the framework asked for, from scratch and concise."""
    airfoil.elsewhere(page, SETTINGS)


@section.experiment
def training(page: Page) -> None:
    """Airfoil at ρ = .9, ε = 1e-5, and torch's class, whose formula it is; ε is 1e-6 there unless said, its rate 1."""
    from stepwell.torch import Adadelta

    task = airfoil.load(page)
    runs, _ = airfoil.both(page, task, SETTINGS[0], lambda seed: airfoil.concise(task, Adadelta, seed, **BOOK))
    default = [airfoil.concise(task, Adadelta, seed) for seed in range(page.options.seeds)]
    page.measured("torch's defaults, ε = 1e-6: median loss", float(np.median([run.loss for run in default])))
    curves = [airfoil.curve("ε = 1e-5", runs, "adadelta"), airfoil.curve("ε = 1e-6, torch's", default, "adadelta")]
    panel = airfoil.panel(task, "b = 10, ρ = .9", curves)
    page.figure("training", plots.figure("Airfoil: median and range over seeds", panel))


@section.experiment
def forgetting(page: Page) -> None:
    """Exercise: ρ. It sets how long both averages are, and through ε/(1-ρ) how large the first steps are."""
    task, f = airfoil.load(page), surfaces.ravine
    rows, curves, ways, firsts = [], [], [], {}
    for rho in (0.5, 0.8, 0.9, 0.95, 0.99):
        runs = [
            airfoil.from_scratch(task, rules.adadelta, seed, rho=rho, eps=EPS) for seed in range(page.options.seeds)
        ]
        path = minimize(f, START, "adadelta", rho=rho, eps=EPS, steps=500).path
        first = rules.adadelta(1.0, 0.0, 0.0, rho=rho, eps=EPS)[0]
        firsts[rho] = first
        rows.append((f"{rho:g}", f"{first:.4f}", f"{np.median([run.loss for run in runs]):.4f}", f"{f(path[500]):.1e}"))
        curves.append(airfoil.curve(f"ρ = {rho:g}", runs))
        ways.append(plots.Line(f"ρ = {rho:g}", f(path)))
    page.table(["ρ", "first step", "airfoil: median loss", "ravine: f after 500 steps"], rows)
    small = all(np.isclose(first, np.sqrt(EPS / (1 - rho + EPS))) for rho, first in firsts.items())
    page.claim("the first step at g = 1 is √(ε/(1-ρ+ε)): the longer the averages, the larger", small)
    panels = [
        airfoil.panel(task, "airfoil: median and range", curves),
        plots.lines(ways, "ravine .1x₁² + 2x₂²", "step", "f", log="y", ylim=(1e-4, 30)),
    ]
    page.figure("forgetting", plots.figure("Adadelta, ε = 1e-5", *panels))


@section.experiment
def without_rescaled(page: Page) -> None:
    """Exercise: Adadelta without g'. Written out, the rescaled gradient needs no array of its own; the steps are equal.

    And without its rescaling by past steps, Adadelta is RMSProp at the rate √ε: steps that never grow.
    """
    g = np.random.default_rng(0).normal(size=(300, 4)) * np.geomspace(1e-3, 1e3, 4)
    s, d, s_in_place, d_in_place, off = 0.0, 0.0, 0.0, 0.0, 0.0
    for row in g:
        step, s, d = rules.adadelta(row, s, d, eps=EPS)
        other, s_in_place, d_in_place = adadelta_in_place(row, s_in_place, d_in_place)
        off = max(off, float(np.abs(other / step - 1).max()))
    page.claim("without g' it takes the same steps", off < 1e-12, f"at most {off:.0e} apart, relative, in 300 steps")
    task = airfoil.load(page)
    full = airfoil.from_scratch(task, rules.adadelta, **BOOK)
    short = airfoil.from_scratch(task, adadelta_in_place, **BOOK)
    airfoil.same(page, "with g' and without, on airfoil", [full], [short])
    fixed = airfoil.from_scratch(task, rules.rmsprop_eps_inside, lr=np.sqrt(EPS), gamma=0.9, eps=EPS)
    page.measured("airfoil, without the rescaling by past steps: loss", fixed.loss)
    page.measured("airfoil, Adadelta: loss", full.loss)
