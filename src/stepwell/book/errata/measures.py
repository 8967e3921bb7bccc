"""Errata about numbers that are printed and a network that is described."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from stepwell import rules
from stepwell.book import airfoil, minibatch
from stepwell.book.errata.erratum import erratum
from stepwell.book.section import Page
from stepwell.functions import theory
from stepwell.pages import plots


@erratum("gradient_descent")
def e10_above_the_limit(page: Page) -> None:
    """10. Gradient descent on the airfoil data has a rate at which it is unstable.

    D2L's rate of 1 is above the limit, 2 over the Hessian's largest eigenvalue. Its ten steps are too few to show it:
    along one direction the error grows by a tenth a step. Stepwell runs it as it is, and names the limit here and by
    `theory.stability_limit`.
    """
    task = airfoil.load(page)
    top = np.linalg.eigvalsh(minibatch.quadratic(task).hessian(np.zeros(6)))[-1]
    limit = theory.stability_limit("gradient_descent") / top
    page.number("the Hessian's largest eigenvalue", top, "2.0985")
    page.number("the largest stable rate", limit, "0.953")
    runs = {
        lr: airfoil.from_scratch(task, rules.gradient_descent, batch=len(task.data.inputs), epochs=100, lr=lr)
        for lr in (1.0, 0.9)
    }
    texts, ours = (np.array(run.losses) for run in runs.values())
    page.measured("η = 1: loss after 10, 50 and 100 steps", ", ".join(f"{texts[k]:.4g}" for k in (10, 50, 100)))
    growth = float(np.sqrt(texts[100] / texts[99]))
    page.number("η = 1: growth of the error a step in the end", growth, "1.0985")
    settled = bool(np.all(np.diff(ours) < 1e-6)) and ours[-1] < task.lowest + 1e-5
    page.claim("η = .9, below the limit, converges", settled, f"{ours[-1]:.6f}; least squares {task.lowest:.6f}")
    curves = [plots.Line(f"η = {lr:g}", run.losses, run.epochs) for lr, run in runs.items()]
    panel = plots.lines(
        curves, f"Limit: η = {limit:.3f}", "steps, each of all 1500 samples", "training loss", log="y",
        level=task.lowest, level_label="least squares",
    )  # fmt: skip
    page.figure("above_the_limit", plots.figure("Gradient descent on airfoil", panel, columns=1))


@erratum()
def e11_too_many_gigaflops(page: Page) -> None:
    """11. The gigaflops of a matrix product are 60 times too many.

    D2L prints 2/t for two 256×256 matrices, which is right for 1000×1000. Each of 256² elements is a sum of 256
    products, so it is 2·256³ operations: .0336/t. That is what the section on minibatches here divides by its times.
    """
    n = 8
    counted = operations(n)
    page.claim("n³ products and n²(n-1) sums, nearly 2n³", counted == (n**3, n**2 * (n - 1)), f"n = {n}: {counted}")
    side = minibatch.SIZE
    right = 2 * side**3 / 1e9
    page.number("10⁹ operations in a product of 256×256", right, "0.0336")
    a, b = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
    seconds = min(timed(lambda: a @ b) for _ in range(20))
    page.measured("the text's gigaflops of one product (on this machine)", 2 / seconds)
    page.measured("its gigaflops (on this machine)", right / seconds)
    page.measured("the text's over the right ones", 2 / right)


@erratum()
def e14_another_lenet(page: Page) -> None:
    """14. TensorFlow's LeNet is not the network of the text.

    D2L's text has maximum pooling and ReLU; that tab has average pooling and a sigmoid in its last hidden layer. The
    network here is the text's.
    """
    import torch
    from torch import nn

    from stepwell.book.lenet import lenet

    net: Any = lenet(0)
    images = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    kinds = [type(layer) for layer in net]
    bent, pooled = nn.ReLU, nn.MaxPool2d
    alike = kinds.count(pooled) == 2 and not {nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.LPPool2d} & set(kinds)
    page.claim("both poolings take the maximum", alike, f"{kinds.count(pooled)} of 2")
    alike = kinds.count(bent) == 4 and not {nn.Sigmoid, nn.Tanh} & set(kinds)
    page.claim("all activations are ReLU", alike, f"{kinds.count(bent)} of 4")
    with torch.no_grad():
        ours, texts = net(images), tensorflow_tab(net)(images)
    page.measured("sd of the scores of 64 images of noise: ours", (ours - ours.mean(0)).std().item())
    page.measured("the tab's, with the same weights", (texts - texts.mean(0)).std().item())


def tensorflow_tab(net: Any) -> Any:
    """The network that D2L's TensorFlow tab has, with the weights of the text's."""
    from torch import nn

    last = max(i for i, layer in enumerate(net) if isinstance(layer, nn.ReLU))
    swapped = [nn.AvgPool2d(2) if isinstance(layer, nn.MaxPool2d) else layer for layer in net]
    swapped[last] = nn.Sigmoid()
    return nn.Sequential(*swapped)


def operations(n: int) -> tuple[int, int]:
    """How many products and sums the elements of a product of n×n matrices take, counted one by one."""
    products = sums = 0
    for _ in range(n * n):
        for k in range(n):
            products, sums = products + 1, sums + (k > 0)
    return products, sums


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
