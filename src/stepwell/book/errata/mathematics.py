"""Errata about formulas in the text: signs, limits, indices and half-lives, each put beside numbers."""

import math
from dataclasses import replace

import numpy as np

from stepwell import rules
from stepwell.book.errata.erratum import erratum, follow
from stepwell.book.section import Page
from stepwell.functions import minimize, surfaces, theory
from stepwell.pages import plots
from stepwell.rule import Rule


@erratum("gradient_descent", "momentum")
def e21_the_sign_of_the_minimum(page: Page) -> None:
    """21. A quadratic's gradient is written about the wrong point.

    For ½xᵀQx + xᵀc + b a companion text and D2L have the minimum at -Q⁻¹c and the gradient Q(x - Q⁻¹c), which is not 0
    there. It is Q(x + Q⁻¹c), as `surfaces.quadratic` has it. And the line for descent in eigen-coordinates,
    z ← (I - Λ)z, has lost its η: z ← (I - ηΛ)z.
    """
    Q, c, x = np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([1.0, -2.0]), np.array([0.7, -1.1])
    h, lowest, eta = surfaces.quadratic(Q, c, 0.5), -np.linalg.solve(Q, c), 0.1
    for where, at in (("the minimum", lowest), (f"x = ({x[0]:g}, {x[1]:g})", x)):
        texts, ours = Q @ (at + lowest), h.gradient(at)
        page.measured(f"Q(x - Q⁻¹c) at {where}", f"({texts[0]:.3f}, {texts[1]:.3f})")
        differences = [(h(at + 1e-6 * e) - h(at - 1e-6 * e)) / 2e-6 for e in np.eye(2)]
        right = np.allclose(ours, Q @ (at - lowest), atol=1e-12) and np.allclose(ours, differences, atol=1e-8)
        shown = np.round(ours, 12) + 0.0
        page.claim(
            f"∇h is Q(x + Q⁻¹c), and the differences of h, at {where}", right, f"({shown[0]:.3f}, {shown[1]:.3f})"
        )
    eigenvalues, axes = np.linalg.eigh(Q)
    before, after = (axes.T @ (each - lowest) for each in minimize(h, x, lr=eta, steps=1).path)
    factors = after / before
    page.measured("1 - λ, the text's factors of a step at η = .1", ", ".join(f"{1 - v:.4f}" for v in eigenvalues))
    exact = np.allclose(factors, 1 - eta * eigenvalues, rtol=1e-12)
    page.claim("a step of gradient descent has the factors 1 - ηλ", exact, ", ".join(f"{f:.4f}" for f in factors))


@erratum("gradient_descent")
def e22_between_one_and_two(page: Page) -> None:
    """22. Descent is said to diverge as soon as ηλ is above 1.

    So says D2L of gradient descent on λx²/2, where xₜ = (1 - ηλ)ᵗx₀: past 1 it overshoots and is slower again, and it
    diverges past 2. `minimize` calls a run a failure when it ends higher than it began, not when it overshoots.
    """
    rows, curves = [], []
    for share in (0.25, 1.0, 1.5, 1.9, 2.1):
        result = minimize(surfaces.half_square, 10.0, lr=share, steps=20)
        expected = 10 * (1 - share) ** np.arange(21.0)
        exact = np.allclose(result.path, expected, rtol=1e-9, atol=1e-12)
        page.claim(f"ηλ = {share:g}: xₜ = (1 - ηλ)ᵗ·10", exact, f"x after 20 steps: {result.x:.4g}")
        rows.append((f"{share:g}", f"{abs(1 - share):.2g}", f"{abs(result.x):.4g}", "yes" if result.success else "no"))
        if share != 1:  # there in one step
            curves.append(plots.Line(f"ηλ = {share:g}", np.abs(result.path)))
    page.table(("ηλ", "|1 - ηλ|", "|x| after 20 steps from 10", "lower than at the start"), rows)
    page.claim("between 1 and 2 it converges, past 2 it does not", [row[-1] for row in rows] == ["yes"] * 4 + ["no"])
    panel = plots.lines(curves, "λx²/2 from x = 10", "step", "|x|", log="y", ylim=(1e-6, 1e3))
    page.figure(
        "between_one_and_two", plots.figure("Gradient descent slows down past 1 and diverges past 2", panel, columns=1)
    )


