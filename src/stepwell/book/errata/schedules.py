"""Errata about learning rates that change: what counts, when it takes effect, and what a schedule remembers."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from stepwell import schedules
from stepwell.book.errata.erratum import erratum
from stepwell.book.section import Page
from stepwell.pages import plots

EPOCH = 235  # batches of 256 in Fashion-MNIST's 60 000 images
EPOCHS = 30


class BookFactor:
    """A factor schedule that multiplies what it remembers, whatever it is asked."""

    def __init__(self, factor: float, floor: float, base: float):
        self.factor, self.floor, self.rate = factor, floor, base

    def __call__(self, epoch: int) -> float:
        self.rate = max(self.floor, self.rate * self.factor)
        return self.rate


class BookCosine:
    """A cosine schedule that past its end repeats what it answered last, if it did."""

    def __init__(self, end: int, base: float, final: float, warmup: int = 0):
        self.end, self.base, self.final, self.warmup = end, base, final, warmup
        self.last: float | None = None

    def __call__(self, epoch: int) -> float:
        if epoch < self.warmup:
            return self.base * epoch / self.warmup
        if epoch <= self.end:
            share = (epoch - self.warmup) / (self.end - self.warmup)
            self.last = self.final + (self.base - self.final) * (1 + math.cos(math.pi * share)) / 2
        if self.last is None:
            raise AttributeError("there is no last answer to repeat")
        return self.last


def used(optimizer: Any, after_epoch: Callable[[int], None], epochs: int = EPOCHS) -> list[float]:
    """The rate of each epoch's update, read off the weight that it moves: its gradient is 1."""
    (weight,) = optimizer.param_groups[0]["params"]
    rates = []
    for epoch in range(epochs):
        before = weight.item()
        optimizer.zero_grad()
        weight.sum().backward()
        optimizer.step()
        rates.append(before - weight.item())
        after_epoch(epoch)
    return rates


