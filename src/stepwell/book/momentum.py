"""Momentum: steps along a leaky sum of the gradients, v ← βv + g.

Across a ravine gradients change their sign and cancel in the sum; along it they agree and add up, to 1/(1-β) times one.
So a rate that makes gradient descent leap from wall to wall is a good one: a quadratic's coordinate of curvature λ
converges while ηλ < 2 + 2β, where without momentum it is 2.
"""

import numpy as np

from stepwell import rules
from stepwell.book import airfoil
from stepwell.book.section import Page, Section
from stepwell.functions import minimize, surfaces, theory
from stepwell.pages import plots

section = Section("momentum", "Momentum", __doc__)
START = surfaces.ravine.start
SETTINGS = [
    airfoil.Setting(f"η = {lr:g}, β = {beta:g}", rules.momentum, {"lr": lr, "beta": beta}, edges)
    for lr, beta, edges in (
        (0.02, 0.5, "0.242 to 0.251"), (0.01, 0.9, "0.244 to 0.254"), (0.005, 0.9, "0.242 to 0.250"),
    )
]  # fmt: skip


@section.experiment
def ravine(page: Page) -> None:
    """.1x₁² + 2x₂² from (-5, -2), 20 steps: no rate suits gradient descent; momentum of .5 makes η = .6 converge.

    At η = .4 gradient descent creeps along x₁, at η = .6 it diverges along x₂.
    """
    panels = []
    for lr, book in {0.4: "-.943467, -.000073", 0.6: "-.387814, -1673.365"}.items():
        found = minimize(surfaces.ravine, START, lr=lr, steps=20)
        page.number(f"gradient descent, η = {lr:g}", found.x, book)
        way = [plots.Line("gradient descent", found.path, rule="gradient_descent")]
        panels.append(plots.paths(surfaces.ravine, way, f"η = {lr:g}", (-6, 1), (-4, 4)))
    for beta, book in {0.5: ".007188, .002553", 0.25: "-.126340, -.186632"}.items():
        found = minimize(surfaces.ravine, START, "momentum", lr=0.6, beta=beta, steps=20)
        page.number(f"momentum, η = .6, β = {beta:g}", found.x, book)
        way = [plots.Line(f"momentum, β = {beta:g}", found.path, rule="momentum")]
        panels.append(plots.paths(surfaces.ravine, way, f"η = .6, β = {beta:g}", (-6, 1), (-4, 4)))
    none = minimize(surfaces.ravine, START, "momentum", lr=0.4, beta=0.0, steps=20)
    plain = minimize(surfaces.ravine, START, lr=0.4, steps=20)
    page.claim("β = 0 is gradient descent", np.array_equal(none.path, plain.path))
    page.figure("ravine", plots.figure("A ravine, 20 steps", *panels))


@section.experiment
def weights(page: Page) -> None:
    """The weight of a gradient τ steps ago in the velocity is β^τ, and all weights sum to 1/(1-β)."""
    curves = []
    for beta in (0.95, 0.9, 0.6, 0.0):
        found = theory.average_weights("momentum", 40, beta=beta)
        curves.append(plots.Line(f"β = {beta:g}", found))
        page.claim(f"β = {beta:g}: β^τ", np.allclose(found, beta ** np.arange(40.0)), f"{found[1]:.4g} at τ = 1")
        total = theory.average_weights("momentum", 600, beta=beta).sum()
        page.claim(f"β = {beta:g}: their sum is 1/(1-β)", np.isclose(total, 1 / (1 - beta)), f"{total:.6g}")
    page.measured("half-life of a gradient at β = .9, in steps", theory.half_life(0.9))
    panel = plots.lines(curves, "found by feeding the rule one gradient", "steps ago, τ", "weight")
    page.figure("weights", plots.figure("What a velocity remembers", panel))


@section.experiment
def scalar(page: Page) -> None:
    """½λx² from 1: at η = .1 gradient descent is (1 - .1λ)ᵗ. It slows down past ηλ = 1, and diverges only past 2."""
    curves = []
    for curvature in (0.1, 1.0, 10.0, 19.0):
        f = surfaces.quadratic([[curvature]])
        path = minimize(f, [1.0], lr=0.1, steps=20).path[:, 0]
        off = np.abs(path - (1 - 0.1 * curvature) ** np.arange(21)).max()
        page.claim(f"λ = {curvature:g}: (1 - .1λ)ᵗ", off < 1e-9, f"{path[-1]:.4g} after 20 steps")
        curves.append(plots.Line(f"λ = {curvature:g}", path))
    panel = plots.lines(curves, "η = .1", "step t", "x")
    page.figure("scalar", plots.figure("Gradient descent on ½λx²", panel))


