"""Forms of adagrad that a framework or a setting calls for; the algorithm itself stands in `rules.adagrad`."""

from stepwell.rule import NonNegative, Rate, row_mean, rule, sqrt, where
from stepwell.rules.adagrad import adagrad_eps_inside


@rule(start={"s": "initial_accumulator"})
def adagradw_eps_inside(
    p, g, s, *, lr: Rate = 1e-2, eps: NonNegative = 1e-7, initial_accumulator: NonNegative = 0.0,
    weight_decay: NonNegative = 1e-2,
):  # fmt: skip
    """Adagrad with ε under the root and decoupled weight decay, as MXNet has it.

    Loshchilov & Hutter (2019) on Duchi, Hazan & Singer (2011). <https://arxiv.org/abs/1711.05101>
    """
    step, s = adagrad_eps_inside(g, s, lr=lr, eps=eps, initial_accumulator=initial_accumulator)
    return lr * weight_decay * p + step, s


@rule(start={"s": "initial_accumulator"})
def adagrad_rowwise_eps_inside(
    g, s, *, lr: Rate = 1e-2, eps: NonNegative = 1e-5, initial_accumulator: NonNegative = 0.0
):  # fmt: skip
    """Adagrad with one rate for each row of a table, ε under the root: MXNet's GroupAdaGrad.

    Duchi, Hazan & Singer (2011), by rows. <https://jmlr.org/papers/v12/duchi11a.html>
    """
    s = s + row_mean(g**2)
    return lr * g / sqrt(s + eps), s


@rule(start={"s": "initial_accumulator"})
def adagrad_without_eps(g, s, *, lr: Rate = 1e-2, initial_accumulator: NonNegative = 0.0):
    """Adagrad as it was published but for δ: a coordinate that has had no gradient yet stays where it is.

    Duchi, Hazan & Singer (2011), section 1.1. <https://jmlr.org/papers/v12/duchi11a.html>
    """
    s = s + g**2
    return where(s > 0, lr * g / sqrt(s), 0.0), s