def descent(lr: float) -> Any:
    """PyTorch's gradient descent on one weight."""
    import torch

    return torch.optim.SGD([torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr=lr)


@erratum()
def e15_what_a_schedule_counts(page: Page) -> None:
    """15. One and the same schedule counts minibatches or epochs.

    In D2L's MXNet tab it is asked at each update, in the others once an epoch, 235 updates: in MXNet the rate halves
    after 15 batches and not after 15 epochs. Here a schedule counts updates, and `per_epoch(235)` says when it shall
    count epochs.
    """
    root, steps = schedules.inverse_sqrt(0.1), schedules.multi_factor([15, 30], 0.5, rate=0.5)
    last = (EPOCHS - 1) * EPOCH
    page.number("square root, by epochs: rate of epoch 29", root.per_epoch(EPOCH)(last), "0.018257")
    page.measured("by minibatches: the same epoch's", f"{root(last):.6f}")
    ks = np.arange(EPOCHS * EPOCH)
    same = all(np.array_equal(s.per_epoch(EPOCH)(ks), s(ks // EPOCH)) for s in (root, steps))
    page.claim("per_epoch has an epoch's rate at each of its updates", same, f"{len(ks)} updates")
    page.measured("multi-factor by minibatches: rate of epoch 1, and by epochs", f"{steps(EPOCH)}, {steps(1)}")


@erratum()
def e16_an_epoch_late(page: Page) -> None:
    """16. A schedule of one's own takes effect an epoch late.

    D2L's PyTorch and Paddle loops ask for the rate of epoch k when k is over. With warmup, epoch 0 then runs at the
    full rate that warmup is to avoid, and epoch 1 at 0. Here update k has the rate schedule(k), in `as_torch` and in
    every optimizer.
    """
    from stepwell.torch import SGD

    schedule = schedules.warmup(5, rate=0.3).then(schedules.cosine(15, rate=0.3, end=0.01))
    planned = [schedule(k) for k in range(EPOCHS)]
    texts = descent(0.3)
    late = used(texts, lambda epoch: texts.param_groups[0].update(lr=schedule(epoch)))
    page.number("the text's rates of epochs 0, 1, 2", late[:3], "0.30, 0.00, 0.06")
    bridged = descent(0.3)
    scheduler = schedules.as_torch(bridged, schedule)
    ours = SGD(descent(0.3).param_groups[0]["params"], lr=schedule)
    page.number("warmup: rates of epochs 0 to 5", planned[:6], "0.00, 0.06, 0.12, 0.18, 0.24, 0.30")
    for what, rates in (
        ("as_torch", used(bridged, lambda epoch: scheduler.step())),
        ("an optimizer with lr=schedule", used(ours, lambda epoch: None)),
    ):
        page.claim(
            f"{what} uses the planned rates", np.allclose(rates, planned, atol=1e-12), f"{rates[0]:g}, {rates[1]:g} …"
        )
    curves = [
        plots.Line(name, rates, marker="o")
        for name, rates in (("planned, and Stepwell's", planned), ("D2L's loop", late))
    ]
    panel = plots.lines(curves, "5 epochs of warmup, then a cosine", "epoch", "learning rate in use")
    page.figure("an_epoch_late", plots.figure("Rates asked for when the epoch is over", panel, columns=1))


@erratum()
def e17_used_up_by_its_plot(page: Page) -> None:
    """17. The multi-step schedule is at its end before the training begins.

    D2L's PyTorch tab steps its scheduler 30 times to draw it and then trains with it: all 30 epochs run at .125 and
    none at .5. A schedule here is a function: asking changes nothing.
    """
    import torch

    optimizer = descent(0.5)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [15, 30], 0.5)

    def plotted(epoch: int) -> float:
        rate = scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()
        return float(rate)

    plot = [plotted(epoch) for epoch in range(EPOCHS)]
    trained = used(optimizer, lambda epoch: scheduler.step())
    page.number("the text's plot: rates of epochs 14 and 15", [plot[14], plot[15]], "0.50, 0.25")
    page.number("the text's training: rates of epochs 0 and 29", [trained[0], trained[-1]], "0.125, 0.125")
    schedule = schedules.multi_factor([15, 30], 0.5, rate=0.5)
    first, again = ([schedule(k) for k in range(EPOCHS)] for _ in range(2))
    page.number("Stepwell's, once drawn: epochs 14 and 15", [again[14], again[15]], "0.50, 0.25")
    page.claim("what is drawn is what is trained with", first == again == plot)


@erratum()
def e18_a_factor_with_a_memory(page: Page) -> None:
    """18. The factor schedule does not look at what it is asked.

    D2L's multiplies its rate at every call, so its first value is base·factor and a second reader gets other rates.
    Here `factor` is a function of the step whose first value is `rate`; `start=1` gives D2L's numbers.
    """
    book, ours = BookFactor(0.9, 1e-2, 2.0), schedules.factor(0.9, rate=2.0, floor=1e-2, start=1)
    texts = [book(k) for k in range(50)]
    page.number("the text's first and fiftieth", [texts[0], texts[-1]], "1.8, 0.010308")
    page.measured("its answer when asked for epoch 0 again", book(0))
    rates = [ours(k) for k in range(50)]
    page.number("Stepwell's with start=1: first and fiftieth", [rates[0], rates[-1]], "1.8, 0.010308")
    page.claim("all fifty are equal", np.allclose(texts, rates, rtol=1e-12))
    page.claim("asked again, it answers the same", [ours(k) for k in reversed(range(50))] == rates[::-1])
    plain = schedules.factor(0.9, rate=2.0)(0)
    page.claim("without start its first value is the rate", plain == 2.0, plain)


@erratum()
def e19_past_the_cosines_end(page: Page) -> None:
    """19. The cosine schedule's text and code are two schedules.

    In D2L's text it stays at its last value past the end T. In its code it repeats its last answer: it fails when there
    is none, and repeats a wrong one when steps were skipped; and its T counts the warmup in. Here `cosine(steps)`
    holds `end` from its end on, whatever was asked before, and has its steps after a warmup:
    `warmup(5).then(cosine(15))`.
    """
    fresh, skipped = BookCosine(20, 0.3, 0.01), BookCosine(20, 0.3, 0.01)
    try:
        failed = f"{fresh(25):g}"
    except AttributeError as error:
        failed = type(error).__name__
    page.measured("the text's code, first asked at 25", failed)
    skipped(5)
    page.measured("its answer at 25 if asked before at 5 alone", skipped(25))
    ours = schedules.cosine(20, rate=0.3, end=0.01)
    page.number("Stepwell's at 25 and at 10", [ours(25), ours(10)], "0.01, 0.155")
    code = BookCosine(20, 0.3, 0.01, warmup=5)
    after = schedules.warmup(5, rate=0.3).then(schedules.cosine(15, rate=0.3, end=0.01))
    same = np.allclose([code(k) for k in range(EPOCHS)], [after(k) for k in range(EPOCHS)], atol=1e-15)
    page.claim("warmup(5).then(cosine(15)) has its code's rates", same, f"epoch 10: {after(10):.4f}")


@erratum()
def e20_a_schedule_without_a_definition(page: Page) -> None:
    """20. An exercise asks for the polynomial schedule, which is defined nowhere.

    D2L's section on stochastic descent has a formula, η₀(βt+1)^-α; the one on schedules has no code for it. Here it is
    `schedules.polynomial(alpha, beta, rate)`, and with α = ½, β = 1 it is the square-root schedule.
    """
    ks = np.arange(50)
    ours = schedules.polynomial(alpha=0.5, beta=0.1, rate=0.2)
    exact = np.allclose(ours(ks), 0.2 / np.sqrt(0.1 * ks + 1), rtol=1e-14)
    page.claim("it is η₀(βt+1)^-α", exact, f"α = ½, β = .1, η₀ = .2: {ours(30):g} at t = 30")
    root = schedules.polynomial(alpha=0.5, beta=1.0, rate=0.1)
    page.number("α = ½, β = 1, η₀ = .1: at t = 29", root(29), "0.018257")
    page.claim("which is the square-root schedule", root == schedules.inverse_sqrt(0.1))
