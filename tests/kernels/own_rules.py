"""Rules of a user's making, for what a step with a zero gradient does under them."""

from stepwell.rule import Decay, Positive, Rate, maximum, minimum, row_mean, rule, sign, sqrt, tanh, where


@rule
def two_velocities(g, v, w, *, lr: Rate = 0.01):
    """The drift has two terms of different scales."""
    v, w = 0.9 * v + g, 0.5 * w + g
    return lr * (v + w), v, w


@rule
def cautious_at_first(g, v, t, *, lr: Rate = 0.01, beta: Decay = 0.9):
    """A number that depends on the step alone is 0 for ten steps."""
    v = beta * v + g
    return lr * where(t > 10, v, 0.0), v


@rule
def momentum_then_adam(g, m, s, t, *, lr: Rate = 0.01, beta: Decay = 0.9):
    """From step 100 on another formula: the first is regular, the second is not."""
    m, s = beta * m + g, 0.99 * s + 0.01 * g**2
    return lr * where(t < 100, m, m / (sqrt(s) + 1)), m, s


@rule
def bounded_velocity(g, v, *, lr: Rate = 0.01, beta: Decay = 0.9):
    """What a velocity does to a parameter is no multiple of it."""
    v = beta * v + g
    return lr * tanh(v), v


@rule
def largest_so_far(g, m, v, u, *, lr: Rate = 0.01, growth: Positive = 0.99):
    """A maximum of what may shrink or grow without a gradient."""
    m, v = 0.9 * m + 0.1 * g, growth * v + 0.01 * g**2
    u = maximum(u, v)
    return lr * m / (sqrt(u) + 0.1), m, v, u


@rule
def largest_later(g, m, v, u, t, *, lr: Rate = 0.01, beta: Decay = 0.9):
    """A maximum of what shrinks for a hundred steps and then grows."""
    m, v = beta * m + g, where(t < 100, 0.9, 1.2) * v + 0.01 * g**2
    u = maximum(u, v)
    return lr * m / (sqrt(u) + 0.1), m, v, u


@rule
def centred(g, m, *, lr: Rate = 0.01, beta: Decay = 0.9):
    """A velocity less its row's mean."""
    m = beta * m + g
    return lr * (m - row_mean(m)), m


@rule
def restless(p, g, n, *, lr: Rate = 0.01):
    """The state counts steps, and the parameter walks in a circle of states."""
    n = where(n > 2, 0.0, n + 1)
    return lr * (g + minimum(p, 1.0) * n), n


@rule
def cubic(g, v, *, lr: Rate = 0.01, beta: Decay = 0.9):
    """A drift with a power of a state's scale that is neither 1 nor a half."""
    v = beta * v + g
    return lr * v * abs(v) / (abs(v) * 0.5 + 0.25), v


@rule
def signed_and_decayed(p, g, m, *, lr: Rate = 0.01, beta: Decay = 0.9, pull: Rate = 0.1):
    """The parameter shrinks by itself, and a velocity of one size pushes it."""
    m = beta * m + g
    return lr * (pull * p + sign(m)), m


@rule
def falling_sign(g, m, *, lr: Rate = 0.01):
    """A velocity that changes its sign at each step."""
    m = g - 0.9 * m
    return lr * m, m


@rule
def two_scales(g, m, v, w, *, lr: Rate = 0.01):
    """A sum of two states, either of which may be 0."""
    m, v, w = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2, 0.98 * w + 0.02 * (abs(g) + g)
    return lr * m / (sqrt(v) + abs(w)), m, v, w


@rule
def always_downhill(g, *, lr: Rate = 0.01):
    """The same step at every time, beside the gradient's."""
    return lr * (g + 0.5)


OWN = [
    two_velocities, cautious_at_first, momentum_then_adam, bounded_velocity, largest_so_far, largest_later, centred,
    restless, cubic, signed_and_decayed, falling_sign, two_scales, always_downhill,
]  # fmt: skip
