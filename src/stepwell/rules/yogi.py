"""Yogi: Adam whose scale moves by additions of bounded size."""

from stepwell.rule import Decay, NonNegative, Rate, rule, sign, sqrt


@rule(start={"v": "initial_accumulator"})
def yogi(
    g, m, v, t, *, lr: Rate = 1e-2, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-3,
    initial_accumulator: NonNegative = 0.0,
):  # fmt: skip
    """Yogi: Adam whose second moment changes by (1 - β₂)g², whatever its own size, with Adam's bias correction.

    Zaheer et al. (2018), algorithm 2.
    <https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization>
    """
    m = beta1 * m + (1 - beta1) * g
    v = v + (1 - beta2) * g**2 * sign(g**2 - v)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return lr * m_hat / (sqrt(v_hat) + eps), m, v
