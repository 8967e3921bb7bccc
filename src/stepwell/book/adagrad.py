"""Adagrad: a rate for each coordinate, which falls with the gradients that the coordinate has had.

Features that are rare get large steps when they come, frequent ones small steps. The root of the sum of squared
gradients stands in for the curvature's diagonal, at no more cost than the gradient; the price is a rate that only
falls, as η/√t where the gradients stay alike.
"""

import numpy as np

from stepwell import rules
from stepwell.book import airfoil
from stepwell.book.section import Page, Section
from stepwell.functions import minimize, surfaces, theory
from stepwell.pages import plots
from stepwell.rule import NonNegative, Rate, Share, rule, sqrt

section = Section("adagrad", "Adagrad", __doc__)
START = surfaces.ravine.start
RULE = "adagrad_eps_inside"
SETTINGS = [airfoil.Setting("", rules.adagrad_eps_inside, {"lr": 0.1}, "0.242 to 0.246")]


@rule
def adagrad_gentle(g, s, t, *, lr: Rate = 0.1, ease: Share = 0.5, eps: NonNegative = 1e-6):
    """Adagrad with a gentler decay: its sum of squares is divided by t^ease, so that η/√t becomes η/t^((1-ease)/2)."""
    s = s + g**2
    return lr * g / sqrt(s / t**ease + eps), s


@section.experiment
def ravine(page: Page) -> None:
    """.1x₁² + 2x₂² from (-5, -2), 20 steps: at η = .4 the rate has fallen before the minimum is near; η = 2 gets there.

    At a rate of .6 gradient descent diverges on this surface; Adagrad bears 2 in both coordinates.
    """
    panels = []
    for lr, book in {0.4: "-2.382563, -.158591", 2.0: "-.002295, .000000"}.items():
        found = minimize(surfaces.ravine, START, RULE, lr=lr, steps=20)
        page.number(f"η = {lr:g}: (x₁, x₂) after 20 steps", found.x, book)
        panels.append(plots.paths(surfaces.ravine, [plots.Line("20 steps", found.path, rule=RULE)], f"η = {lr:g}"))
    page.figure("ravine", plots.figure("Adagrad on .1x₁² + 2x₂²", *panels))


@section.experiment
def decay(page: Page) -> None:
    """At a constant gradient the t-th step is η/√t, whatever the gradient's size."""
    g = np.tile([0.01, 1.0, 100.0], (100, 1))
    steps = g * theory.effective_rate(RULE, g, lr=1.0, eps=0.0)
    off = np.abs(steps - 1 / np.sqrt(np.arange(1, 101))[:, None]).max()
    page.claim("step t is η/√t for gradients of .01, 1 and 100", off < 1e-12, f"at most {off:.0e} off")


@section.in_any_framework
def framework(page: Page) -> None:
    """Airfoil in the framework asked for, from scratch and concise."""
    airfoil.elsewhere(page, SETTINGS)


@section.experiment
def training(page: Page) -> None:
    """Airfoil at η = .1, and the same rule as a class; torch's own Adagrad has ε outside the root."""
    from stepwell.torch import Adagrad

    task, edges = airfoil.load(page), SETTINGS[0].edges
    runs, _ = airfoil.both(page, task, SETTINGS[0], called="AdagradEpsInside")
    named = airfoil.band(page, "torch's Adagrad", lambda seed: airfoil.concise(task, Adagrad, seed, lr=0.1), edges)
    page.measured("ε = 1e-6 under the root, 1e-10 beside it: losses apart by at most", airfoil.apart(runs, named))
    curves = [airfoil.curve("Adagrad, η = .1", runs, RULE)]
    page.figure("training", plots.figure("Airfoil: median and range over seeds", airfoil.panel(task, "b = 10", curves)))


