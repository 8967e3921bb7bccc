"""Wrong rules, each one step from a right one."""

from collections.abc import Callable
from typing import Any

from stepwell import rules
from stepwell.rule import Rule, maximum, rule, sign, sqrt, where

MUTANTS: dict[str, tuple[Rule, Callable[..., Any]]] = {}


def instead_of(right: Rule) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def keep(wrong: Callable[..., Any]) -> Callable[..., Any]:
        MUTANTS[wrong.__name__] = right, wrong
        return wrong

    return keep


def moments(g, m, v, beta1, beta2):
    return beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2


@instead_of(rules.gradient_descent)
def no_step_at_all(g, *, lr):
    return 0 * lr * g


@instead_of(rules.gradient_descent)
def the_wrong_way(g, *, lr):
    return -lr * g


@instead_of(rules.momentum)
def momentum_of_a_mean(g, v, *, lr, beta):
    v = beta * v + (1 - beta) * g
    return lr * v, v


@instead_of(rules.momentum)
def momentum_a_step_late(g, v, *, lr, beta):
    return lr * v, beta * v + g


@instead_of(rules.momentum_dampened)
def dampened_from_the_first_step(g, v, t, *, lr, beta, dampening):
    v = beta * v + (1 - dampening) * g
    return lr * v, v


@instead_of(rules.nesterov)
def nesterov_without_looking_ahead(g, v, *, lr, beta):
    v = beta * v + g
    return lr * v, v


@instead_of(rules.adagrad)
def adagrad_with_epsilon_inside(g, s, *, lr, eps, initial_accumulator):
    s = s + g**2
    return lr * g / sqrt(s + eps), s


@instead_of(rules.adagrad_eps_inside)
def adagrad_with_epsilon_outside(g, s, *, lr, eps, initial_accumulator):
    s = s + g**2
    return lr * g / (sqrt(s) + eps), s


@instead_of(rules.adagrad_decayed)
def adagrad_decayed_a_step_early(g, s, t, *, lr, lr_decay, eps, initial_accumulator):
    s = s + g**2
    return lr / (1 + t * lr_decay) * g / (sqrt(s) + eps), s


@instead_of(rules.rmsprop)
def rmsprop_of_gradients(g, s, *, lr, gamma, eps):
    s = gamma * s + (1 - gamma) * g
    return lr * g / (sqrt(abs(s)) + eps), s


@instead_of(rules.rmsprop)
def rmsprop_with_gamma_reversed(g, s, *, lr, gamma, eps):
    s = (1 - gamma) * s + gamma * g**2
    return lr * g / (sqrt(s) + eps), s


@instead_of(rules.rmsprop_centered)
def rmsprop_without_its_centre(g, s, a, *, lr, gamma, eps):
    s, a = gamma * s + (1 - gamma) * g**2, gamma * a + (1 - gamma) * g
    return lr * g / (sqrt(s) + eps), s, a


@instead_of(rules.rmsprop_momentum)
def rmsprop_whose_momentum_is_of_gradients(g, s, v, *, lr, gamma, eps, beta):
    s, v = gamma * s + (1 - gamma) * g**2, beta * v + g
    return lr * v / (sqrt(s) + eps), s, v


@instead_of(rules.adadelta)
def adadelta_with_the_new_steps(g, s, d, *, lr, rho, eps):
    s = rho * s + (1 - rho) * g**2
    d = rho * d + (1 - rho) * ((d + eps) / (s + eps)) * g**2
    return lr * sqrt(d + eps) / sqrt(s + eps) * g, s, d


@instead_of(rules.adam)
def adam_without_bias_correction(g, m, v, t, *, lr, beta1, beta2, eps):
    m, v = moments(g, m, v, beta1, beta2)
    return lr * m / (sqrt(v) + eps), m, v


@instead_of(rules.adam)
def adam_with_epsilon_inside(g, m, v, t, *, lr, beta1, beta2, eps):
    m, v = moments(g, m, v, beta1, beta2)
    return lr * m / (1 - beta1**t) / sqrt(v / (1 - beta2**t) + eps), m, v


