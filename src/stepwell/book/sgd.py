"""Stochastic gradient descent: a gradient that is right on average, and rates that must fall.

One sample's gradient costs a hundredth or a millionth of the whole and is unbiased; its noise keeps a constant rate
from ever coming to rest. How fast the rate falls decides: too fast and the descent stops short, slowly enough and it
converges.
"""

import numpy as np

from stepwell import schedules
from stepwell.book.section import Page, Section
from stepwell.functions import minimize, surfaces, theory
from stepwell.pages import plots

section = Section("sgd", "Stochastic gradient descent", __doc__)
RUNS = 2000
RULE = "gradient_descent"
RATES = {
    "constant .1, 50 steps": (schedules.constant(0.1), 50),
    ".1·e^(-.1t), 1000 steps": (schedules.exponential(0.1, rate=0.1), 1000),
    ".1·(1+.1t)^-½, 50 steps": (schedules.polynomial(0.5, beta=0.1, rate=0.1), 50),
}
FIRST = 2  # the t of the first step: the book's counter starts at 1 and is raised before it is used
BOOK = {
    "constant .1, 50 steps": ((0.0, 0.167), (0.0, 0.125)),
    ".1·e^(-.1t), 1000 steps": ((-0.826, 0.075), (-0.045, 0.040)),
    ".1·(1+.1t)^-½, 50 steps": ((-0.012, 0.105), (0.0, 0.075)),
}


@section.experiment
def rates(page: Page) -> None:
    """Noisy descent on x₁² + 2x₂² from (-5, -2): N(0, 1) noise on the gradient, three rates, 2000 runs each.

    A constant rate ends in a cloud around the minimum; an exponential decay stops short of it; a decay as (1 + .1t)^-½
    comes closer with every step. t is 2 at the first step, as the book's counter has it.
    """
    start = np.tile((-5.0, -2.0), (RUNS, 1))
    panels = []
    for name, (lr, steps) in RATES.items():
        found = minimize(surfaces.bowl, start, lr=lambda k, lr=lr: lr(k + FIRST), steps=steps, noise=1.0)
        for axis, (mean, sd) in enumerate(BOOK[name]):
            page.sample(f"{name}: x{'₁₂'[axis]}", found.x[:, axis], mean, sd)
        ways = [plots.Line(f"run {k + 1}", found.path[:, k]) for k in range(2)]
        panels.append(plots.paths(surfaces.bowl, ways, name))
    page.figure("rates", plots.figure("Noisy gradient descent, two runs of 2000", *panels, columns=3))


@section.experiment
def decay_exponent(page: Page) -> None:
    """The exponent of a polynomial decay: distance from the minimum after 50 and 2000 steps, root mean square."""
    start = np.tile((-5.0, -2.0), (500, 1))
    exponents = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
    rows, curves = [], []
    for alpha in exponents:
        rate = schedules.polynomial(alpha, beta=0.1, rate=0.1) if alpha else 0.1
        path = minimize(surfaces.bowl, start, lr=rate, steps=2000, noise=1.0).path
        away = np.sqrt((path**2).sum(axis=-1).mean(axis=-1))
        rows.append((f"{alpha:g}", f"{away[50]:.4f}", f"{away[2000]:.4f}"))
        curves.append(plots.Line(f"α = {alpha:g}", away[1:], np.arange(1, 2001)))
    page.table(["α", "after 50 steps", "after 2000 steps"], rows)
    ends = [curve.y[-1] for curve in curves]
    page.claim("after 2000 steps, the larger α is, up to 1, the closer", bool(np.all(np.diff(ends[:5]) < 0)))
    page.claim("α = 1.5 stops short", ends[5] > 2 * ends[4], f"{ends[5]:.4f}; at α = 1: {ends[4]:.4f}")
    panel = plots.lines(curves, "η = .1·(1 + .1t)^-α", "step", "distance from the minimum (rms)", log="xy")
    page.figure("exponents", plots.figure("Too fast a decay stops short, none at all never settles", panel))


