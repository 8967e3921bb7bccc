"""NAdam: Adam with Nesterov's look ahead."""

from stepwell.rule import Decay, NonNegative, Rate, rule, sqrt


@rule(start={"mu_product": 1.0})
def nadam(
    g, m, v, mu_product, t, *, lr: Rate = 2e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    momentum_decay: NonNegative = 4e-3,
):  # fmt: skip
    """NAdam: Adam whose momentum is Nesterov's and warms up on a schedule; `mu_product` is one number, not an array.

    Dozat (2016), with the schedule of its appendix. <https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ>
    """
    mu = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
    mu_product = mu_product * mu
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = mu_next / (1 - mu_product * mu_next) * m + (1 - mu) / (1 - mu_product) * g
    v_hat = v / (1 - beta2**t)
    return lr * m_hat / (sqrt(v_hat) + eps), m, v, mu_product


@rule(start={"mu_product": 1.0})
def nadamw(
    p, g, m, v, mu_product, t, *, lr: Rate = 2e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    momentum_decay: NonNegative = 4e-3, weight_decay: NonNegative = 1e-2,
):  # fmt: skip
    """NAdam with decoupled weight decay.

    Loshchilov & Hutter (2019) on Dozat (2016). <https://arxiv.org/abs/1711.05101>
    """
    step, m, v, mu_product = nadam(
        g, m, v, mu_product, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps, momentum_decay=momentum_decay
    )
    return lr * weight_decay * p + step, m, v, mu_product
