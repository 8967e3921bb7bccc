"""Forms of adamax that a framework or a setting calls for; the algorithm itself stands in `rules.adamax`."""

from stepwell.rule import Decay, NonNegative, Rate, maximum, rule
from stepwell.rules.adamax import adamax


@rule
def adamaxw(
    p, g, m, u, t, *, lr: Rate = 2e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-2,
):  # fmt: skip
    """Adamax with decoupled weight decay.

    Loshchilov & Hutter (2019) on Kingma & Ba (2015). <https://arxiv.org/abs/1711.05101>
    """
    step, m, u = adamax(g, m, u, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)
    return lr * weight_decay * p + step, m, u


@rule
def adamax_eps_outside(
    g, m, u, t, *, lr: Rate = 2e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8
):  # fmt: skip
    """Adamax with ε beside the norm rather than in it, as in Keras.

    Kingma & Ba (2015), algorithm 2. <https://keras.io/api/optimizers/adamax/>
    """
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u, abs(g))
    return lr / (1 - beta1**t) * m / (u + eps), m, u


@rule
def adamax_eps_old(g, m, u, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8):
    """Adamax with ε added to the old norm before the gradient is compared with it, as in Paddle.

    Kingma & Ba (2015), algorithm 2. <https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/optimizer/Adamax_en.html>
    """
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u + eps, abs(g))
    return lr / (1 - beta1**t) * m / u, m, u
