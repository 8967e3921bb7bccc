"""Errata about the rules themselves. A text's faulty version is a rule too, so it is written as one and run as one."""

import inspect
import itertools

import numpy as np

from stepwell import rules
from stepwell.book import airfoil, frameworks
from stepwell.book.errata.erratum import erratum, follow
from stepwell.book.section import Page
from stepwell.functions import minimize, surfaces
from stepwell.pages import plots
from stepwell.rule import Decay, NonNegative, Rate, Share, rule, where

ADAGRADS, RMSPROPS = (tuple(name for name in rules.named if name.startswith(kin)) for kin in ("adagrad", "rmsprop"))


@rule
def adam_misplaced(g, m, v, t, *, lr: Rate = 1e-2, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-6):
    """p - lr·v̂/√ŝ + eps, as D2L's TensorFlow tab has it."""
    scaled, m, v = rules.adam(g, m, v, t, lr=lr, beta1=beta1, beta2=beta2, eps=0.0)
    return scaled - eps, m, v


@rule
def yogi_misplaced(g, m, v, t, *, lr: Rate = 1e-2, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-6):
    """The same in Yogi."""
    scaled, m, v = rules.yogi(g, m, v, t, lr=lr, beta1=beta1, beta2=beta2, eps=0.0)
    return scaled - eps, m, v


@rule
def adam_at_one(g, m, v, *, lr: Rate = 1e-2, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-6):
    """Adam with t for ever at its first value."""
    return rules.adam(g, m, v, 1, lr=lr, beta1=beta1, beta2=beta2, eps=eps)


@rule
def rmsprop_of_gradients(g, s, t, *, lr: Rate = 1e-2, gamma: Share = 0.9):
    """The average of g, not of g², begun at the first gradient; no root, no ε."""
    s = where(t > 1, gamma * s + (1 - gamma) * g, g)
    return lr * g / s, s


@erratum("adam", "yogi")
def e01_epsilon_outside_the_parenthesis(page: Page) -> None:
    """1. ε is added to the parameter, not to the root.

    D2L's TensorFlow tab divides by the root alone and then adds ε to the whole: a parenthesis is missing, in Adam and
    in Yogi. The parameter drifts by ε a step, nothing holds small gradients back, and a gradient of 0 is 0/0. As in the
    papers, ε here stands beside the root: `rules.adam`, `rules.yogi`.
    """
    for wrong, right in ((adam_misplaced, rules.adam), (yogi_misplaced, rules.yogi)):
        drift = {r.name: 0.0 - follow(r, [1.0] * 1000, lr=0.0, eps=1e-6).sum() for r in (wrong, right)}
        page.measured(f"{right.name}, the text's: x after 1000 steps at rate 0", f"{drift[wrong.name]:+.6f}")
        page.claim(f"{right.name}: at rate 0 nothing moves", drift[right.name] == 0, f"{drift[right.name]:+.6f}")
        zero = {r.name: follow(r, [0.0])[0] for r in (wrong, right)}
        page.measured(f"{right.name}, the text's: first step at g = 0", f"{zero[wrong.name]}")
        page.claim(f"{right.name}: a gradient of 0 gives a step of 0", zero[right.name] == 0, f"{zero[right.name]}")
    small = follow(rules.adam, [1e-9], lr=1.0, eps=1e-6)[0]
    page.claim("a gradient far below ε gives a step far below η", small < 2e-3, f"g = 1e-9: {small:.6f} η")
    page.measured("the text's step there", f"{follow(adam_misplaced, [1e-9], lr=1.0)[0]:.6f} η")