@section.experiment
def rotation(page: Page) -> None:
    """Exercise: the same objective turned by 45°, start and all. Gradient descent takes the same way, Adagrad another.

    Only where curvature lies along the axes can a rate for each axis undo it.
    """
    turned = surfaces.rotated(surfaces.ravine)
    c = np.sqrt(0.5)
    R = np.array([[c, -c], [c, c]])
    panels = []
    for name, lr in {"gradient_descent": 0.4, RULE: 0.4}.items():
        plain = minimize(surfaces.ravine, START, name, lr=lr, steps=20)
        other = minimize(turned, R @ START, name, lr=lr, steps=20)
        back = other.path @ R
        off = float(np.abs(back - plain.path).max())
        if name == RULE:
            page.claim("Adagrad is not invariant to a rotation", off > 0.1, f"the ways part by {off:.3f}")
            page.measured("Adagrad, η = .4: f after 20 steps, as it was", plain.fun)
            page.measured("Adagrad, η = .4: f after 20 steps, turned by 45°", other.fun)
        else:
            page.claim("gradient descent is", off < 1e-12, f"the ways part by {off:.0e}")
        ways = [
            plots.Line("as it was", plain.path, rule=name),
            plots.Line("turned, shown turned back", back, rule=name),
        ]
        panels.append(plots.paths(surfaces.ravine, ways, name.replace("_eps_inside", "").replace("_", " ")))
    page.figure("rotation", plots.figure("Turned by 45°, η = .4, 20 steps", *panels))


@section.experiment
def preconditioning(page: Page) -> None:
    """Exercise: Gershgorin's discs of a matrix before and after it is scaled by its own diagonal.

    diag^-½ Q diag^-½ has ones on its diagonal, so that all discs are about 1; where their radii are below 1, they prove
    the matrix well conditioned. The axes of a turned ravine are not the coordinates', and there scaling does nothing.
    """
    aligned = surfaces.ravine.hessian(START)
    coupled = np.array([[4.0, 0.2, 0.1], [0.2, 0.3, -0.05], [0.1, -0.05, 0.1]])
    turned = surfaces.rotated(surfaces.ravine).hessian(START)
    rows = []
    for name, Q in {"ravine": aligned, "three coupled axes": coupled, "ravine turned by 45°": turned}.items():
        scaled = theory.precondition(Q)
        discs, eigenvalues = theory.gershgorin(scaled), np.linalg.eigvalsh(scaled)
        page.claim(f"{name}: ones on the diagonal, and the discs hold the eigenvalues",
                   np.allclose(np.diag(scaled), 1) and bool(discs.contain(eigenvalues).all()))  # fmt: skip
        reach = f"{(discs.centres - discs.radii).min():.3f} to {(discs.centres + discs.radii).max():.3f}"
        kappa, scaled_kappa = theory.condition_number(Q), theory.condition_number(scaled)
        rows.append((name, f"{kappa:.2f}", f"{scaled_kappa:.2f}", reach))
    page.table(["matrix", "condition number", "after scaling", "discs after scaling"], rows)
    page.claim("where the axes are aligned, it becomes the identity",
               np.array_equal(theory.precondition(aligned), np.eye(2)))  # fmt: skip
    kappa, scaled_kappa = theory.condition_number(turned), theory.condition_number(theory.precondition(turned))
    page.claim("where they are turned by 45°, nothing is won", bool(np.isclose(kappa, scaled_kappa)))


@section.experiment
def gentler(page: Page) -> None:
    """Exercise: a gentler decay. Dividing the sum by t^ease leaves η/t^((1-ease)/2): Adagrad at 0, no decay at 1."""
    eases = (0.0, 0.25, 0.5, 0.75, 1.0)
    f, setting = surfaces.ravine, {"lr": 0.4, "steps": 60}
    runs = {ease: f(minimize(f, START, adagrad_gentle, ease=ease, **setting).path) for ease in eases}
    plain = f(minimize(f, START, RULE, **setting).path)
    page.claim("ease 0 is Adagrad", np.allclose(runs[0.0], plain, rtol=1e-12, atol=0))
    task = airfoil.load(page)
    losses = {ease: airfoil.from_scratch(task, adagrad_gentle, lr=0.1, ease=ease).loss for ease in eases}
    page.table(["ease", "ravine, η = .4: f after 20 steps", "airfoil, η = .1: loss after 2 epochs"],
               [(f"{e:g}", f"{runs[e][20]:.2e}", f"{losses[e]:.4f}") for e in eases])  # fmt: skip
    page.say("On airfoil, whose gradients are noisy, the rate should fall: there a gentler decay ends with more loss.")
    falls = [runs[ease][20] for ease in eases]
    page.claim("on the ravine, the gentler the decay the lower f after 20 steps", bool(np.all(np.diff(falls) < 0)))
    curves = [plots.Line(f"ease {ease:g}", values) for ease, values in runs.items()]
    panel = plots.lines(curves, "η = .4", "step", "f", log="y", ylim=(1e-12, 30))
    page.figure("gentler", plots.figure("Adagrad with gentler decays on .1x₁² + 2x₂²", panel))
