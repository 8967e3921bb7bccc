"""Forms of radam that a framework or a setting calls for; the algorithm itself stands in `rules.radam`."""

import math
from typing import Annotated

from stepwell.rule import Decay, Domain, NonNegative, Rate, rule, sqrt, where

Threshold = Annotated[float, Domain("a finite number ≥ 4", lambda x: 4 <= x < math.inf, example=5.0)]
"""Of ρ; the correction is a root of (ρ - 4)(ρ - 2)."""


def _rectified(scale, t, beta2, threshold):
    """The scale, corrected for the variance of so short an average; 1 where it is too short for that."""
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    trusted = rho >= threshold
    above = where(trusted, (rho - 4) * (rho - 2) * rho_inf, 0.0)
    below = where(trusted, (rho_inf - 4) * (rho_inf - 2) * rho, 1.0)
    return where(trusted, sqrt(above / below) * scale, 1.0)


@rule
def radam_corrected(
    g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0, threshold: Threshold = 5.0,
):  # fmt: skip
    """RAdam with ε beside the corrected root, a second one under it, and a threshold of its own, as in optax.

    Liu et al. (2020), algorithm 2. <https://optax.readthedocs.io/en/latest/api/optimizers.html#radam>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return lr * m_hat * _rectified(1 / (sqrt(v_hat + eps_root) + eps), t, beta2, threshold), m, v


@rule
def radam_corrected_nesterov(
    g, m, v, t, *, lr: Rate = 1e-3, beta1: Decay = 0.9, beta2: Decay = 0.999, eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0, threshold: Threshold = 5.0,
):  # fmt: skip
    """RAdam with ε beside the corrected root, and Nesterov's look ahead: one of optax's forms.

    Liu et al. (2020) and Dozat (2016). <https://optax.readthedocs.io/en/latest/api/optimizers.html#radam>
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = beta1 / (1 - beta1 ** (t + 1)) * m + (1 - beta1) / (1 - beta1**t) * g
    v_hat = v / (1 - beta2**t)
    return lr * m_hat * _rectified(1 / (sqrt(v_hat + eps_root) + eps), t, beta2, threshold), m, v