@erratum("adam")
def e02_time_stands_still(page: Page) -> None:
    """2. Adam's t is never incremented.

    D2L's TensorFlow tab leaves t at 1, so the bias corrections stay 1/(1-β₁) and 1/(1-β₂) for ever: steps are up to
    twice too long at first and .316 = 10/√1000 of the right length in the end. Here no rule counts for itself: every
    door hands it t, from 1.
    """
    steps = 10_000
    frozen, right = (follow(r, itertools.repeat(1.0, steps), lr=1.0, eps=0.0) for r in (adam_at_one, rules.adam))
    page.number("the text's step in the end, in right steps", frozen[-1] / right[-1], "0.316")
    page.measured("the text's longest step, in right steps", (frozen / right).max())
    made = -np.diff(minimize(lambda x: x, 0.0, "adam", jac=np.ones_like, lr=1.0, eps=0.0, steps=steps).path)
    page.claim("each step at a constant gradient is η", np.allclose(made, 1.0), f"{made.min():.6f} to {made.max():.6f}")
    curves = [
        plots.Line("t counts from 1", right, np.arange(1, steps + 1), rule="adam"),
        plots.Line("t stays at 1", frozen, np.arange(1, steps + 1)),
    ]
    panel = plots.lines(
        curves, "Constant gradient, β₁ = .9, β₂ = .999", "step", "size of step [η]", log="x", ylim=(0, 2.1)
    )
    page.figure("time_stands_still", plots.figure("Adam without its clock", panel, columns=1))


@erratum("yogi")
def e03_yogis_epsilon(page: Page) -> None:
    """3. Yogi has two values of ε.

    It is 1e-6 in D2L's TensorFlow tab and 1e-3, the paper's, in the other three. That is no detail: gradients between
    the two are held back by the one and not by the other. `rules.yogi` has the paper's; the other is said: `eps=1e-6`.
    """
    g = 1e-4
    ours, texts = follow(rules.yogi, [g], lr=1.0)[0], follow(rules.yogi, [g], lr=1.0, eps=1e-6)[0]
    page.measured("ε = 1e-6: first step at g = 1e-4", f"{texts:.4f} η")
    page.claim("by default it is g/(g + 1e-3)", np.isclose(ours, g / (g + 1e-3)), f"{ours:.4f} η")


@erratum(*ADAGRADS, *RMSPROPS, "adadelta", "adam", "yogi")
def e04_where_epsilon_stands(page: Page) -> None:
    """4. ε stands inside the root, outside it, or nowhere.

    D2L has it inside the root in Adagrad, RMSProp and Adadelta and outside in Adam and Yogi; of the companion texts one
    has Adagrad's outside and one has none. Frameworks differ too: PyTorch has it outside in Adagrad and RMSprop, Keras
    and optax inside. The same number then means other steps. Here each is a rule under its own name (`adagrad`,
    `adagrad_eps_inside` …), and a door's class has its framework's form.
    """
    import torch

    g, eps = 1e-3, 1e-6
    inside, outside, alone = g / np.sqrt(g**2 + eps), g / (g + eps), 1.0
    hyper = {"rmsprop_eps_inside": {"gamma": 0.0}, "rmsprop": {"gamma": 0.0}}  # γ = 0: the average is g² itself
    rows = [("none", "a companion text's Adagrad", f"{alone:.6f}")]
    for name, expected in (
        ("adagrad_eps_inside", inside), ("rmsprop_eps_inside", inside),
        ("adagrad", outside), ("rmsprop", outside), ("adam", outside), ("yogi", outside),
    ):  # fmt: skip
        step = follow(rules.named[name], [g], lr=1.0, eps=eps, **hyper.get(name, {}))[0]
        where = "inside" if expected is inside else "outside"
        rows.append((where, name, f"{step:.6f}"))
        page.claim(f"{name} has it {where}", np.isclose(step, expected, rtol=1e-9), f"{step:.6f} η")
    page.table(("ε", "rule", f"first step [η], g = {g:g}, ε = {eps:g}"), rows)
    first = follow(rules.adadelta, [g], rho=0.0, eps=eps)[0]
    page.claim("adadelta has it inside both roots", np.isclose(first, np.sqrt(eps) * inside), f"{first:.3e}")
    p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    p.grad = torch.full_like(p, g)
    torch.optim.Adagrad([p], lr=1.0, eps=eps).step()
    page.claim("PyTorch's Adagrad has it outside", abs(-p.item() - outside) < 1e-9, f"{-p.item():.6f} η")
    versions = [v for algorithm in ("adagrad", "rmsprop", "adam", "yogi") for v in frameworks.VERSIONS[algorithm]]
    page.table(("version", "ε", "known from"), [(v.name, v.epsilon, v.known) for v in versions])


