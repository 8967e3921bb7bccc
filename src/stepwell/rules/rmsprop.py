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