@instead_of(rules.adam)
def adam_with_epsilon_before_the_correction(g, m, v, t, *, lr, beta1, beta2, eps):
    m, v = moments(g, m, v, beta1, beta2)
    return lr * m / (1 - beta1**t) * sqrt(1 - beta2**t) / (sqrt(v) + eps), m, v


@instead_of(rules.adam)
def adam_with_epsilon_beside_the_step(g, m, v, t, *, lr, beta1, beta2, eps):
    m, v = moments(g, m, v, beta1, beta2)
    return lr * m / (1 - beta1**t) / sqrt(v / (1 - beta2**t)) + eps, m, v


@instead_of(rules.adam)
def adam_a_step_late(g, m, v, t, *, lr, beta1, beta2, eps):
    m, v = moments(g, m, v, beta1, beta2)
    return lr * m / (1 - beta1 ** (t + 1)) / (sqrt(v / (1 - beta2 ** (t + 1))) + eps), m, v


@instead_of(rules.adam)
def adam_with_another_beta2(g, m, v, t, *, lr, beta1, beta2, eps):
    return adam_like(g, m, v, t, lr, beta1, 0.99 * beta2, eps)


def adam_like(g, m, v, t, lr, beta1, beta2, eps):
    m, v = moments(g, m, v, beta1, beta2)
    return lr * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps), m, v


@instead_of(rules.adamw)
def adamw_with_its_decay_in_the_gradient(p, g, m, v, t, *, lr, beta1, beta2, eps, weight_decay):
    return adam_like(g + weight_decay * p, m, v, t, lr, beta1, beta2, eps)


@instead_of(rules.adamw)
def adamw_whose_decay_ignores_the_rate(p, g, m, v, t, *, lr, beta1, beta2, eps, weight_decay):
    step, m, v = adam_like(g, m, v, t, lr, beta1, beta2, eps)
    return weight_decay * p + step, m, v


@instead_of(rules.amsgrad)
def amsgrad_that_forgets(g, m, v, v_max, t, *, lr, beta1, beta2, eps):
    step, m, v = adam_like(g, m, v, t, lr, beta1, beta2, eps)
    return step, m, v, maximum(v_max, v)


@instead_of(rules.adamax)
def adamax_without_epsilon(g, m, u, t, *, lr, beta1, beta2, eps):
    m, u = beta1 * m + (1 - beta1) * g, maximum(beta2 * u, abs(g))
    return lr / (1 - beta1**t) * m / u, m, u


@instead_of(rules.yogi)
def yogi_the_wrong_way(g, m, v, t, *, lr, beta1, beta2, eps, initial_accumulator):
    m = beta1 * m + (1 - beta1) * g
    v = abs(v + (1 - beta2) * g**2 * sign(v - g**2))
    return lr * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps), m, v


@instead_of(rules.lion)
def lion_after_its_momentum(p, g, m, *, lr, beta1, beta2, weight_decay):
    m = beta2 * m + (1 - beta2) * g
    return lr * weight_decay * p + lr * sign(beta1 * m + (1 - beta1) * g), m


@instead_of(rules.nadam)
def nadam_that_never_multiplies(g, m, v, mu_product, t, *, lr, beta1, beta2, eps, momentum_decay):
    step, m, v, mu = rules.nadam(
        g, m, v, 1.0, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps, momentum_decay=momentum_decay
    )
    return step, m, v, mu_product * mu


@instead_of(rules.radam)
def radam_never_rectified(g, m, v, t, *, lr, beta1, beta2, eps):
    step, m, v = adam_like(g, m, v, t, lr, beta1, beta2, eps)
    rho = 2 / (1 - beta2) - 1 - 2 * t * beta2**t / (1 - beta2**t)
    return where(rho > 5, step, lr * m / (1 - beta1**t)), m, v


def mutant(name: str) -> Rule:
    """The wrong rule of this name, starting where the right one does."""
    right, wrong = MUTANTS[name]
    return rule(start=right.start)(wrong)
