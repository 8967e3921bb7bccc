"""Forms of adadelta that a framework or a setting calls for; the algorithm itself stands in `rules.adadelta`."""

from stepwell.rule import NonNegative, Rate, Share, rule
from stepwell.rules.adadelta import adadelta


@rule
def adadeltaw(
    p, g, s, d, *, lr: Rate = 1.0, rho: Share = 0.9, eps: NonNegative = 1e-6, weight_decay: NonNegative = 1e-2
):  # fmt: skip
    """Adadelta with decoupled weight decay.

    Loshchilov & Hutter (2019) on Zeiler (2012). <https://arxiv.org/abs/1711.05101>
    """
    step, s, d = adadelta(g, s, d, lr=lr, rho=rho, eps=eps)
    return lr * weight_decay * p + step, s, d
