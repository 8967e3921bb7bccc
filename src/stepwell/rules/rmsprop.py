"""RMSProp: each coordinate scaled by the recent size of its gradients."""

from stepwell.rule import Decay, NonNegative, Rate, Share, rule, sqrt


@rule
def rmsprop(g, s, *, lr: Rate = 1e-2, gamma: Share = 0.99, eps: NonNegative = 1e-8):
    """RMSProp: Adagrad that forgets, with a leaky average of squared gradients for their sum.

    Tieleman & Hinton (2012). <https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf>
    """
    s = gamma * s + (1 - gamma) * g**2
    return lr * g / (sqrt(s) + eps), s


@rule
def rmsprop_eps_inside(g, s, *, lr: Rate = 1e-2, gamma: Share = 0.9, eps: NonNegative = 1e-6):
    """RMSProp with ε under the root, as in Dive into Deep Learning, optax and Keras.

    Tieleman & Hinton (2012). <https://d2l.ai/chapter_optimization/rmsprop.html>
    """
    s = gamma * s + (1 - gamma) * g**2
    return lr * g / sqrt(s + eps), s


@rule
def rmsprop_momentum(
    g, s, v, *, lr: Rate = 1e-2, gamma: Share = 0.99, eps: NonNegative = 1e-8, beta: Decay = 0.9
):  # fmt: skip
    """RMSProp with momentum: a velocity of scaled gradients.

    Graves (2013), section 4. <https://arxiv.org/abs/1308.0850>
    """
    scaled, s = rmsprop(g, s, lr=1.0, gamma=gamma, eps=eps)
    v = beta * v + scaled
    return lr * v, s, v


@rule
def rmsprop_centered(g, s, a, *, lr: Rate = 1e-2, gamma: Share = 0.99, eps: NonNegative = 1e-8):
    """Centered RMSProp: scaled by the gradient's standard deviation, not by its root mean square.

    Graves (2013), section 4. <https://arxiv.org/abs/1308.0850>
    """
    s = gamma * s + (1 - gamma) * g**2
    a = gamma * a + (1 - gamma) * g
    return lr * g / (sqrt(s - a**2) + eps), s, a


@rule
def rmsprop_centered_momentum(
    g, s, a, v, *, lr: Rate = 1e-2, gamma: Share = 0.99, eps: NonNegative = 1e-8, beta: Decay = 0.9
):  # fmt: skip
    """Centered RMSProp with momentum.

    Graves (2013), equations 38 to 45. <https://arxiv.org/abs/1308.0850>
    """
    scaled, s, a = rmsprop_centered(g, s, a, lr=1.0, gamma=gamma, eps=eps)
    v = beta * v + scaled
    return lr * v, s, a, v


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

    Tieleman & Hinton (2012), corrected as Kingma & Ba (2015) do. <https://optax.readthedocs.io/en/latest/api/optimizers.html#rmsprop>
    """
    s = gamma * s + (1 - gamma) * g**2
    s_hat = s / (1 - gamma**t)
    return lr * g / (sqrt(s_hat) + eps), s


@rule
def rmsprop_centered_corrected(g, s, a, t, *, lr: Rate = 1e-2, gamma: Decay = 0.9, eps: NonNegative = 1e-8):
    """Centered RMSProp with its means corrected for bias, as Adam's are.

    Graves (2013), section 4, corrected as Kingma & Ba (2015) do. <https://optax.readthedocs.io/en/latest/api/optimizers.html#rmsprop>
    """
    s = gamma * s + (1 - gamma) * g**2
    a = gamma * a + (1 - gamma) * g
    s_hat = s / (1 - gamma**t)
    return lr * g / (sqrt(s_hat - (a / (1 - gamma**t)) ** 2) + eps), s, a


@rule
def rmsprop_eps_inside_corrected(g, s, t, *, lr: Rate = 1e-2, gamma: Decay = 0.9, eps: NonNegative = 1e-8):
    """RMSProp with ε under the root and its mean corrected for bias, as Adam's are.

    Tieleman & Hinton (2012), corrected as Kingma & Ba (2015) do. <https://optax.readthedocs.io/en/latest/api/optimizers.html#rmsprop>
    """
    s = gamma * s + (1 - gamma) * g**2
    s_hat = s / (1 - gamma**t)
    return lr * g / sqrt(s_hat + eps), s


@rule
def rmsprop_eps_inside_centered_corrected(g, s, a, t, *, lr: Rate = 1e-2, gamma: Decay = 0.9, eps: NonNegative = 1e-8):
    """Centered RMSProp with ε under the root and its means corrected for bias, as Adam's are.

    Graves (2013), section 4, corrected as Kingma & Ba (2015) do. <https://optax.readthedocs.io/en/latest/api/optimizers.html#rmsprop>
    """
    s = gamma * s + (1 - gamma) * g**2
    a = gamma * a + (1 - gamma) * g
    s_hat = s / (1 - gamma**t)
    return lr * g / sqrt(s_hat - (a / (1 - gamma**t)) ** 2 + eps), s, a
