"""Adagrad: each coordinate scaled by the size of all its gradients so far."""

from stepwell.rule import NonNegative, Rate, row_mean, rule, sqrt


@rule(start={"s": "initial_accumulator"})
def adagrad(g, s, *, lr: Rate = 1e-2, eps: NonNegative = 1e-10, initial_accumulator: NonNegative = 0.0):
    """Adagrad: a rate for each coordinate, falling with the sum of its squared gradients.

    Duchi, Hazan & Singer (2011). <https://jmlr.org/papers/v12/duchi11a.html>
    """
    s = s + g**2
    return lr * g / (sqrt(s) + eps), s


@rule(start={"s": "initial_accumulator"})
def adagrad_eps_inside(g, s, *, lr: Rate = 0.1, eps: NonNegative = 1e-6, initial_accumulator: NonNegative = 0.0):
    """Adagrad with ε under the root, as in Dive into Deep Learning, optax and Keras.

    Duchi, Hazan & Singer (2011). <https://d2l.ai/chapter_optimization/adagrad.html>
    """
    s = s + g**2
    return lr * g / sqrt(s + eps), s


@rule(start={"s": "initial_accumulator"})
def adagrad_decayed(
    g, s, t, *, lr: Rate = 1e-2, lr_decay: NonNegative = 0.0, eps: NonNegative = 1e-10,
    initial_accumulator: NonNegative = 0.0,
):  # fmt: skip
    """Adagrad whose rate also falls as 1 / (1 + lr_decay·(t - 1)).

    The form of torch.optim.Adagrad. <https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html>
    """
    return adagrad(g, s, lr=lr / (1 + (t - 1) * lr_decay), eps=eps, initial_accumulator=initial_accumulator)


@rule(start={"s": "initial_accumulator"})
def adagrad_rowwise(g, s, *, lr: Rate = 1e-2, eps: NonNegative = 1e-10, initial_accumulator: NonNegative = 0.0):
    """Adagrad with one rate for each row of a table: the sum is of the mean of a row's squared gradients.

    For embeddings in recommendation systems; FBGEMM's exact row-wise Adagrad, of Mudigere et al. (2022).
    <https://arxiv.org/abs/2104.05158>
    """
    s = s + row_mean(g**2)
    return lr * g / (sqrt(s) + eps), s
