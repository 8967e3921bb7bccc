"""Forms of rmsprop that a framework or a setting calls for; the algorithm itself stands in `rules.rmsprop`."""

from stepwell.rule import Decay, NonNegative, Rate, Share, rule, sqrt
from stepwell.rules.rmsprop import rmsprop_eps_inside


@rule
def rmsprop_eps_inside_momentum(
    g, s, v, *, lr: Rate = 1e-2, gamma: Share = 0.9, eps: NonNegative = 1e-6, beta: Decay = 0.9
):  # fmt: skip
    """RMSProp with ε under the root and momentum: a velocity of whole steps, their rates inside.

    Graves (2013), section 4, in the form of Keras and optax. <https://arxiv.org/abs/1308.0850>
    """
    scaled, s = rmsprop_eps_inside(g, s, lr=lr, gamma=gamma, eps=eps)
    v = beta * v + scaled
    return v, s, v


@rule
def rmsprop_eps_inside_nesterov(
    g, s, v, *, lr: Rate = 1e-2, gamma: Share = 0.9, eps: NonNegative = 1e-6, beta: Decay = 0.9
):  # fmt: skip
    """RMSProp with ε under the root and Nesterov's momentum of whole steps, their rates inside.

    Graves (2013) and Dozat (2016). <https://optax.readthedocs.io/en/latest/api/optimizers.html#rmsprop>
    """
    scaled, s = rmsprop_eps_inside(g, s, lr=lr, gamma=gamma, eps=eps)
    v = beta * v + scaled
    return scaled + beta * v, s, v


@rule
def rmsprop_eps_inside_centered(g, s, a, *, lr: Rate = 1e-2, gamma: Share = 0.9, eps: NonNegative = 1e-6):
    """Centered RMSProp with ε under the root, as in Keras and optax.

    Graves (2013), section 4. <https://arxiv.org/abs/1308.0850>
    """
    s = gamma * s + (1 - gamma) * g**2
    a = gamma * a + (1 - gamma) * g
    return lr * g / sqrt(s - a**2 + eps), s, a


@rule
def rmsprop_eps_inside_centered_momentum(
    g, s, a, v, *, lr: Rate = 1e-2, gamma: Share = 0.9, eps: NonNegative = 1e-6, beta: Decay = 0.9
):  # fmt: skip
    """Centered RMSProp with ε under the root and a velocity of whole steps, their rates inside.

    Graves (2013), equations 38 to 45, in the form of Keras and optax. <https://arxiv.org/abs/1308.0850>
    """
    scaled, s, a = rmsprop_eps_inside_centered(g, s, a, lr=lr, gamma=gamma, eps=eps)
    v = beta * v + scaled
    return v, s, a, v


@rule
def rmsprop_corrected(g, s, t, *, lr: Rate = 1e-2, gamma: Decay = 0.9, eps: NonNegative = 1e-8):
    """RMSProp with its mean corrected for bias, as Adam's are.

    Tieleman & Hinton (2012), corrected as Kingma & Ba (2015) do.
    <https://optax.readthedocs.io/en/latest/api/optimizers.html#rmsprop>
    """
    s = gamma * s + (1 - gamma) * g**2
    s_hat = s / (1 - gamma**t)
    return lr * g / (sqrt(s_hat) + eps), s


@rule
def rmsprop_eps_inside_corrected(g, s, t, *, lr: Rate = 1e-2, gamma: Decay = 0.9, eps: NonNegative = 1e-8):
    """RMSProp with ε under the root and its mean corrected for bias, as Adam's are.

    Tieleman & Hinton (2012), corrected as Kingma & Ba (2015) do.
    <https://optax.readthedocs.io/en/latest/api/optimizers.html#rmsprop>
    """
    s = gamma * s + (1 - gamma) * g**2
    s_hat = s / (1 - gamma**t)
    return lr * g / sqrt(s_hat + eps), s
