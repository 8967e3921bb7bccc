"""Gradient descent, and descent along a velocity."""

from stepwell.rule import Decay, Rate, Real, rule, where


@rule
def gradient_descent(g, *, lr: Rate = 1e-2):
    """Gradient descent: a step against the gradient.

    Cauchy (1847); with a sampled gradient, Robbins & Monro (1951). <https://doi.org/10.1214/aoms/1177729586>
    """
    return lr * g


@rule
def momentum(g, v, *, lr: Rate = 1e-2, beta: Decay = 0.9):
    """Momentum: descent along a leaky sum of gradients.

    Polyak (1964). <https://doi.org/10.1016/0041-5553(64)90137-5>
    """
    v = beta * v + g
    return lr * v, v


@rule
def momentum_dampened(g, v, t, *, lr: Rate = 1e-2, beta: Decay = 0.9, dampening: Real = 0.0):
    """Momentum with dampening: gradients after the first enter the velocity scaled by 1 - dampening.

    The form of torch.optim.SGD. <https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html>
    """
    v = where(t > 1, beta * v + (1 - dampening) * g, g)
    return lr * v, v


@rule
def nesterov(g, v, *, lr: Rate = 1e-2, beta: Decay = 0.9):
    """Nesterov momentum: the gradient plus the velocity it will have, looked at one step ahead.

    Nesterov (1983), in the form of Sutskever et al. (2013). <https://proceedings.mlr.press/v28/sutskever13.html>
    """
    v = beta * v + g
    return lr * (g + beta * v), v