@erratum("adadelta")
def e12_adadeltas_rate(page: Page) -> None:
    """12. Adadelta, the rule without a learning rate, has three of them.

    D2L's runs have 1.0 in PyTorch, 5.0 in TensorFlow and in Paddle none, which there means .001; the rule as written
    has none. `rules.adadelta` multiplies the paper's step by `lr`, which is 1 unless said: the paper's rule.
    """
    task = airfoil.load(page)
    first, losses = {}, {}
    for lr in (1.0, 5.0, 0.001):
        first[lr] = follow(rules.adadelta, [1.0], lr=lr, rho=0.9, eps=1e-5)[0]
        losses[lr] = airfoil.from_scratch(task, rules.adadelta, lr=lr, rho=0.9, eps=1e-5).loss
    rows = [(f"{lr:g}", f"{first[lr]:.6f}", f"{losses[lr]:.4f}") for lr in first]
    page.table(("rate", "first step at g = 1", "airfoil loss after 2 epochs"), rows)
    default, written = follow(rules.adadelta, [1.0], rho=0.9, eps=1e-5)[0], np.sqrt(1e-5 / (0.1 + 1e-5))
    page.claim("by default it is the rule as written: √ε/√(s+ε)", np.isclose(default, written), f"{default:.6f}")
    page.claim("at .001 it hardly learns", losses[0.001] > 0.4 > losses[1.0], f"{losses[0.001]:.4f}, {losses[1.0]:.4f}")


@erratum(*RMSPROPS)
def e13_rmsprops_memory(page: Page) -> None:
    """13. PyTorch's RMSprop is said to forget at .9.

    A companion text gives .9 as the default of alpha; it is .99. The same number is gamma1, alpha and rho in the tabs.
    Here it is γ everywhere: .99 in `rules.rmsprop`, as PyTorch's class, and .9 in `rules.rmsprop_eps_inside`, as D2L's.
    """
    import torch

    import stepwell.torch

    alphas = [inspect.signature(c).parameters["alpha"].default for c in (torch.optim.RMSprop, stepwell.torch.RMSprop)]
    page.number("alpha of torch.optim.RMSprop", alphas[0], "0.99")
    page.claim("stepwell.torch.RMSprop has the same", alphas[1] == alphas[0], alphas[1])
    first = {name: follow(rules.named[name], [1.0], lr=1.0)[0] for name in ("rmsprop", "rmsprop_eps_inside")}
    for name, gamma in (("rmsprop", 0.99), ("rmsprop_eps_inside", 0.9)):
        holds = np.isclose(first[name], 1 / np.sqrt(1 - gamma), rtol=1e-4)
        page.claim(f"{name} has γ = {gamma:g}: its first step is η/√(1-γ)", holds, f"{first[name]:.4f} η")


@erratum("rmsprop", "rmsprop_eps_inside")
def e26_an_average_of_gradients(page: Page) -> None:
    """26. RMSProp is given an average of gradients, not of their squares.

    A companion text, as it reached us, averages g where it says the square, starts the average at the first gradient
    and takes no root (a negative average has none). Then the sign of g divides itself away: left of a minimum the first
    step climbs. Here s averages g² and starts at 0, as in the lecture that RMSProp is from.
    """
    texts, ours = (
        minimize(surfaces.square, -5.0, each, lr=0.1, gamma=0.9, steps=20).path
        for each in (rmsprop_of_gradients, rules.rmsprop_eps_inside)
    )
    for whose, path in {"the text's": texts, "Stepwell's": ours}.items():
        page.measured(f"{whose} on x² from -5: x after 1 and after 20 steps", f"{path[1]:.4f}, {path[-1]:.4f}")
    page.claim("Stepwell's goes downhill", bool(np.all(np.diff(abs(ours)) < 0)), f"{ours[0]:g} → {ours[-1]:.4f}")
    first = [follow(rules.rmsprop_eps_inside, [g], lr=1.0)[0] for g in (-10.0, 10.0)]
    page.claim(
        "its first step is ±η/√(1-γ)", np.allclose(np.abs(first), np.sqrt(10)), f"{first[0]:.4f}, {first[1]:.4f}"
    )
