"""Convexity: where every local minimum is the global one.

A function is convex if no chord lies below it; where it is twice differentiable, if its Hessian is nowhere negative.
Intersections of convex sets are convex; Jensen's inequality and projections rest on it.
"""

import numpy as np

from stepwell.book.section import Page, Section
from stepwell.functions import minimize, sets, surfaces, theory
from stepwell.functions.constraints import augmented_lagrangian, penalized
from stepwell.pages import plots

section = Section("convexity", "Convexity", __doc__)
SHAPES = {"half_square": ("½x²", True), "cosine": ("cos πx", False), "exponential": ("e^(x/2)", True)}


@section.experiment
def chords(page: Page) -> None:
    """Chord test and Hessian test: ½x² is convex, cos πx is not, e^(x/2) is."""
    panels = []
    grid = np.linspace(-2, 2, 301)
    for name, (formula, expected) in SHAPES.items():
        surface = surfaces.named[name]
        found = theory.is_convex(surface, surface.domain)
        evidence = found.evidence if found else f"counter-example: {found.counter_example}"
        page.claim(f"{formula}: {'convex' if expected else 'not convex'}", bool(found) is expected, evidence)
        ends = np.array([-1.5, 1.0])
        curves = [
            plots.Line("f", surface(grid[:, None]), grid),
            plots.Line("a chord", surface(ends[:, None]), ends, marker="o"),
        ]
        panels.append(plots.lines(curves, f"{formula}, {'convex' if expected else 'not convex'}", "x", "f(x)"))
    page.figure("chords", plots.figure("A convex function lies below its chords", *panels, columns=3))


@section.experiment
def jensen(page: Page) -> None:
    """Jensen's inequality: the mean of f is at least f of the mean, if f is convex."""
    x = np.random.default_rng(0).normal(size=(1000, 1))
    for name, (formula, convex) in SHAPES.items():
        gap = theory.jensen_gap(surfaces.named[name], x)
        if convex:
            page.claim(f"{formula}: E f(X) ≥ f(E X)", gap >= 0, f"gap {gap:.4f}")
        else:
            page.measured(f"{formula}: the gap, which may have either sign", gap)


@section.experiment
def minima_are_global(page: Page) -> None:
    """Local minima of convex functions are global: descents from everywhere end at one value."""
    starts = np.linspace(-5, 5, 41)
    convex = [
        minimize(surfaces.log_sum_exp, x, method="newton", line_search="armijo", steps=100, tol=1e-9).fun
        for x in starts
    ]
    other = [minimize(surfaces.local_minimum, x, lr=0.02, steps=3000, tol=1e-9).fun for x in np.linspace(-0.9, 1.9, 41)]
    page.claim("log(eˣ + e^(-2x-3)) from 41 starts: one value", np.ptp(convex) < 1e-9, f"range {np.ptp(convex):.1e}")
    page.claim("x·cos πx from 41 starts: more than one", np.ptp(other) > 0.1, f"range {np.ptp(other):.3f}")


@section.experiment
def convex_sets(page: Page) -> None:
    """Convex sets: a chord between two members stays inside; intersections are convex, unions need not be."""
    left, right = sets.Ball(1.0, centre=(-0.7, 0.0)), sets.Ball(1.0, centre=(0.7, 0.0))
    box = ((-2.0, 2.0), (-2.0, 2.0))
    both = theory.is_convex_set(lambda x: left.contains(x) and right.contains(x), box)
    either = theory.is_convex_set(lambda x: left.contains(x) or right.contains(x), box)
    page.claim("the intersection of two discs is convex", bool(both))
    page.claim("their union is not", not either, f"counter-example: {either.counter_example}")


@section.experiment
def projections(page: Page) -> None:
    """Projections: the closest point of a convex set; descent followed by projection stays inside it.

    x₁² + 2x₂² has its least value at 0; here it is kept in sets that do not have 0 in them.
    """
    places = {
        "ball around (-3, -2) of radius 1.5": sets.Ball(1.5, centre=(-3.0, -2.0)),
        "box [-5, -1] × [-3, -.5]": sets.Box((-5.0, -3.0), (-1.0, -0.5)),
        "half-plane x₁ + x₂ ≤ -2": sets.HalfSpace((1.0, 1.0), -2.0),
        "line x₁ - x₂ = -1": sets.Affine([[1.0, -1.0]], [-1.0]),
    }
    lines, rows = [], []
    for name, place in places.items():
        start = place.project(np.array((-5.0, -2.0)))
        found = minimize(surfaces.bowl, start, lr=0.1, steps=200, project=place)
        rows.append((name, f"({found.x[0]:.4f}, {found.x[1]:.4f})", f"{found.fun:.6f}"))
        lines.append(plots.Line(name, found.path))
        still = place.project(found.x - 0.1 * surfaces.bowl.gradient(found.x))
        page.claim(f"{name}: no step leads on from where it ends", np.allclose(still, found.x, atol=1e-6))
    page.table(["set", "ends at", "f there"], rows)
    page.figure(
        "projections",
        plots.figure(
            "Projected gradient descent, η = 0.1", plots.paths(surfaces.bowl, lines, "x₁² + 2x₂²"), size=(8, 5)
        ),
    )
    g = np.array([3.0, 4.0])
    clipped = sets.clip(g, 1.0)
    same = np.allclose(clipped, sets.Ball(1.0).project(g)) and np.allclose(clipped, (0.6, 0.8))
    page.claim("clipping (3, 4) to norm 1 is projecting it on the unit ball", same, f"({clipped[0]:g}, {clipped[1]:g})")


@section.experiment
def constraints(page: Page) -> None:
    """Penalty and Lagrangian: x₁² + 2x₂² under x₁ + x₂ ≥ 1, whose solution is (2/3, 1/3) with multiplier 4/3."""

    def short(x: np.ndarray) -> float:
        return 1.0 - x[0] - x[1]  # ≤ 0 where the constraint holds

    rows = []
    for weight in (1.0, 10.0, 100.0, 1000.0):
        found = minimize(
            penalized(surfaces.bowl, inequalities=[short], weight=weight), (0.0, 0.0), method="newton", steps=20
        )
        rows.append((f"{weight:g}", f"({found.x[0]:.5f}, {found.x[1]:.5f})", f"{max(short(found.x), 0):.1e}"))
    page.table(["penalty weight", "ends at", "constraint missed by"], rows)
    exact = augmented_lagrangian(surfaces.bowl, (0.0, 0.0), inequalities=[short])
    page.number("augmented Lagrangian ends at", exact.x, "0.66667, 0.33333")
    page.number("with multiplier", exact.multipliers["inequalities"], "1.33333")