@section.experiment
def bound(page: Page) -> None:
    """The convergence bound: E f(x̄) - f* ≤ (r² + L²Ση²) / (2Ση), x̄ the mean of the iterates weighted by their rates.

    With η = r/(L√T) it is rL/√T. Here f is the mean of |x - aᵢ| over 101 points, so that ‖gᵢ‖ ≤ L = 1, and the start is
    r = 1 away from the minimum.
    """
    points = np.linspace(-2, 2, 101)
    best = float(np.abs(points).mean())
    rng = np.random.default_rng(0)
    horizons = (10, 100, 1000, 10_000)
    gaps, bounds = [], []
    for T in horizons:
        eta = theory.sgd_best_rate(1.0, 1.0, T)
        x, mean = np.ones(200), np.zeros(200)
        for _ in range(T):
            mean += x / T
            x = x - eta * np.sign(x - rng.choice(points, 200))
        gaps.append(float(np.abs(mean[:, None] - points).mean()) - best)
        bounds.append(theory.sgd_bound(1.0, 1.0, np.full(T, eta)))
    rows = [
        (T, f"{gap:.2e}", f"{limit:.2e}", f"{1 / np.sqrt(T):.2e}")
        for T, gap, limit in zip(horizons, gaps, bounds, strict=True)
    ]
    page.table(["T", "E f(x̄) - f*, 200 runs", "the bound", "rL/√T"], rows)
    page.claim("no gap is above its bound", all(g <= b for g, b in zip(gaps, bounds, strict=True)))
    page.claim("at the best rate the bound is rL/√T", np.allclose(bounds, 1 / np.sqrt(horizons)))
    curves = [
        plots.Line("measured, mean of 200 runs", gaps, horizons, marker="o"),
        plots.Line("bound rL/√T", bounds, horizons),
    ]
    page.figure(
        "bound",
        plots.figure(
            "Stochastic gradient descent keeps its bound",
            plots.lines(curves, "mean of |x - aᵢ|", "steps T", "f(x̄) - f*", log="xy"),
        ),
    )


@section.experiment
def unbiased(page: Page) -> None:
    """A sample's gradient is unbiased: over all samples its mean is the gradient of the mean loss."""
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(1000, 5)), rng.normal(size=1000), rng.normal(size=5)
    each = (X @ w - y)[:, None] * X
    whole = minimize(lambda v: float(np.mean((X @ v - y) ** 2) / 2), w, steps=0)
    off = np.abs(each.mean(axis=0) - whole.jac).max()
    page.claim("mean of ∇fᵢ = ∇f", bool(off < 1e-6), f"differ by {off:.1e} ({whole.gradient_from})")


@section.experiment
def finite_samples(page: Page) -> None:
    """With replacement a given sample is missed in an epoch with probability e⁻¹; without, never.

    Of n = 1000 samples drawn n times: seen at least once → 1 - e⁻¹ = .632, exactly once → e⁻¹ = .368.
    """
    n = 1000
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=400)
    page.sample(
        "share of samples seen at least once",
        (counts > 0).mean(axis=1),
        0.632,
        float(np.sqrt(np.exp(-1) * (1 - 2 / np.e) / n)),
    )
    once = (counts == 1).mean(axis=1)
    page.claim("exactly once: .368", abs(once.mean() - np.exp(-1)) < 3 * once.std() / 20 + 0.0005, f"{once.mean():.4f}")
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 2)) * (1.0, 3.0)
    y = X @ (1.0, -1.0) + rng.normal(size=200)
    best = np.linalg.lstsq(X, y, rcond=None)[0]
    gaps = {}
    for name in ("with replacement", "without"):
        ends = []
        for seed in range(50):
            order = np.random.default_rng(seed)
            w, t = np.zeros(2), 0
            for _ in range(5):
                for i in order.integers(200, size=200) if name == "with replacement" else order.permutation(200):
                    w = w - 0.05 / (1 + 0.02 * t) * (X[i] @ w - y[i]) * X[i]
                    t += 1
            ends.append(np.linalg.norm(w - best))
        gaps[name] = float(np.sqrt(np.mean(np.square(ends))))
    for name, gap in gaps.items():
        page.measured(f"least squares, 5 epochs, sampling {name}: distance from the solution (rms of 50 runs)", gap)
    page.claim("without replacement ends closer", gaps["without"] < gaps["with replacement"])
