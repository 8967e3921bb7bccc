"""What stochastic gradient descent is sure to reach on a convex function."""

import math
from typing import Any

import numpy as np

from stepwell.domain import Positive, check
from stepwell.functions.given import reals
from stepwell.schedules.domains import Period


def sgd_bound(r: Positive, L: Positive, rates: Any) -> float:
    """E[f(x̄)] - f* ≤ (r² + L²Σηₜ²) / (2Σηₜ) for x̄ = Σηₜxₜ/Σηₜ, the iterates averaged with the rates for weights.

    r is the distance of the start from the minimum, L a bound on ‖g‖, f convex; `rates` are η₁ … η_T, each > 0.
    Nemirovski et al. (2009), section 2.2. <https://doi.org/10.1137/070704277>

    >>> sgd_bound(1.0, 2.0, [0.5, 0.5])
    1.5

    Errors: a ValueError where r or L is not > 0, or rates are not numbers > 0, one at least; a TypeError where they
    are not real.
    """
    r, L = check(Positive, "r", r), check(Positive, "L", L)
    words = "rates must be one or more finite numbers > 0"
    eta = reals(words, rates)
    if eta.ndim != 1 or not eta.size or not (np.isfinite(eta) & (eta > 0)).all():
        raise ValueError(f"{words}; got {rates!r}")
    return float((r**2 + L**2 * (eta @ eta)) / (2 * eta.sum()))


def sgd_best_rate(r: Positive, L: Positive, T: Period) -> float:
    """η = r/(L√T), the constant rate with the least bound for T steps, which is then rL/√T.

    Nemirovski et al. (2009), section 2.2. <https://doi.org/10.1137/070704277>

    >>> sgd_best_rate(1.0, 2.0, 100), round(sgd_bound(1.0, 2.0, [0.05] * 100), 12)
    (0.05, 0.2)

    Errors: a ValueError where r or L is not > 0, or T is below 1; a TypeError where it is no integer.
    """
    r, L, T = check(Positive, "r", r), check(Positive, "L", L), check(Period, "T", T)
    return r / (L * math.sqrt(T))
