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
