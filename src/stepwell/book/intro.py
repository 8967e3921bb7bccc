"""Optimization and deep learning: what is minimized is not what is meant, and what stands in the way.

Training lowers the empirical risk, which is only near the risk that counts. On the way lie local minima, saddle points
and places where the gradient all but vanishes.
"""

import numpy as np

from stepwell.book.section import Page, Section
from stepwell.functions import minimize, surfaces, theory
from stepwell.pages import plots

section = Section("intro", "Optimization and deep learning", __doc__)


@section.experiment
def risk(page: Page) -> None:
    """Risk and empirical risk: x·cos πx, and with .2·cos 5πx, on [.5, 1.5]; their minima lie apart."""
    curves, grid = [], np.linspace(0.5, 1.5, 301)
    for surface, book in ((surfaces.risk, "1.0904, -1.0467"), (surfaces.empirical_risk, "1.0170, -1.2085")):
        found = minimize(surface, 1.05, method="newton_abs", steps=50, tol=1e-12)
        page.number(f"{surface.about}: x and f at the minimum", [found.x, found.fun], book)
        curves.append(plots.Line(surface.name.replace("_", " "), surface(grid[:, None]), grid))
        curves.append(plots.Line(f"its minimum, {found.x:.4f}", [found.fun], [found.x], marker="o"))
    panel = plots.lines(curves, "risk and empirical risk", "x", "risk")
    page.figure("risk", plots.figure("What is trained is not what is meant", panel))


@section.experiment
def local_minima(page: Page) -> None:
    """Local minima: x·cos πx on [-1, 2] has two minima; which one a descent finds depends on where it starts."""
    surface = surfaces.local_minimum
    left = minimize(surface, -0.8, lr=0.05, steps=2000, tol=1e-10)
    right = minimize(surface, 0.8, lr=0.05, steps=2000, tol=1e-10)
    page.number("local minimum: x and f", [left.x, left.fun], "-0.2739, -0.1786")
    page.number("global minimum: x", right.x, "1.0904")
    ways = [plots.Line("from -0.8", left.path[:15]), plots.Line("from 0.8", right.path[:15])]
    page.figure(
        "local_minima", plots.figure("Two starts, two minima", plots.descent(surface, ways, "x·cos πx", (-1, 2)))
    )


@section.experiment
def saddle_points(page: Page) -> None:
    """Saddle points: x³ and x₁² - x₂² are flat at 0 and have no minimum there; the Hessian's signs tell."""
    kinds = [
        ("x³ at 0", theory.critical_point(surfaces.cubic, 0.0), "degenerate"),
        ("x₁² - x₂² at 0", theory.critical_point(surfaces.saddle, (0.0, 0.0)), "saddle"),
        ("x₁² + 2x₂² at 0", theory.critical_point(surfaces.bowl, (0.0, 0.0)), "minimum"),
        ("cos πx at 0", theory.critical_point(surfaces.cosine, 0.0), "maximum"),
    ]
    for what, got, expected in kinds:
        page.claim(f"{what}: {expected}", str(got) == expected, f"found: {got}")
    start = (0.9, 1e-6)
    plain = minimize(surfaces.saddle, start, lr=0.1, steps=60)
    page.measured("steps that gradient descent stays within .1 of the saddle, from (.9, 1e-6), η = .1",
                  str(int((np.linalg.norm(plain.path, axis=1) < 0.1).sum())))  # fmt: skip
    way = plots.Line("gradient descent", plain.path[np.abs(plain.path).max(axis=1) < 1.1], rule="gradient_descent")
    page.figure("saddle", plots.figure("A saddle holds a descent up", plots.paths(surfaces.saddle, [way], "x₁² - x₂²")))


@section.experiment
def vanishing_gradients(page: Page) -> None:
    """Vanishing gradients: the slope of tanh at 4 is .0013, so that a descent from there hardly moves."""
    page.number("tanh′(4)", surfaces.tanh.gradient(4.0), "0.00134095")
    stuck = minimize(surfaces.tanh, 4.0, lr=0.1, steps=100)
    page.measured("x after 100 steps at η = .1, from 4", float(stuck.x))
    grid = np.linspace(-2, 5, 301)
    curves = [plots.Line("tanh x", surfaces.tanh(grid[:, None]), grid),
              plots.Line("its slope", np.ravel(surfaces.tanh.gradient(grid[:, None])), grid)]  # fmt: skip
    panel = plots.lines(curves, "tanh and its slope", "x", "value")
    page.figure("vanishing", plots.figure("Where tanh is flat, descent stands still", panel))
