"""Forms of nadam that a framework or a setting calls for; the algorithm itself stands in `rules.nadam`."""

from stepwell.rule import Decay, NonNegative, Rate, rule, sqrt


@rule
def adam_nesterov(
    g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
):  # fmt: skip
    """Adam with Nesterov's look ahead and no schedule of its momentum: what optax calls nadam.

    Dozat (2016), algorithm 2. <https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = beta1 / (1 - beta1 ** (t + 1)) * m + (1 - beta1) / (1 - beta1**t) * g
    v_hat = v / (1 - beta2**t)
    return lr * m_hat / (sqrt(v_hat + eps_root) + eps), m, v


@rule
def adamw_nesterov(
    p, g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0, weight_decay: NonNegative = 1e-2,
):  # fmt: skip
    """AdamW with Nesterov's look ahead: what optax calls nadamw.

    Loshchilov & Hutter (2019) on Dozat (2016). <https://arxiv.org/abs/1711.05101>
    """
    step, m, v = adam_nesterov(g, m, v, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root)
    return lr * weight_decay * p + step, m, v
