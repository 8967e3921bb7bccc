"""Gradient descent in one dimension and two, Newton's method, preconditioning and line search.

The step is the gradient times a rate: too small a rate creeps, too large a one leaps over the minimum and away.
Curvature says how large it may be; Newton's method divides by it, preconditioning by its diagonal, and line search
tries rates out.
"""

import numpy as np

from stepwell.book.section import Page, Section
from stepwell.functions import minimize, surfaces
from stepwell.pages import plots

section = Section("gd", "Gradient descent", __doc__)
RULE = "gradient_descent"


@section.experiment
def one_dimension(page: Page) -> None:
    """One dimension: x² from 10, at a rate that fits, at one too small and at one too large."""
    panels = []
    for lr, book in {0.2: "0.060466", 0.05: "3.486784", 1.1: "61.917364"}.items():
        result = minimize(surfaces.square, 10.0, lr=lr, steps=10)
        page.number(f"x², η = {lr:g}: x after 10 steps", result.x, book)
        panels.append(plots.descent(surfaces.square, [plots.Line("10 steps", result.path, rule=RULE)], f"η = {lr:g}"))
    result = minimize(surfaces.square, 10.0, lr=1.1, steps=10)
    page.claim("η = 1.1 diverges, and the result says so", not result.success, result.message)
    page.figure("one_dimension", plots.figure("Gradient descent on x² from x = 10", *panels, columns=3))


@section.experiment
def local_minimum(page: Page) -> None:
    """A function with several minima: x·cos .15πx from 10 at η = 2.

    The descent ends near a poor local minimum, at -1.8256; the best one, at 7.269, is closer to where it began.
    """
    result = minimize(surfaces.wave, 10.0, lr=2.0, steps=10)
    page.number("x after 10 steps", result.x, "-1.528166")
    settled = minimize(surfaces.wave, result.x, lr=0.1, steps=1000, tol=1e-10)
    page.claim("the local minimum that it is near: -1.8256", abs(settled.x + 1.8256) < 1e-4, f"{float(settled.x):.6f}")
    page.measured("f there", settled.fun)
    page.measured("f at the best minimum", surfaces.wave.minimum)
    panel = plots.descent(surfaces.wave, [plots.Line("η = 2, 10 steps", result.path, rule=RULE)], "x·cos .15πx")
    page.figure("local_minimum", plots.figure("Gradient descent ends in a poor minimum", panel))


@section.experiment
def two_dimensions(page: Page) -> None:
    """Two dimensions: x₁² + 2x₂² from (-5, -2), 20 steps at η = .1."""
    result = minimize(surfaces.bowl, (-5.0, -2.0), lr=0.1, steps=20)
    page.number("(x₁, x₂) after 20 steps", result.x, "-0.057646, -0.000073")
    panel = plots.paths(surfaces.bowl, [plots.Line("η = 0.1", result.path, rule=RULE)], "x₁² + 2x₂²")
    page.figure("two_dimensions", plots.figure("Gradient descent in two dimensions", panel))


@section.experiment
def newton(page: Page) -> None:
    """Newton's method: the gradient divided by the curvature.

    On a convex function it needs no rate. Where the curvature is negative it climbs: at η = 1 the walk on x·cos .15πx
    ends at a local maximum. Dividing by |H| instead, it descends there too.
    """
    convex = minimize(surfaces.cosh, 10.0, method="newton", steps=10)
    page.number("cosh ½x: x after 10 steps", convex.x, "0.000000")
    one = minimize(surfaces.half_square, 10.0, method="newton", steps=1)
    page.claim("½x² takes one step", float(one.x) == 0.0, f"x = {float(one.x)}")
    full = minimize(surfaces.wave, 10.0, method="newton", steps=10)
    page.number("x·cos .15πx, η = 1: x after 10 steps", full.x, "26.834133")
    page.claim(
        "and that is a local maximum", surfaces.wave.hessian(full.x) < 0, f"f″ = {surfaces.wave.hessian(full.x):.4f}"
    )
    damped = minimize(surfaces.wave, 10.0, method="newton", lr=0.5, steps=10)
    page.number("x·cos .15πx, η = .5: x after 10 steps", damped.x, "7.269860")
    absolute = minimize(surfaces.wave, 10.0, method="newton_abs", steps=10)
    curvature = surfaces.wave.hessian(absolute.x)
    page.claim(
        "with |H|, η = 1, it ends at a minimum", curvature > 0, f"x = {float(absolute.x):.6f}, f″ = {curvature:.4f}"
    )
    panels = [
        plots.descent(surfaces.cosh, [plots.Line("η = 1", convex.path)], "cosh ½x, Newton"),
        plots.descent(surfaces.wave, [plots.Line("η = 1", full.path)], "x·cos .15πx, Newton"),
        plots.descent(surfaces.wave, [plots.Line("η = 0.5", damped.path)], "x·cos .15πx, damped"),
        plots.descent(surfaces.wave, [plots.Line("η = 1", absolute.path)], "x·cos .15πx, with |H|"),
    ]
    page.figure("newton", plots.figure("Newton's method from x = 10, 10 steps", *panels))


