"""Yogi: Adam whose scale changes by a bounded amount, so that it does not forget a rare large gradient at once.

Adam's average of squares moves by a share of its distance to g²; a large gradient that comes seldom is soon forgotten,
and small ones then take large steps, be they the wrong way. Yogi moves by (1-β₂)g² up or down: small gradients shrink
the scale slowly.
"""

import numpy as np

from stepwell import rules
from stepwell.book import airfoil
from stepwell.book.section import Page, Section
from stepwell.pages import plots
from stepwell.rule import Rule

section = Section("yogi", "Yogi", __doc__)
SETTINGS = [airfoil.Setting("", rules.yogi, {"lr": 0.01}, airfoil.EDGE)]
C = 3.0
REDDI = {"beta1": 0.0, "beta2": 1 / (1 + C**2), "eps": 1e-3}


@section.experiment
def second_moment(page: Page) -> None:
    """How the second moment moves: Adam's by (1-β₂)(g² - s), Yogi's by (1-β₂)g² towards g², whatever s is."""
    g, s = np.array([0.1, 1.0, 30.0]), np.array([[1e-4], [1.0], [1e4]])
    adam = rules.adam(g, 0.0, s, 1)[2] - s
    yogi = rules.yogi(g, 0.0, s, 1)[2] - s
    page.claim("Adam: Δs = (1-β₂)(g² - s)", np.allclose(adam, 0.001 * (g**2 - s), rtol=1e-6, atol=1e-12))
    size = np.where(g**2 == s, 0.0, 0.001 * g**2)  # sgn 0 is 0
    page.claim("Yogi: |Δs| = (1-β₂)g²", np.allclose(np.abs(yogi), size, rtol=1e-6, atol=1e-12))
    s = {"adam": 0.0, "yogi": 0.0}
    curves = {name: [] for name in s}
    for t in range(1, 4001):
        g = 10.0 if t <= 1000 else 1.0
        for name in s:
            s[name] = rules.named[name](g, 0.0, s[name], t)[2]
            curves[name].append(s[name])
    lines = [plots.Line(name.capitalize(), values, np.arange(1, 4001), rule=name) for name, values in curves.items()]
    panel = plots.lines(lines, "g = 10 for 1000 steps, then 1", "step", "s", log="y")
    page.figure("second_moment", plots.figure("Yogi forgets slowly", panel))


@section.in_any_framework
def framework(page: Page) -> None:
    """Airfoil in the framework asked for, from scratch and concise."""
    airfoil.elsewhere(page, SETTINGS)


@section.experiment
def training(page: Page) -> None:
    """Airfoil at η = .01, ε = 1e-3, and the same rule as a class.

    torch has none of that name. The book prints losses from .243 to .245.
    """
    task = airfoil.load(page)
    runs, _ = airfoil.both(page, task, SETTINGS[0])
    adam = [airfoil.from_scratch(task, rules.adam, seed, lr=0.01, eps=1e-6) for seed in range(page.options.seeds)]
    curves = [airfoil.curve("Yogi", runs, "yogi"), airfoil.curve("Adam", adam, "adam")]
    panel = airfoil.panel(task, "b = 10, η = .01", curves)
    page.figure("training", plots.figure("Airfoil: median and range over seeds", panel))


def online(rule: Rule, steps: int, gradient: np.ndarray, *, bounded: bool, **hyper: float) -> np.ndarray:
    """The points x₀ = 0, x₁ … that a rule goes through, given the slopes cₜ of its losses one after another.

    Bounded, the losses are cₜx on [-1, 1], η falls as .1/√t, and x is projected; otherwise cₜ|x+1|, at η = .01.
    """
    x, path, state, hyper = 0.0, [0.0], dict.fromkeys(rule.state, 0.0), rule.complete(hyper)
    for t in range(1, steps + 1):
        c = gradient[(t - 1) % len(gradient)]
        lr = 0.1 / np.sqrt(t) if bounded else 0.01
        g = c if bounded else c * np.sign(x + 1)
        step, *fresh = rule.bind({"g": g, "t": t, **state}, {**hyper, "lr": lr})
        state = dict(zip(rule.state, fresh, strict=True))
        x = float(np.clip(x - step, -1, 1)) if bounded else x - step
        path.append(x)
    return np.array(path)


@section.experiment
def divergence(page: Page) -> None:
    """Exercise: where Adam diverges and Yogi converges. Losses 3x, -x, -x, again and again; their mean is x/3.

    On [-1, 1] the best point is -1. With β₁ = 0, β₂ = 1/(1+C²) = .1 and η = .1/√t, the setting of Reddi, Kale and Kumar
    (2018, theorem 1, https://arxiv.org/abs/1904.09237) for C = 3, Adam goes to the worst point, 1: its two steps after
    a gradient of 3 have forgotten it. Yogi, started alike, goes to -1. Without the interval, on the mean of 3|x+1|,
    -|x+1|, -|x+1|, which is least at -1, Adam leaves for infinity.
    """
    gradient, steps = np.array([C, -1.0, -1.0]), 20_000
    names = ("adam", "yogi", "amsgrad")
    paths = {name: online(rules.named[name], steps, gradient, bounded=True, **REDDI) for name in names}
    regret = {}
    for name, path in paths.items():
        losses = gradient[np.arange(steps) % 3] * (path[:-1] + 1)  # above those of the best point, -1
        regret[name] = np.cumsum(losses) / np.arange(1, steps + 1)
    rows = [(name, f"{path[-300:].mean():.4f}", f"{regret[name][-1]:.4f}") for name, path in paths.items()]
    page.table(["rule", "x, mean of the last 300", "regret a step"], rows)
    page.claim("Adam ends at the worst point, 1", paths["adam"][-300:].min() > 0.99, f"{paths['adam'][-1]:.4f}")
    page.claim("Yogi ends at the best, -1", paths["yogi"][-300:].max() < -0.99, f"{paths['yogi'][-1]:.4f}")
    page.claim("Adam's regret a step does not vanish; it tends to 2/3", abs(regret["adam"][-1] - 2 / 3) < 0.02)
    page.claim("Yogi's does", regret["yogi"][-1] < 0.06 and regret["yogi"][-1] < 0.5 * regret["yogi"][steps // 10])
    default = online(rules.adam, steps, gradient, bounded=True)
    page.measured("Adam with its usual β₁ = .9, β₂ = .999, which forget more slowly: x", default[-1])
    free = {name: online(rules.named[name], 6000, gradient, bounded=False, **REDDI) for name in ("adam", "yogi")}
    half, end = free["adam"][[3000, 6000]]
    page.claim("without the interval, Adam leaves for infinity", half > 5 and end > 1.9 * half,
               f"x = {half:.1f} after 3000 steps, {end:.1f} after 6000")  # fmt: skip
    away = np.abs(free["yogi"][3000:] + 1).max()
    page.claim("and Yogi stays near the minimum", away < 0.1, f"at most {away:.3f} away from -1")
    at = np.arange(1, steps + 1)
    panels = [
        plots.lines([plots.Line(n.capitalize(), path[1:], at, rule=n) for n, path in paths.items()],
                    "3x, -x, -x on [-1, 1], η = .1/√t", "step", "x", log="x"),
        plots.lines([plots.Line(n.capitalize(), path, rule=n) for n, path in free.items()],
                    "3|x+1|, -|x+1|, -|x+1|, η = .01", "step", "x"),
    ]  # fmt: skip
    page.figure("divergence", plots.figure("The same gradients, started alike", *panels))
