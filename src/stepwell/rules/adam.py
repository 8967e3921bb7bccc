"""Adam and its closest kin: a mean of gradients over the root of a mean of their squares."""

from stepwell.rule import Decay, NonNegative, Rate, maximum, rule, sqrt


@rule
def adam(g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8):
    """Adam: descent along a bias-corrected mean of gradients, each coordinate scaled by its own size.

    Kingma & Ba (2015), algorithm 1. <https://arxiv.org/abs/1412.6980>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return lr * m_hat / (sqrt(v_hat) + eps), m, v


@rule
def adam_eps_hat(g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8):
    """Adam with ε beside the uncorrected root, as torch.optim.SparseAdam, Keras and TensorFlow have it.

    Kingma & Ba (2015), end of section 2, where it is called ε̂. <https://arxiv.org/abs/1412.6980>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return lr * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + eps), m, v


@rule
def amsgrad(
    g, m, v, v_max, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8
):  # fmt: skip
    """AMSGrad: Adam whose scale never shrinks, with Adam's bias correction.

    Reddi, Kale & Kumar (2018), algorithm 2. <https://arxiv.org/abs/1904.09237>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    v_max = maximum(v_max, v)
    m_hat = m / (1 - beta1**t)
    v_hat = v_max / (1 - beta2**t)
    return lr * m_hat / (sqrt(v_hat) + eps), m, v, v_max


@rule
def adamw(
    p, g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-2,
):  # fmt: skip
    """AdamW: Adam, and weight decay beside it rather than inside the gradient.

    Loshchilov & Hutter (2019), algorithm 2. <https://arxiv.org/abs/1711.05101>
    """
    step, m, v = adam(g, m, v, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)
    return lr * weight_decay * p + step, m, v


@rule
def amsgradw(
    p, g, m, v, v_max, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-2,
):  # fmt: skip
    """AMSGrad with decoupled weight decay.

    Loshchilov & Hutter (2019) on Reddi, Kale & Kumar (2018). <https://arxiv.org/abs/1711.05101>
    """
    step, m, v, v_max = amsgrad(g, m, v, v_max, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)
    return lr * weight_decay * p + step, m, v, v_max