@section.experiment
def convergence(page: Page) -> None:
    """Where it converges: the spectral radius of an update, over ηλ and β; the line is where it is 1, at ηλ = 2 + 2β.

    The update of (v, x) on ½λx² is the matrix [[β, λ], [-ηβ, 1-ηλ]], with determinant β: inside the region where its
    eigenvalues are complex, the radius is √β, whatever the curvature.
    """
    products, betas = np.linspace(0.05, 4.2, 84), np.linspace(0.0, 0.96, 33)
    radius = np.array([[theory.stability("momentum", 1.0, k, beta=b).radius for k in products] for b in betas])
    limits = np.array([theory.stability_limit("momentum", beta=b) for b in betas])
    page.claim("stable up to ηλ = 2 + 2β", np.allclose(limits, 2 + 2 * betas, rtol=1e-9),
               f"{limits[0]:.4g} at β = 0, {limits[-1]:.4g} at β = .96")  # fmt: skip
    found = theory.stability("momentum", 0.6, [0.2, 4.0], beta=0.5)
    page.number("spectral radius at η = .6, β = .5, λ = .2 and 4", found.radius, ".7071")
    page.claim("the matrix's determinant is β", np.isclose(np.linalg.det(found.matrix), 0.5))
    edge = [theory.stability("momentum", 1.0, 2 + 2 * b, beta=b).radius for b in betas]
    page.claim("the radius is 1 at the upper edge", np.allclose(edge, 1, atol=1e-6))
    labels = ("ηλ", "β", "spectral radius")
    panel = plots.heat(products, betas, radius, "errors shrink by this a step; 1 on the line", labels, edge=1.0)
    page.figure("convergence", plots.figure("Momentum on ½λx²", panel))


@section.in_any_framework
def framework(page: Page) -> None:
    """Airfoil in the framework asked for, from scratch and concise."""
    airfoil.elsewhere(page, SETTINGS)


@section.experiment
def training(page: Page) -> None:
    """Airfoil, batches of 10, at three rates and momenta; the class is torch's SGD.

    A momentum of .9 is a rate ten times as large in the long run: .01 is too much for two epochs, .005 is better.
    """
    from stepwell.torch import SGD

    task, curves = airfoil.load(page), []
    for setting in SETTINGS:
        named = {"lr": setting.hyper["lr"], "momentum": setting.hyper["beta"]}
        runs, _ = airfoil.both(page, task, setting, lambda seed, own=named: airfoil.concise(task, SGD, seed, **own))
        curves.append(airfoil.curve(setting.what, runs, "momentum"))
    last = [airfoil.from_scratch(task, rules.momentum, seed, lr=0.01, beta=0.9).loss for seed in range(20, 50)]
    page.measured(
        "η = .01, β = .9: share of 30 other seeds that end above .254", float(np.mean(np.array(last) > 0.254))
    )
    panels = [airfoil.panel(task, curve.label, [curve]) for curve in curves]
    page.figure("training", plots.figure("Airfoil: median and range over seeds", *panels, columns=3))


@section.experiment
def grid(page: Page) -> None:
    """Exercise: rates and momenta on ½Σλᵢxᵢ², λᵢ = 2⁻ⁱ, i = 1 … 8, from ones: the loss after 100 steps.

    The flattest direction has 1/128 of the steepest one's curvature; to get along it in 100 steps needs both, a rate
    near the edge and much momentum.
    """
    f = surfaces.powers_of_two(8)
    rates, betas = np.linspace(0.5, 8.0, 16), np.append(np.linspace(0.0, 0.95, 20), 0.98)
    start = np.ones(8)
    loss = np.array([[f(minimize(f, start, "momentum", lr=lr, beta=b, steps=100).x) for lr in rates] for b in betas])
    best = np.unravel_index(np.nanargmin(loss), loss.shape)
    plain = np.nanmin(loss[0])
    lr, beta = rates[best[1]], betas[best[0]]
    steep, flat = 0.5, 0.5**8
    kappa_root = np.sqrt(steep / flat)
    ideal = 4 / (np.sqrt(steep) + np.sqrt(flat)) ** 2, ((kappa_root - 1) / (kappa_root + 1)) ** 2
    page.claim("the best of the grid is next to Polyak's η = 4/(√λ₁+√λₙ)², β = ((√κ-1)/(√κ+1))²",
               abs(lr - ideal[0]) <= 0.75 and abs(beta - ideal[1]) <= 0.05,
               f"({lr:g}, {beta:g}) beside ({ideal[0]:.3g}, {ideal[1]:.3g})")  # fmt: skip
    page.claim(
        "with momentum the best is far lower", loss[best] < 1e-6 * plain, f"{loss[best]:.0e} against {plain:.0e}"
    )
    curvatures = np.diag(f.hessian(start))
    unstable = [[not theory.stability("momentum", lr, curvatures, beta=b).stable for lr in rates] for b in betas]
    rose = ~(loss < 100 * f(start))
    page.claim("where f rose a hundredfold, the spectral radius is 1 or more", not np.any(rose & ~np.array(unstable)),
               f"{rose.sum()} of {rose.size} such, {np.sum(unstable)} unstable")  # fmt: skip
    shown = np.log10(np.clip(np.nan_to_num(loss, nan=np.inf), 1e-8, 10.0))
    panel = plots.heat(rates, betas, shown, "from ones, 100 steps", ("learning rate η", "β", "log₁₀ f"))
    page.figure("grid", plots.figure("Momentum on ½Σ2⁻ⁱxᵢ²", panel))
