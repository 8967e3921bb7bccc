"""The texts' training code as small machines, for tests to run: a buffer that shuffles, a schedule that remembers."""

from collections.abc import Sequence

import numpy as np


def buffered(generator: np.random.Generator, n: int, size: int = 1000) -> np.ndarray:
    """An order of n rows as a shuffle buffer gives it: fill it, hand one out at random, take the next in."""
    waiting, held, order = list(range(n)), [], []
    while waiting or held:
        while waiting and len(held) < size:
            held.append(waiting.pop(0))
        order.append(held.pop(generator.integers(len(held))))
    return np.array(order)


class Remembering:
    """A schedule that answers with its next rate, whatever it is asked."""

    def __init__(self, rates: Sequence[float]):
        self.rates = iter(rates)

    def __call__(self, step: int) -> float:
        return next(self.rates)