@section.experiment
def newton_is_quadratic(page: Page) -> None:
    """Newton's error is at most squared by a step: eₙ₊₁ ≤ c·eₙ², c = max|f‴| / (2 min f″) on the way.

    Shown on log(eˣ + e^(-2x-3)), whose third derivative at the minimum is not 0, so that eₙ₊₁/eₙ² tends to |f‴|/(2f″)
    there and not to less.
    """
    surface = surfaces.log_sum_exp
    best = surface.minima[0][0]
    near = np.linspace(best - 0.3, best + 0.3, 601)[:, None]
    second = surface.hessian(near).ravel()
    third = np.gradient(second, near.ravel())
    c, limit = np.abs(third).max() / (2 * second.min()), abs(third[300]) / (2 * second[300])
    path = minimize(surface, best + 0.3, method="newton", steps=4).path
    errors = abs(np.ravel(path) - best)
    ratios = errors[1:4] / errors[:3] ** 2
    rows = [(n, f"{errors[n]:.3e}", f"{ratios[n - 1]:.4f}" if n else "") for n in range(4)]
    page.table(["step", "error", "error / (last error)²"], rows)
    page.claim("eₙ₊₁ ≤ c·eₙ²", bool((ratios <= c).all()), f"c = {c:.4f}")
    page.claim("eₙ₊₁/eₙ² tends to |f‴|/(2f″)", abs(ratios[2] - limit) < 0.02 * limit, f"{ratios[2]:.4f}; {limit:.4f}")


@section.experiment
def preconditioning(page: Page) -> None:
    """Preconditioning by the Hessian's diagonal: each coordinate divided by its own curvature (diagonal Newton).

    Where the axes are those of the function it is Newton's method; where they are turned, only a part of it.
    """
    steps = {}
    for surface in (surfaces.ravine, surfaces.ravine_rotated):
        for method, lr in ((RULE, 0.4), ("diagonal", 0.5), ("newton", 1.0)):
            found = minimize(surface, surface.start, method=method, lr=lr, steps=2000, tol=1e-6)
            steps[surface.name, method] = found.nit
    page.table(["function", "gradient descent, η = .4", "diagonal, η = .5", "Newton, η = 1"],
               [(s.about, *(steps[s.name, m] for m in (RULE, "diagonal", "newton")))
                for s in (surfaces.ravine, surfaces.ravine_rotated)])  # fmt: skip
    page.say("The numbers are steps until no gradient is above 1e-6.")
    aligned, turned = steps["ravine", "diagonal"], steps["ravine_rotated", "diagonal"]
    page.claim("aligned with the axes, the diagonal is enough", aligned < steps["ravine", RULE] / 2, f"{aligned} steps")
    page.claim("turned by 45°, it is not", turned > 2 * aligned, f"{turned} steps")


@section.experiment
def line_search(page: Page) -> None:
    """Line search: the best rate along -∇f by bisection, on log(eˣ + e^(-2x-3)).

    Each trial costs a gradient over all data, which is why deep learning does without it.
    """
    found = {
        kind: minimize(surfaces.log_sum_exp, 3.0, line_search=kind, lr=1.0, steps=50, tol=1e-9)
        for kind in ("bisection", "armijo", "wolfe")
    }
    best = found["bisection"]
    page.number("x*", best.x, "-0.768951")
    page.number("f(x*)", best.fun, "-0.363486")
    page.table(["search", "steps", "gradients"], [(kind, r.nit, r.njev) for kind, r in found.items()])
    fixed = minimize(surfaces.log_sum_exp, 3.0, lr=0.1, steps=2000, tol=1e-9)
    page.measured("steps without a search, η = .1, until the gradient is below 1e-9", fixed.nit)


@section.experiment
def slow_functions(page: Page) -> None:
    """Functions on which gradient descent is slow: curved valleys and badly scaled axes, each at its best rate."""
    curves, rows, after = [], [], []
    for surface in (surfaces.bowl, surfaces.ravine, surfaces.rosenbrock, surfaces.beale):
        rates = 2.0 ** np.arange(-12, 2)
        runs = [(lr, minimize(surface, surface.start, lr=lr, steps=500)) for lr in rates]
        lr, best = min(((lr, r) for lr, r in runs if r.success), key=lambda pair: pair[1].fun)
        gap = np.maximum(best.values - surface.minimum, 1e-16)
        H = np.linalg.eigvalsh(surface.hessian(surface.minima[0]))
        after.append((H[-1] / H[0], gap[100]))
        curves.append(plots.Line(f"{surface.name}, η = {lr:.3g}", gap))
        rows.append((surface.name, f"{H[-1] / H[0]:.0f}", f"{lr:.3g}", f"{gap[100]:.1e}", f"{gap[500]:.1e}"))
    page.table(["function", "condition number at the minimum", "best η", "gap after 100", "gap after 500"], rows)
    gaps = [gap for _, gap in sorted(after)]
    page.claim("the worse the condition, the larger the gap after 100 steps", gaps == sorted(gaps))
    panel = plots.lines(curves, "each at its best rate", "step", "f(x) - least f", log="y", ylim=(1e-16, 1e3))
    page.figure("slow", plots.figure("The worse the condition, the slower the descent", panel))