@erratum("adam")
def e23_one_term_too_many(page: Page) -> None:
    """23. The sum that bias correction divides by has a term too many.

    D2L has Σβⁱ from 0 to t as (1-βᵗ)/(1-β); that is the sum to t-1, of the t gradients there are. Here, as in the paper
    and in D2L's own code, Adam divides by 1-βᵗ: a constant gradient's mean is that gradient from the first step on.
    """
    beta, t = 0.9, 10
    closed = (1 - beta**t) / (1 - beta)
    to_t, to_last = (sum(beta**i for i in range(n)) for n in (t + 1, t))
    page.measured("β = .9, t = 10: the sum to t", to_t)
    page.number("the sum to t-1, which is (1-βᵗ)/(1-β)", [to_last, closed], "6.5132, 6.5132")
    page.number("the weights of Adam's mean at t = 10, summed: 1-β¹⁰", theory.bias_correction("adam", t), "0.65132")
    steps = follow(rules.adam, [3.0] * 50, lr=1.0, eps=0.0)
    page.claim(
        "Adam's steps at a constant gradient are η", np.allclose(steps, 1.0, rtol=1e-12), f"{steps[0]:g}, {steps[-1]:g}"
    )
    _, m, _ = rules.adam(3.0, 0.0, 0.0, 1)
    page.claim("its first mean is (1-β)g, of one gradient", math.isclose(m, 0.3), f"{m:.3f} for g = 3")


@erratum("rmsprop", "rmsprop_eps_inside", "adadelta")
def e24_how_long_a_half_life_is(page: Page) -> None:
    """24. A half-life is said to be 1/γ, and ten half-lives to be ρ = .9.

    The one in D2L's section on RMSProp, the other in that on Adadelta. An average that keeps γ of itself a step has
    lost half after ln2/-lnγ steps, 6.58 at γ = .9: here `theory.half_life`. 1/γ is 1.11; 10 is 1/(1-γ), the sum of the
    weights, and after ten steps 1/e or so is left, not 1/2¹⁰.
    """
    gamma = 0.9
    half = math.log(2) / -math.log(gamma)
    page.number("ln2/-lnγ at γ = .9, and theory.half_life", [half, theory.half_life(gamma)], "6.58, 6.58")
    page.number("1/γ, and 1/(1-γ)", [1 / gamma, 1 / (1 - gamma)], "1.11, 10.00")
    for name, rate in (("rmsprop_eps_inside", {"gamma": gamma}), ("adadelta", {"rho": gamma})):
        kept = remembered(rules.named[name], rate, 10)
        crossed = 6 + math.log(kept[6] / 0.5) / math.log(kept[6] / kept[7]) if kept[6] > 0.5 > kept[7] else math.nan
        page.number(f"{name}: steps until half of s is left", crossed, "6.58")
        page.number(f"{name}: left of s after 10 steps", kept[10], "0.349")


@erratum("adagrad", "adagrad_eps_inside", "gradient_descent")
def e25_turned_and_doubled(page: Page) -> None:
    """25. The "rotated" .1(x₁+x₂)² + 2(x₁-x₂)² is more than rotated.

    In D2L's exercise (x₁+x₂, x₁-x₂) is the point turned and stretched by √2, so both eigenvalues are doubled, and what
    is blamed on the rotation is partly the steepness. Here `surfaces.rotated` only turns; the exercise's function is
    there too, as `surfaces.ravine_rotated_doubled`.
    """
    ravine, turned, texts = surfaces.ravine, surfaces.rotated(surfaces.ravine), surfaces.ravine_rotated_doubled
    values = {s.name: np.linalg.eigvalsh(s.hessian([0.0, 0.0])) for s in (ravine, turned, texts)}
    page.number("eigenvalues of .1x₁²+2x₂²", values[ravine.name], "0.2, 4.0")
    page.number("of the text's", values[texts.name], "0.4, 8.0")
    page.number("of the turned one", values[turned.name], "0.2, 4.0")
    rows = []
    for surface in (ravine, turned, replace(texts, start=turned.start)):
        ends = [
            minimize(surface, surface.start, rule, lr=0.4, steps=20).fun for rule in ("gradient_descent", "adagrad")
        ]
        rows.append((surface.name, *(f"{end:.4g}" for end in ends)))
    page.table(("surface, from the same place", "gradient descent, η = .4, 20 steps: f", "Adagrad: f"), rows)
    ends = [row[1] for row in rows]
    told = ends[0] == ends[1] and float(ends[2]) > 1
    page.claim("gradient descent does not notice a turn, and diverges when doubled", told, ", ".join(ends))


def remembered(rule: Rule, hyper: dict[str, float], steps: int) -> list[float]:
    """What is left of a rule's first state after each further step, if all gradients but the first are 0."""
    values, state = rule.complete(hyper), [0.0] * len(rule.state)
    sizes = []
    for t in range(steps + 1):
        _, *state = rule.bind(
            {"g": 1.0 if t == 0 else 0.0, "t": t + 1} | dict(zip(rule.state, state, strict=True)), values
        )
        sizes.append(state[0])
    return [size / sizes[0] for size in sizes]
