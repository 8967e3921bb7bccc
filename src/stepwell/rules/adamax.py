"""Adamax: Adam in the largest norm."""

from stepwell.rule import Decay, NonNegative, Rate, maximum, rule


@rule
def adamax(g, m, u, t, *, lr: Rate = 2e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8):
    """Adamax: Adam scaled by a decaying maximum of gradients, not by their root mean square.

    Kingma & Ba (2015), algorithm 2, with ε added to |g| so that 0/0 cannot occur. <https://arxiv.org/abs/1412.6980>
    """
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u, abs(g) + eps)
    return lr / (1 - beta1**t) * m / u, m, u
