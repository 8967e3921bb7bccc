"""Lion: steps of one size, in the direction that two momenta agree on."""

from stepwell.rule import Decay, NonNegative, Rate, rule, sign


@rule
def lion(
    p, g, m, *, lr: Rate = 1e-4, beta1: Decay = 0.9, beta2: Decay = 0.99, weight_decay: NonNegative = 0.0
):  # fmt: skip
    """Lion: the sign of a mean of gradients, with decoupled weight decay.

    Chen et al. (2023), program 1. <https://arxiv.org/abs/2302.06675>
    """
    step = lr * sign(beta1 * m + (1 - beta1) * g)
    m = beta2 * m + (1 - beta2) * g
    return lr * weight_decay * p + step, m
