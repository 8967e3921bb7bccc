"""Wrong rules, each a mistake that somebody makes: what a comparison is worth is how many of them it rejects."""

from stepwell import rules
from stepwell.rule import Decay, NonNegative, Rate, Real, maximum, rule, sqrt, where


@rule
def idle(g, *, lr: Rate = 1e-3):
    """Does nothing."""
    return 0 * lr * g


# --- SGD


@rule
def uphill(g, *, lr: Rate = 1e-3):
    return -lr * g


@rule
def momentum_of_the_other_sign(g, v, *, lr: Rate = 1e-3, beta: Decay = 0.9):
    v = g - beta * v
    return lr * v, v


@rule
def momentum_as_a_mean(g, v, *, lr: Rate = 1e-3, beta: Decay = 0.9):
    v = beta * v + (1 - beta) * g
    return lr * v, v


@rule
def momentum_with_the_rate_inside(g, v, *, lr: Rate = 1e-3, beta: Decay = 0.9):
    v = beta * v + lr * g
    return v, v


@rule
def dampening_from_the_first_step(g, v, *, lr: Rate = 1e-3, beta: Decay = 0.9, dampening: Real = 0.0):
    v = beta * v + (1 - dampening) * g
    return lr * v, v


@rule
def nesterov_of_the_old_velocity(g, v, *, lr: Rate = 1e-3, beta: Decay = 0.9):
    return lr * (g + beta * v), beta * v + g


# --- Adagrad, RMSprop, Adadelta


@rule
def adagrad_decayed_one_step_early(
    g, s, t, *, lr: Rate = 1e-2, lr_decay: NonNegative = 0.0, eps: NonNegative = 1e-10,
    initial_accumulator: NonNegative = 0.0,
):  # fmt: skip
    s = s + g**2
    return lr / (1 + t * lr_decay) * g / (sqrt(s) + eps), s


@rule
def adagrad_from_zero(g, s, *, lr: Rate = 1e-2, eps: NonNegative = 1e-10, initial_accumulator: NonNegative = 0.0):
    s = s + g**2
    return lr * g / (sqrt(s) + eps), s


@rule
def rmsprop_of_the_old_square(g, s, *, lr: Rate = 1e-2, gamma: Decay = 0.99, eps: NonNegative = 1e-8):
    return lr * g / (sqrt(s) + eps), gamma * s + (1 - gamma) * g**2


@rule
def rmsprop_not_centered(g, s, a, *, lr: Rate = 1e-2, gamma: Decay = 0.99, eps: NonNegative = 1e-8):
    s = gamma * s + (1 - gamma) * g**2
    return lr * g / (sqrt(s) + eps), s, gamma * a + (1 - gamma) * g


@rule
def adadelta_eps_outside(g, s, d, *, lr: Rate = 1.0, rho: Decay = 0.9, eps: NonNegative = 1e-6):
    s = rho * s + (1 - rho) * g**2
    step = (sqrt(d) + eps) / (sqrt(s) + eps) * g
    return lr * step, s, rho * d + (1 - rho) * step**2


@rule
def adadelta_of_the_scaled_step(g, s, d, *, lr: Rate = 1.0, rho: Decay = 0.9, eps: NonNegative = 1e-6):
    s = rho * s + (1 - rho) * g**2
    step = lr * sqrt(d + eps) / sqrt(s + eps) * g
    return step, s, rho * d + (1 - rho) * step**2


# --- Adam and its kin


def adam_but(name, m_hat=None, v_hat=None, scale=None, second=None):
    """Adam with one part replaced."""
    m_hat = m_hat or (lambda m, beta1, t: m / (1 - beta1**t))
    v_hat = v_hat or (lambda v, beta2, t: v / (1 - beta2**t))
    scale = scale or (lambda v, eps: sqrt(v) + eps)
    second = second or (lambda v, g, beta1, beta2: beta2 * v + (1 - beta2) * g**2)

    def formula(g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8):
        m = beta1 * m + (1 - beta1) * g
        v = second(v, g, beta1, beta2)
        return lr * m_hat(m, beta1, t) / scale(v_hat(v, beta2, t), eps), m, v

    formula.__name__ = name
    return rule(formula)


ADAMS = (
    adam_but("without_correction", lambda m, beta1, t: m, lambda v, beta2, t: v),
    adam_but("mean_uncorrected", m_hat=lambda m, beta1, t: m),
    adam_but("square_uncorrected", v_hat=lambda v, beta2, t: v),
    adam_but("a_step_late", lambda m, b, t: m / (1 - b ** (t + 1)), lambda v, b, t: v / (1 - b ** (t + 1))),
    adam_but("eps_inside", scale=lambda v, eps: sqrt(v + eps)),
    adam_but("eps_squared_inside", scale=lambda v, eps: sqrt(v + eps**2)),
    adam_but("eps_as_a_floor", scale=lambda v, eps: maximum(sqrt(v), eps)),
    adam_but("without_eps", scale=lambda v, eps: sqrt(v)),
    adam_but("root_forgotten", scale=lambda v, eps: v + eps),
    adam_but("beta2_of_099", second=lambda v, g, beta1, beta2: 0.99 * v + 0.01 * g**2),
    adam_but("beta1_for_beta2", second=lambda v, g, beta1, beta2: beta1 * v + (1 - beta1) * g**2),
    adam_but("square_as_a_sum", second=lambda v, g, beta1, beta2: beta2 * v + g**2),
    adam_but("absolute_for_square", second=lambda v, g, beta1, beta2: beta2 * v + (1 - beta2) * abs(g)),
)


