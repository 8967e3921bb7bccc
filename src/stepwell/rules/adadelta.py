"""Adadelta: steps in the units of the parameter."""

from stepwell.rule import NonNegative, Rate, Share, rule, sqrt


@rule
def adadelta(g, s, d, *, lr: Rate = 1.0, rho: Share = 0.9, eps: NonNegative = 1e-6):
    """Adadelta: the recent size of the steps over the recent size of the gradients, so no rate has to be chosen.

    Zeiler (2012), algorithm 1. <https://arxiv.org/abs/1212.5701>
    """
    s = rho * s + (1 - rho) * g**2
    step = sqrt(d + eps) / sqrt(s + eps) * g
    d = rho * d + (1 - rho) * step**2
    return lr * step, s, d
