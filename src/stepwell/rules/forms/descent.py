"""Forms of descent that a framework or a setting calls for; the algorithm itself stands in `rules.descent`."""

from stepwell.rule import Decay, Rate, rule


@rule
def momentum_rate_inside(g, v, *, lr: Rate = 1e-2, beta: Decay = 0.9):
    """Momentum as a velocity of whole steps: each keeps the rate it was made with, whatever the rate is later.

    Polyak (1964), in the form of Keras and MXNet. <https://keras.io/api/optimizers/sgd/>
    """
    v = beta * v + lr * g
    return v, v


@rule
def nesterov_rate_inside(g, v, *, lr: Rate = 1e-2, beta: Decay = 0.9):
    """Nesterov momentum with a velocity of whole steps, each with the rate it was made with.

    Sutskever et al. (2013), in the form of Keras. <https://keras.io/api/optimizers/sgd/>
    """
    v = beta * v + lr * g
    return beta * v + lr * g, v
