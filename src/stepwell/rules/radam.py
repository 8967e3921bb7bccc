"""RAdam: Adam that waits until its scale can be trusted."""

from stepwell.rule import Decay, NonNegative, Rate, rule, sqrt, where


@rule
def radam(g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8):
    """RAdam: Adam with its variance rectified; plain momentum while the average is shorter than 5 steps.

    Liu et al. (2020), algorithm 2. <https://arxiv.org/abs/1908.03265>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    trusted = rho > 5
    above = where(trusted, (rho - 4) * (rho - 2) * rho_inf, 0.0)
    below = where(trusted, (rho_inf - 4) * (rho_inf - 2) * rho, 1.0)
    scale = sqrt(above / below * (1 - beta2**t)) / (sqrt(v) + eps)
    return lr * m_hat * where(trusted, scale, 1.0), m, v


@rule
def radamw(
    p, g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-2,
):  # fmt: skip
    """RAdam with decoupled weight decay.

    Loshchilov & Hutter (2019) on Liu et al. (2020). <https://arxiv.org/abs/1711.05101>
    """
    step, m, v = radam(g, m, v, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)
    return lr * weight_decay * p + step, m, v