@rule
def adam_of_the_old_mean(
    g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8
):  # fmt: skip
    step, _, v = rules.adam(g, m, v, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)
    return m * step / m, beta1 * m + (1 - beta1) * g, v


@rule
def eps_before_the_correction(
    g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8
):  # fmt: skip
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return lr * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + eps), m, v


def _hats(m, v, t, beta1, beta2):
    return m / (1 - beta1**t), v / (1 - beta2**t)


@rule
def amsgrad_of_the_corrected(
    g, m, v, v_max, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8
):  # fmt: skip
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = _hats(m, v, t, beta1, beta2)
    v_max = maximum(v_max, v_hat)
    return lr * m_hat / (sqrt(v_max) + eps), m, v, v_max


@rule
def amsgrad_that_forgets(
    g, m, v, v_max, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8
):  # fmt: skip
    m = beta1 * m + (1 - beta1) * g
    v = maximum(v, beta2 * v + (1 - beta2) * g**2)
    m_hat, v_hat = _hats(m, v, t, beta1, beta2)
    return lr * m_hat / (sqrt(v_hat) + eps), m, v, v


def adamw_but(name, decay):
    """AdamW with another decay: `decay(p, step, lr, weight_decay)`, added to Adam's step."""

    def formula(
        p, g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 1e-2,
    ):  # fmt: skip
        step, m, v = rules.adam(g, m, v, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)
        return step + decay(p, step, lr, weight_decay), m, v

    formula.__name__ = name
    return rule(formula)


ADAMWS = (
    rules.adam,  # L2: the stage adds the decay to the gradient
    adamw_but("without_decay", lambda p, step, lr, weight_decay: 0 * p),
    adamw_but("decay_without_the_rate", lambda p, step, lr, weight_decay: weight_decay * p),
    adamw_but("decay_that_grows", lambda p, step, lr, weight_decay: -lr * weight_decay * p),
    adamw_but("decay_after_the_step", lambda p, step, lr, weight_decay: lr * weight_decay * (p - step)),
)


@rule
def adamax_eps_after(
    g, m, u, t, *, lr: Rate = 2e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8
):  # fmt: skip
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u, abs(g))
    return lr / (1 - beta1**t) * m / (u + eps), m, u


@rule
def adamax_uncorrected(
    g, m, u, t, *, lr: Rate = 2e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8
):  # fmt: skip
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u, abs(g) + eps)
    return lr * m / u, m, u


def nadam_but(name, next_mu=1, product=lambda before, mu: before * mu, decay=lambda momentum_decay: momentum_decay):
    """NAdam with one part of its schedule replaced."""

    def formula(
        g, m, v, mu_product, t, *, lr: Rate = 2e-3, beta1: Decay = 0.9, beta2: Decay = 0.999,
        eps: NonNegative = 1e-8, momentum_decay: NonNegative = 4e-3,
    ):  # fmt: skip
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * decay(momentum_decay)))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + next_mu) * decay(momentum_decay)))
        mu_product = product(mu_product, mu)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = mu_next / (1 - mu_product * mu_next) * m + (1 - mu) / (1 - mu_product) * g
        return lr * m_hat / (sqrt(v / (1 - beta2**t)) + eps), m, v, mu_product

    formula.__name__ = name
    return rule(start={"mu_product": 1.0})(formula)


NADAMS = (
    nadam_but("this_mu_for_the_next", next_mu=0),
    nadam_but("product_forgotten", product=lambda before, mu: 0 * before + mu),
    nadam_but("decay_of_momentum_forgotten", decay=lambda momentum_decay: 4e-3),
)


def radam_but(name, trusted=5.0, waiting=1.0, rectified=True):
    """RAdam with another threshold, another step while it waits, or no rectification."""

    def formula(g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8):
        step, m, v = rules.radam(g, m, v, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)
        m_hat, v_hat = _hats(m, v, t, beta1, beta2)
        rho = 2 / (1 - beta2) - 1 - 2 * t * beta2**t / (1 - beta2**t)
        adam = lr * m_hat / (sqrt(v_hat) + eps)
        above = step if rectified else adam
        return where(rho > trusted, above, waiting * lr * m_hat), m, v

    formula.__name__ = name
    return rule(formula)


RADAMS = (
    radam_but("trusts_later", trusted=6.0),
    radam_but("rests_while_it_waits", waiting=0.0),
    radam_but("not_rectified", rectified=False),
)
