"""Forms of adam that a framework or a setting calls for; the algorithm itself stands in `rules.adam`."""

from stepwell.rule import Decay, NonNegative, Rate, maximum, rule, sqrt


@rule
def amsgrad_eps_hat(
    g, m, v, v_max, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8
):  # fmt: skip
    """AMSGrad with ε beside the uncorrected root, as Keras has it.

    Reddi, Kale & Kumar (2018), algorithm 2. <https://arxiv.org/abs/1904.09237>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    v_max = maximum(v_max, v)
    return lr * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v_max) + eps), m, v, v_max


@rule
def adam_eps_root(
    g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    eps_root: NonNegative = 1e-8,
):  # fmt: skip
    """Adam with a second ε under the root, so that the step has a derivative where the gradient is 0.

    Kingma & Ba (2015), as optax has it. <https://optax.readthedocs.io/en/latest/api/optimizers.html#adam>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return lr * m_hat / (sqrt(v_hat + eps_root) + eps), m, v


@rule
def adamw_eps_root(
    p, g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    eps_root: NonNegative = 1e-8, weight_decay: NonNegative = 1e-2,
):  # fmt: skip
    """AdamW with a second ε under the root.

    Loshchilov & Hutter (2019), as optax has it.
    <https://optax.readthedocs.io/en/latest/api/optimizers.html#adamw>
    """
    step, m, v = adam_eps_root(g, m, v, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root)
    return lr * weight_decay * p + step, m, v


@rule
def amsgrad_uncorrected(
    g, m, v, v_max, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
):  # fmt: skip
    """AMSGrad without bias correction, as it was published.

    Reddi, Kale & Kumar (2018), algorithm 2. <https://arxiv.org/abs/1904.09237>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    v_max = maximum(v_max, v)
    return lr * m / (sqrt(v_max + eps_root) + eps), m, v, v_max


@rule
def amsgrad_mean_corrected(
    g, m, v, v_max, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
):  # fmt: skip
    """AMSGrad with only its first mean corrected for bias.

    Reddi, Kale & Kumar (2018), one of optax's forms.
    <https://optax.readthedocs.io/en/latest/api/optimizers.html#amsgrad>
    """
    return amsgrad_uncorrected(
        g, m, v, v_max, lr=lr / (1 - beta1**t), beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root
    )


@rule
def amsgrad_scale_corrected(
    g, m, v, v_max, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
):  # fmt: skip
    """AMSGrad with only its second mean corrected for bias, before the largest is taken.

    Reddi, Kale & Kumar (2018), one of optax's forms.
    <https://optax.readthedocs.io/en/latest/api/optimizers.html#amsgrad>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    v_max = maximum(v_max, v / (1 - beta2**t))
    return lr * m / (sqrt(v_max + eps_root) + eps), m, v, v_max


@rule
def amsgrad_corrected(
    g, m, v, v_max, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
):  # fmt: skip
    """AMSGrad with the largest of the corrected second means, which no early small one can hide.

    Reddi, Kale & Kumar (2018), as optax has it.
    <https://optax.readthedocs.io/en/latest/api/optimizers.html#amsgrad>
    """
    return amsgrad_scale_corrected(
        g, m, v, v_max, t, lr=lr / (1 - beta1**t), beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root
    )
