"""What can be known of a rule or a function without training anything.

>>> from stepwell.functions import surfaces, theory
>>> Q = surfaces.ravine.hessian([0.0, 0.0])
>>> theory.condition_number(Q), theory.condition_number(theory.precondition(Q))
(20.0, 1.0)
>>> bool(theory.is_convex(surfaces.wave))
False
>>> round(theory.stability_limit("nesterov", beta=0.5), 12)  # (2+2β)/(1+2β)
1.5
>>> round(theory.half_life(0.9), 2)
6.58
"""

from stepwell.functions.theory.averages import average_weights, bias_correction, effective_rate, half_life
from stepwell.functions.theory.constants import Constant, lipschitz, strong_convexity
from stepwell.functions.theory.convexity import Convexity, CounterExample, is_convex, is_convex_set, jensen_gap
from stepwell.functions.theory.critical import critical_point
from stepwell.functions.theory.matrices import Discs, condition_number, gershgorin, precondition
from stepwell.functions.theory.stability import Stability, stability, stability_limit
from stepwell.functions.theory.stochastic import sgd_best_rate, sgd_bound

__all__ = [
    "Constant", "Convexity", "CounterExample", "Discs", "Stability", "average_weights", "bias_correction",
    "condition_number", "critical_point", "effective_rate", "gershgorin", "half_life", "is_convex", "is_convex_set",
    "jensen_gap", "lipschitz", "precondition", "sgd_best_rate", "sgd_bound", "stability", "stability_limit",
    "strong_convexity",
]  # fmt: skip
